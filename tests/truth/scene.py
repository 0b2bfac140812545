"""One row's story on the real platform: an author, a correspondent, and a partner for each verb."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from paraph.protocol.agreement import OPERATOR_KEY_ID
from paraph.protocol.base64 import unb64
from paraph.protocol.signing import document_hash, sign
from paraph.sdk import GrantTerms, Partner
from paraph.sdk.engine.model import SyncPart
from tests.sdk.stage import DAY, PURPOSE, Stage
from tests.truth.model import (
    AUTHOR,
    CHANGES,
    CORRESPONDENT,
    DRAFTS,
    HISTORY,
    HOURS,
    NEVER,
    OTHER,
    TALKED,
    THEIRS,
    VERBS,
    Design,
    Kind,
    Step,
    Word,
    design,
)

HOUR = 3_600_000
QUEUE = (
    "SELECT sender, type, content FROM devices_queue WHERE user_id = :user AND device_id = :device ORDER BY position"
)


@dataclass
class Held:
    """One verb's partner in a scene: its devices, its grant, and what the design says of it."""

    devices: list[Partner]
    model: Design
    grants: list[str] = field(default_factory=list)
    pause: str = ""

    @property
    def partner(self) -> Partner:
        """The partner's device that acts."""
        return self.devices[0]


@dataclass
class Scene:
    """A change of state, played for all verbs at once. `words` are the texts that were said, with what each is."""

    here: Stage
    change: str
    partners: dict[str, Partner]
    hours_pass: Callable[[], Awaitable[None]]
    words: dict[str, Word] = field(default_factory=dict)
    time: int = 0

    async def play(self) -> None:
        """From strangers to the end of the change."""
        await self._meet()
        await self._say()
        await asyncio.sleep(0.005)
        self.date = self.here.now()
        await self._say()
        for step in (Step.GRANT, *CHANGES[self.change]):
            await self._step(step)
            await self._say()

    async def _meet(self) -> None:
        name = "".join(letter if letter.isalpha() else "." for letter in self.change)
        self.author, self.correspondent = await self.here.person(name), await self.here.person(f"{name}.friend")
        self.rooms = {room: await self.author.create_room([self.correspondent.user_id]) for room in (TALKED, OTHER)}
        self.rooms[NEVER] = await self.author.create_room([])
        for room in (TALKED, OTHER):
            await self.correspondent.join(self.rooms[room])
        await self.author.enrol()
        await self.author.sync()
        await self.correspondent.sync()
        self.speaking = {AUTHOR: self.author, CORRESPONDENT: self.correspondent}
        self.held = {verb: Held([partner], design(self.change, verb)) for verb, partner in self.partners.items()}

    # What is said

    async def _say(self) -> None:
        """Everything that can be said at this time."""
        quoted = await self._text(CORRESPONDENT, TALKED, Kind.TEXT)
        await self._everything(AUTHOR, quoted)
        for room in (OTHER, NEVER):
            await self._text(AUTHOR, room, Kind.TEXT)
        if self.change == THEIRS:
            await self._everything(CORRESPONDENT, quoted)
        if self.held[DRAFTS].model.covers(TALKED):
            await self._draft()
        self.time += 1

    async def _everything(self, speaker: str, quoted: tuple[str, str]) -> None:
        said, event_id = await self._text(speaker, TALKED, Kind.TEXT)
        if speaker == AUTHOR:
            self._first = getattr(self, "_first", event_id)
        text = self._new(speaker, TALKED, Kind.EDIT)
        target = self._first if speaker == AUTHOR else event_id
        await self._send(speaker, {"body": f"* {text}", "m.new_content": _text(text)}, "m.replace", target)
        text = self._new(speaker, TALKED, Kind.REPLY)
        await self._send(speaker, {"body": f"> <{quoted[1]}> {quoted[0]}\n\n{text}"}, "m.in_reply_to", quoted[1])
        text = self._new(speaker, TALKED, Kind.THREAD)
        await self._send(speaker, {"body": text}, "m.thread", event_id)
        await self._attach(speaker)
        await self._react_and_redact(speaker, event_id)
        assert said in self.words

    async def _react_and_redact(self, speaker: str, event_id: str) -> None:
        person, room_id = self.speaking[speaker], self.rooms[TALKED]
        text = self._new(speaker, TALKED, Kind.REACTION)
        relation = {"rel_type": "m.annotation", "event_id": event_id, "key": text}
        await person.send(room_id, "m.reaction", {"m.relates_to": relation}, encrypted=False)
        _, gone = await self._text(speaker, TALKED, Kind.REDACTED)
        await person.redact(room_id, gone)

    async def _attach(self, speaker: str) -> None:
        person, room_id = self.speaking[speaker], self.rooms[TALKED]
        text, file, small = (self._new(speaker, TALKED, kind) for kind in (Kind.ATTACHMENT, Kind.FILE, Kind.THUMBNAIL))
        content = await person._media.upload(room_id, file.encode(), text, "image/png")
        thumbnail = await person._media.upload(room_id, small.encode(), "small", "image/png")
        content["info"]["thumbnail_file"] = thumbnail["file"]
        await person.send(room_id, "m.room.message", content)

    async def _draft(self) -> None:
        held, text = self.held[DRAFTS], self._new(AUTHOR, TALKED, Kind.DRAFT)
        draft_id = await held.partner.draft(held.grants[-1], self.rooms[TALKED], text)
        await self.speaking[AUTHOR].drafts.seal(draft_id)

    async def _text(self, speaker: str, room: str, kind: Kind) -> tuple[str, str]:
        """Say a word; the text and the event's id."""
        text = self._new(speaker, room, kind)
        return text, await self.speaking[speaker].send_text(self.rooms[room], text)

    async def _send(self, speaker: str, content: dict[str, Any], relation: str, event_id: str) -> None:
        related = {"m.in_reply_to": {"event_id": event_id}}
        if relation != "m.in_reply_to":
            related = {"rel_type": relation, "event_id": event_id}  # type: ignore[dict-item]
        content = {"msgtype": "m.text", **content, "m.relates_to": related}
        await self.speaking[speaker].send(self.rooms[TALKED], "m.room.message", content)

    def _new(self, speaker: str, room: str, kind: Kind) -> str:
        """A text that is said nowhere else, noted for the real thing and for the model."""
        text, word = f"w{os.urandom(8).hex()}", Word(self.time, room, speaker, kind)
        self.words[text] = word
        for held in self.held.values():
            held.model.say(word)
        return text

    # What happens

    async def _step(self, step: Step) -> None:
        if step is Step.CLOSE_ROOM:
            await self.correspondent.close_room(self.rooms[TALKED])
        elif step is Step.REOPEN_ROOM:
            await self.correspondent.close_room(self.rooms[TALKED], closed=False)
        elif step is Step.NEW_AUTHOR_DEVICE:
            self.speaking[AUTHOR] = await self.here.next_device(self.author)
        elif step is Step.TIME_PASSES:
            await self.hours_pass()
        else:
            for verb, held in self.held.items():
                await self._of_one(step, verb, held)
        if step is Step.NEW_PARTNER_DEVICE:  # who is to get more learns it with a sync; who is to get less needs none
            await self.author.sync()
        for held in self.held.values():
            held.model.step(step)

    async def _of_one(self, step: Step, verb: str, held: Held) -> None:
        grant_id = held.grants[-1] if held.grants else ""
        if step is Step.GRANT:
            granted = await self.author.grant(held.partner.slug, self._terms(verb))
            held.grants.append(granted.grant.grant_id)
        elif step is Step.DROP_ROOM:
            await self.author.drop_rooms(grant_id, [self.rooms[OTHER]])
        elif step is Step.SHORTEN:
            await self.author.shorten(grant_id, self.here.now() + HOUR)
        elif step is Step.PAUSE:
            held.pause = await self.author.pause(grant_id)
        elif step is Step.RESUME:
            await self.author.resume(grant_id, held.pause)
        elif step is Step.REVOKE:
            await self.author.revoke(grant_id)
        elif step is Step.END_AGREEMENT:
            await end_agreement(self.here, held.partner)
        elif step is Step.END_DEVICE:
            await take_all(self.here, held.partner)  # what waited for it is deleted with its end
            await held.partner.end_device()
        elif step is Step.NEW_PARTNER_DEVICE:
            held.devices.append(await next_device(self.here, held.partner))

    def _terms(self, verb: str) -> GrantTerms:
        until = self.here.now() + (HOURS * HOUR if self.change == "expired" else 20 * DAY)
        rooms = [self.rooms[TALKED], self.rooms[OTHER]]
        return GrantTerms([PURPOSE], until, rooms, VERBS[verb], history=self.date if verb == HISTORY else None)


