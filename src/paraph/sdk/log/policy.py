"""The witness policy that a device goes by: the one it pinned, or what that one's quorum has replaced it by since.

Changes are published below `/log/policies/`, numbered from 1 (docs/protocol.md section 5). A change that does not check
leaves everything as it is: the device stays with its policy, and where no checkpoint satisfies that any more it shares
with nobody.
"""

import logging

import msgspec

from paraph.sdk.errors import LogError, MatrixError, ProblemError
from paraph.sdk.keystore import Records
from paraph.sdk.transport import Transport
from paraph.tlog.errors import TlogError
from paraph.tlog.note import Verifier
from paraph.tlog.policy_change import Chain

log = logging.getLogger(__name__)

TABLE = "policy"
MOST = 200
"""Changes looked through for one that the device can follow; a policy changes some times a year."""


class Followed(msgspec.Struct, frozen=True):
    """From the text `pinned` to `text`; `left` are the hashes of the policies before it, `next` the change to look for.

    With `next` = 1 the device's policy was not found in the chain yet; from then on every change has to follow it.
    """

    pinned: str
    text: str
    next: int = 1
    left: tuple[bytes, ...] = ()


class FollowedPolicy:
    """One device's policy of one log."""

    def __init__(self, transport: Transport, records: Records, verifier: Verifier, pinned: str) -> None:
        """Go on from what was followed before, if that began at the same pinned text."""
        self._transport = transport
        self._records = records
        self._verifier = verifier
        known = records.get(TABLE, "self", Followed)
        self._at = known if known is not None and known.pinned == pinned else Followed(pinned, pinned)

    @property
    def text(self) -> str:
        """The policy's text."""
        return self._at.text

    async def advance(self, now: int) -> bool:
        """Follow the changes published since; whether the policy is another one now. `now` is in seconds.

        Raises LogError for a change that does not check: what came before it is taken up, and nothing from it on.
        """
        before, number = self.text, self._at.next
        while number <= self._at.next + MOST and (signed := await self._change(number)) is not None:
            self._take(number, signed, now)
            number += 1
        return self.text != before

    def _take(self, number: int, signed: bytes, now: int) -> None:
        at, chain = self._at, Chain(self.text.encode(), self._verifier, self._at.left)
        try:
            if at.next == 1 and not chain.begins_at(signed):
                return  # it replaced a policy before the pinned one
            chain.follow(signed, now)
        except TlogError as error:
            raise LogError(f"change {number} of the witness policy does not count: {error}") from error
        log.info("the witness policy of %s was replaced by its own quorum", self._verifier.name)
        self._keep(Followed(at.pinned, chain.text.decode(), number + 1, tuple(chain.left)))

    def _keep(self, at: Followed) -> None:
        with self._records.step():
            self._records.put(TABLE, "self", at)
        self._at = at

    async def _change(self, number: int) -> bytes | None:
        try:
            return await self._transport.bytes(f"/log/policies/{number}")
        except (MatrixError, ProblemError) as error:
            if error.status == 404:
                return None
            raise LogError(f"the platform does not tell whether the witness policy has changed: {error}") from error


async def follow(transport: Transport, records: Records, verifier: Verifier, pinned: str, now: int) -> str:
    """The text of the policy in force for who pinned `pinned`; `now` in seconds. Raises as `advance`."""
    followed = FollowedPolicy(transport, records, verifier, pinned)
    await followed.advance(now)
    return followed.text
