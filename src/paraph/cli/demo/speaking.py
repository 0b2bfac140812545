"""Only her own devices speak for her (P5): a partner proposes, her devices seal or decline, the partner tries without.

How often something was said is counted where it matters: on the device of whoever she talks with.
"""

import asyncio
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import vodozemac

from paraph.cli.demo.attack import MEGOLM
from paraph.cli.demo.evidence import Attempt, Count, Findings, Opened
from paraph.cli.demo.films import Line
from paraph.cli.demo.keys import overheard
from paraph.cli.demo.knocking import SCHEMES, Knocking
from paraph.cli.demo.people import Cast
from paraph.sdk import Partner, Person, SdkError
from paraph.sdk.transport import CLIENT, PARAPH, path


@dataclass
class Speaking:
    """The act. The partner may leave drafts under `grant_id` for one room; `lines` gives what it proposes."""

    cast: Cast
    reader: Partner
    grant_id: str
    room_id: str
    url: str
    lines: Callable[[], Line]
    found: Findings = field(default_factory=Findings)

    async def play(self) -> Findings:
        """Drafts that are sealed, declined and fought over; then what the partner can send by itself."""
        with overheard():  # her devices look anew at what they were lied to about
            await self._sealed()
            await self._declined()
            await self._raced()
        await self._alone()
        self._keys()
        return self.found

    async def _draft(self) -> tuple[str, str]:
        """A draft's id and its words."""
        text = self.lines().text
        return await self.reader.draft(self.grant_id, self.room_id, text), text

    async def _heard(self, text: str) -> int:
        """How often her correspondent's device shows these words as hers."""
        await self.cast.correspondent.sync()  # the keys come that way
        messages = await self.cast.correspondent.messages(self.room_id)
        return sum(message.body == text and message.sender == self.cast.author.user_id for message in messages)

    async def _told(self, draft_id: str) -> str:
        return f"the partner is told: {(await self.reader.draft_status(draft_id)).status}"

    async def _sealed(self) -> None:
        draft_id, text = await self._draft()
        before = await self._heard(text)
        await self.cast.author.drafts.seal(draft_id)
        what = "messages from a draft that her laptop seals"
        # Before it was sealed, nobody had heard of it.
        self._count(what, await self._heard(text) + before, 1, await self._told(draft_id))

    async def _declined(self) -> None:
        draft_id, text = await self._draft()
        await self.cast.author.drafts.decline(draft_id, "I say this myself")
        if self.cast.phone is not None:
            tried = await _sealing(self.cast.phone, draft_id)
            what = "her phone seals what her laptop declined"
            refused = isinstance(tried, SdkError)
            self.found.attempts.append(Attempt(what, refused, str(tried)))
        what = "messages from a draft that her laptop declines"
        self._count(what, await self._heard(text), 0, await self._told(draft_id))

    async def _raced(self) -> None:
        draft_id, text = await self._draft()
        devices = [device for device in (self.cast.author, self.cast.phone) if device is not None]
        await asyncio.gather(*(_sealing(device, draft_id) for device in devices))
        what = "messages from a draft that laptop and phone seal at once"
        self._count(what, await self._heard(text), 1, await self._told(draft_id))

    async def _alone(self) -> None:
        """The partner says something in her name without her: with its token, where her devices send."""
        draft_id, _ = await self._draft()
        send = path(CLIENT + "/rooms/{}/send/m.room.encrypted/{}", self.room_id, secrets.token_hex(8))
        claim = path(PARAPH + "/drafts/{}/claim", draft_id)
        doors: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
            ("sends where her devices send, with its token", "PUT", send, self._forged()),
            ("takes its own draft, to seal it, with its token", "POST", claim, {}),
        )
        async with Knocking(self.reader, self.url) as knocking:
            for what, method, door, body in doors:
                answers = [await knocking.ask(method, door, body, scheme=scheme) for scheme in SCHEMES]
                refused = all(400 <= answer.status_code < 500 for answer in answers)
                said = f"{answers[-1].status_code} {answers[-1].json().get('error', '')}"
                self.found.attempts.append(Attempt(f"the partner {what}", refused, said))
        await self.reader.withdraw(draft_id)

    def _forged(self) -> dict[str, Any]:
        """A message as if from her laptop, sealed with a key that the partner made itself."""
        session, account = vodozemac.GroupSession(), self.cast.author.engine.account
        content = {"msgtype": "m.text", "body": "I could watch this for ever."}
        words = {"type": "m.room.message", "room_id": self.room_id, "content": content}
        return {
            "algorithm": MEGOLM,
            "sender_key": account.curve25519,
            "device_id": account.device_id,
            "session_id": session.session_id,
            "ciphertext": session.encrypt(json.dumps(words).encode()).to_base64(),
        }

    def _keys(self) -> None:
        """Of the keys of hers that the partner holds, those that can also write; on her laptop there are some."""
        own = self.cast.author.engine.outbound.all()
        held = [session for session in self.reader.engine.inbound.all() if session.owner == self.cast.author.user_id]
        control = Opened(len(own), len(own))
        what, beside = "keys of hers that the partner holds and can send with", "on her laptop"
        self.found.counts.append(Count(what, len(self.reader.engine.outbound.all()), len(held), 0, beside, control))

    def _count(self, what: str, heard: int, expected: int, beside: str) -> None:
        self.found.counts.append(Count(what, heard, 1, expected, beside))


async def _sealing(device: Person, draft_id: str) -> str | SdkError:
    """The event that a draft became, or why this device did not seal it."""
    try:
        return await device.drafts.seal(draft_id)
    except SdkError as error:
        return error