def _text(body: str) -> dict[str, str]:
    return {"msgtype": "m.text", "body": body}


async def end_agreement(here: Stage, partner: Partner) -> None:
    """The operator ends the partner's agreement."""
    known = (await here.http.get(f"/_paraph/v1/partners/{partner.slug}")).json()
    newest = known["agreements"][-1]["document"]
    ending = {
        "type": "org.paraph.agreement_ended",
        "partner": partner.slug,
        "version": newest["version"],
        "agreement_hash": document_hash(newest),
        "ended": here.now(),
        "reason": "the end",
    }
    signed = sign(ending, "localhost", OPERATOR_KEY_ID, here.server.consent.operator_key.sign)
    url = f"/_paraph/v1/admin/agreements/{partner.slug}/end"
    answer = await here.http.post(url, json={"ending": signed}, headers=here.operator)
    assert answer.is_success, answer.text


async def next_device(here: Stage, partner: Partner) -> Partner:
    """Another device of a partner, published."""
    record = partner._record
    made = Partner.create(
        here.server.settings.base_url,
        record.slug,
        record.server_name,
        master_seed=unb64(record.master_seed, 32),
        client_jwk=record.client_jwk,
        transport=here.transport(),
        now=here.now,
    )
    await made.publish_device()
    return made


async def take_all(here: Stage, device: Partner) -> None:
    """Give a device all that is kept for it, whether or not the platform would still hand it out."""
    named = {"user": device.user_id, "device": device.device_id}
    rows = await here.server.database.read(lambda tx: tx.rows(QUEUE, named))
    events = [{"sender": sender, "type": kind, "content": json.loads(content)} for sender, kind, content in rows]
    with device._records.step():
        device.engine.receive(SyncPart(to_device=tuple(events)), here.now())
