"""The two partners in business, with what the operator has between them and the platform."""

from contextlib import AsyncExitStack
from dataclasses import dataclass

from paraph.cli.demo.liar import Hands, Post
from paraph.cli.demo.people import PartnerKeys
from paraph.sdk import MemoryStore, Partner


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

    async def ghost(self, stack: AsyncExitStack) -> Partner:
        """A device that Marquee signs for the operator in secret: nobody publishes it."""
        hands = Hands(self.url, self.post.hands_over)
        stack.push_async_callback(hands.close)
        made = self.keys.device(self.url, self.marquee.slug, self.server_name, MemoryStore(), hands.transport())
        stack.push_async_callback(made.close)
        return made
