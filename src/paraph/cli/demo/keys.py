"""The operator lies to get a key out of the author's device (P2): whom it shares with then, measured by what opens.

Each lie is told to a device that was just opened and so looks at everything anew; then she writes, and whoever should
not read her tries, with the whole database and every key it ever received.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from paraph.cli.demo import attack, liar
from paraph.cli.demo.attack import Stored
from paraph.cli.demo.evidence import Cheat, Opened
from paraph.cli.demo.films import Line
from paraph.cli.demo.intruder import Intruder
from paraph.cli.demo.liar import FrozenLog, Lie, Post
from paraph.cli.demo.people import Cast, attempt
from paraph.protocol.agreement import Agreement
from paraph.protocol.limits import DAY_MS
from paraph.sdk import GrantState, Partner
from paraph.sdk.clock import system_time
from paraph.sdk.log.view import MAX_AGE

LATER_MS = 1000 * (MAX_AGE + 60)
"""Milliseconds after which a tree is no longer fresh to a device: hers is put ahead by as much, to save the wait."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A partner's device, what it is called, and the grant and agreement it reads under."""

    name: str
    device: Partner
    grant: GrantState
    agreement: Agreement


@dataclass
class Keys:
    """The act. `lines` gives what she says next, `tell` shows what came of each lie."""

    cast: Cast
    stored: Stored
    films: str
    music: str
    marquee: Reader
    tempo: Reader
    post: Post
    lines: Callable[[], Line]
    tell: Callable[[Cheat], None]
    found: list[Cheat] = field(default_factory=list)

    async def play(self, stranger: Intruder, phone: Intruder, ghost: Partner) -> None:
        """Tell her every lie; she is told the truth again in the end."""
        await self._without_witnesses()
        await self._forged("a grant is slipped in, signed by an impostor's device", stranger)
        await self._forged("the same, signed with her phone's stolen key, kept out of the log", phone)
        await self._ghost(ghost)
        await self._revocation()
        await self.cast.reopen()

    async def _without_witnesses(self) -> None:
        line, said = await self._says(self.films, liar.cuts_off_the_cosignatures)
        opened = await self._opened(self.marquee.device, line)
        honest, _ = await self._says(self.films, liar.honest)
        control = await self._opened(self.marquee.device, honest)
        what = "the log is shown without its witnesses' cosignatures"
        self._found(what, self.marquee.name, opened, control, "with them", said)

    async def _forged(self, what: str, signer: Intruder) -> None:
        """For all rooms, in favour of the partner that may read in one."""
        granted = self.tempo.grant
        listed = await signer.listed(granted.document, granted.chain, self.tempo.agreement)
        takes = self.post.takes(self.cast.author.user_id, grants={listed["grant"]["grant_id"]})
        line, said = await self._says(self.films, liar.all_of(takes, liar.lists_a_grant(listed)))
        opened, control = await self._opened(self.tempo.device, line), await self._opened(self.marquee.device, line)
        self._found(what, self.tempo.name, opened, control, f"{self.marquee.name}, who may", said)

    async def _ghost(self, ghost: Partner) -> None:
        """A device that the partner signed in secret, and that the log does not have."""
        keys = ghost.engine.account.device_keys()
        now = system_time()
        document = {
            "type": "org.paraph.partner_device",
            "partner": ghost.slug,
            "device_keys": keys,
            "created": now,
            "expires": now + DAY_MS,
        }
        record = {"kind": "partner-device", "partner": ghost.slug, "ts": now, "document": ghost.sign_document(document)}
        upload = ghost.engine.account.upload()
        one_time = dict(list(upload.one_time_keys.items())[:1]) if upload is not None else {}
        takes = self.post.takes(self.cast.author.user_id, devices={ghost.device_id})
        before = self.post.taken
        lie = liar.all_of(takes, liar.lists_a_device(ghost.slug, record, one_time))
        line, _ = await self._says(self.films, lie)
        opened, control = await self._opened(ghost, line), await self._opened(self.marquee.device, line)
        given = f"keys that her device gave out to it: {self.post.taken - before}"
        what = f"a second device of {self.marquee.name}'s, signed and kept out of the log"
        self._found(what, "the ghost", opened, control, "the device in the log", given)

    async def _revocation(self) -> None:
        """Her phone revokes; her laptop is not to hear of it."""
        frozen, grant_id, who = FrozenLog(), self.tempo.grant.grant.grant_id, self.tempo
        line, _ = await self._says(self.music, frozen.listens)
        before = await self._opened(who.device, line)
        if self.cast.phone is not None:
            await self.cast.phone.revoke(grant_id)
        takes = self.post.takes(self.cast.author.user_id, grants={grant_id})
        hidden = liar.all_of(takes, liar.hides_a_revocation(grant_id))
        standing = liar.all_of(frozen.repeats, hidden)
        line, _ = await self._says(self.music, standing)
        fresh = await self._opened(who.device, line)
        line, said = await self._says(self.music, standing, ahead_ms=LATER_MS)
        opened = await self._opened(who.device, line)
        minutes = LATER_MS // 60_000
        what = f"her phone revokes; her laptop sees the old log for {minutes} minutes (its clock is put ahead)"
        self._found(what, who.name, opened, fresh, "in the first minutes", said)
        line, said = await self._says(self.music, hidden)
        opened = await self._opened(who.device, line)
        what = "the log is new, and the revocation is left out of every list"
        self._found(what, who.name, opened, before, "before she revoked", said)

    async def _says(self, room_id: str, lie: Lie, *, ahead_ms: int = 0) -> tuple[Line, str]:
        """What she writes under a lie, and what her device says about it."""
        await self.cast.reopen(lie, ahead_ms=ahead_ms)
        line = self.lines()
        with overheard() as said:
            await self.cast.say(room_id, line)
        return line, said[-1] if said else ""

    async def _opened(self, reader: Partner, line: Line) -> Opened:
        await attempt(reader.poll())
        texts = await asyncio.to_thread(attack.opened_by, reader, self.stored, [line.text])
        return Opened(int(line.text in texts), 1)

    def _found(self, what: str, reader: str, opened: Opened, control: Opened, beside: str, said: str) -> None:
        self.found.append(Cheat(what, reader, opened, control, beside, said))
        self.tell(self.found[-1])


class _Ear(logging.Handler):
    def __init__(self, said: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(record.getMessage())


@contextmanager
def overheard() -> Iterator[Sequence[str]]:
    """What the devices in this process warn of, instead of their log."""
    said: list[str] = []
    ear, voice = _Ear(said), logging.getLogger("paraph.sdk")
    voice.addHandler(ear)
    try:
        yield said
    finally:
        voice.removeHandler(ear)
