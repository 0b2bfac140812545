"""The two partners in business, with what the operator has between them and the platform."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from paraph.cli.demo.evidence import Attempt
from paraph.cli.demo.liar import Hands, Post
from paraph.cli.demo.people import Operator, PartnerKeys, attempt, partner, refused
from paraph.protocol.fields import ADVERTISING
from paraph.sdk import MemoryStore, Partner

PARTNERS = {"marquee": "Marquee", "tempo": "Tempo"}
PURPOSE = "recommendations"
PURPOSES = {"marquee": [PURPOSE, ADVERTISING], "tempo": [PURPOSE]}
"""What each may ask people for, by its agreement."""
VERBS = {"marquee": ["read", "write:draft"], "tempo": ["read"]}


@dataclass(frozen=True, slots=True)
class Market:
    """Marquee, with its `keys` and the `hands` that it talks through, and Tempo; `post` brings what was taken."""

    marquee: Partner
    tempo: Partner
    hands: Hands
    keys: PartnerKeys
    post: Post
    url: str
    server_name: str

    @classmethod
    async def open(cls, url: str, operator: Operator, folder: Path, stack: AsyncExitStack) -> "Market":
        """Register both with agreements that both sides signed; their key stores lie in `folder`."""
        post, keys = Post(), PartnerKeys.generate()
        hands = {"marquee": Hands(url), "tempo": Hands(url, post.hands_over)}
        partners = []
        for slug, name in PARTNERS.items():
            stack.push_async_callback(hands[slug].close)
            way, own = hands[slug].transport(), keys if slug == "marquee" else None
            made = await partner(url, slug, name, operator, folder, keys=own, transport=way)
            stack.push_async_callback(made.close)
            agreement = operator.draft(slug, purposes=PURPOSES[slug], verbs=VERBS[slug])
            operator.publish(made.sign_document(operator.sign(agreement)))
            await made.publish_device()
            partners.append(made)
        return cls(partners[0], partners[1], hands["marquee"], keys, post, url, operator.platform["server_name"])

    async def ghost(self, stack: AsyncExitStack) -> Partner:
        """A device that Marquee signs for the operator in secret: nobody publishes it."""
        hands = Hands(self.url, self.post.hands_over)
        stack.push_async_callback(hands.close)
        made = self.keys.device(self.url, self.marquee.slug, self.server_name, MemoryStore(), hands.transport())
        stack.push_async_callback(made.close)
        return made


async def without_agreement(url: str, operator: Operator, folder: Path, stack: AsyncExitStack) -> list[Attempt]:
    """How far a partner gets that has no agreement, or one that a single side signed."""
    applicant = await partner(url, "umbra", "Umbra", operator, folder)
    stack.push_async_callback(applicant.close)
    unsigned = operator.draft("umbra")
    return [
        refused("a token for a partner without an agreement", await attempt(applicant.grants())),
        refused("an agreement that only the operator signed", operator.try_to_publish(operator.sign(unsigned))),
        refused(
            "an agreement that only the partner signed", operator.try_to_publish(applicant.sign_document(unsigned))
        ),
        refused("reading all the same", await attempt(applicant.rooms())),
    ]
