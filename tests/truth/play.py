"""The whole table, played on one platform; then everything stored and every key ever given, held against each other."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vodozemac import InboundGroupSession, MegolmMessage

from paraph.sdk import Partner
from paraph.sdk.clock import system_time
from paraph.sdk.media import EncryptedFile, address_of
from tests.sdk.stage import Stage, stage
from tests.truth.model import CHANGES, CORRESPONDENT, THEIRS, VERBS, Step, Word
from tests.truth.scene import HOUR, Scene, take_all

OF_THE_PARTNER = (Step.END_AGREEMENT, Step.END_DEVICE, Step.NEW_PARTNER_DEVICE)
"""Steps that would change the other scenes: there the partners are the scene's own."""
_WORD = re.compile(r"w[0-9a-f]{16}")


@dataclass(frozen=True)
class Row:
    """What a partner's keys open of a scene, found and by the design."""

    change: str
    verb: str
    said: frozenset[Word]
    found: frozenset[Word]
    expected: frozenset[Word]


class Hours:
    """Lets time pass for everybody at once, when all scenes have come to where it does or to their end."""

    def __init__(self, scenes: int) -> None:
        self.ahead = 0
        self._left = scenes
        self._passed = asyncio.Event()

    def now(self) -> int:
        """The clock of everything."""
        return system_time() + self.ahead

    def there(self) -> None:
        """A scene waits, or is over."""
        self._left -= 1
        if not self._left:
            self.ahead += 3 * HOUR
            self._passed.set()

    async def wait(self, here: Stage) -> None:
        """Until they have passed and the log has a tree of after them."""
        self.there()
        await self._passed.wait()
        for _ in range(300):
            if await _is_fresh(here):
                break
            await asyncio.sleep(0.1)


async def _is_fresh(here: Stage) -> bool:
    log = await here.server.database.read(lambda tx: tx.rows("SELECT time FROM ledger_progress"))
    return bool(log[0][0] > here.now() - HOUR)


async def play(data: Path) -> list[Row]:
    """Play every scene, and open what can be opened."""
    hours = Hours(len(CHANGES))
    async with stage(data, clock=hours.now) as here:
        shared = await _partners(here, "p")
        scenes = []
        for number, (change, steps) in enumerate(CHANGES.items()):
            own = any(step in OF_THE_PARTNER for step in steps)
            partners = await _partners(here, f"q{number}") if own else shared
            scenes.append(Scene(here, change, partners, lambda: hours.wait(here)))
        await asyncio.gather(*(_played(scene, hours) for scene in scenes))
        devices = {id(one): one for scene in scenes for held in scene.held.values() for one in held.devices}
        for device in devices.values():
            await take_all(here, device)
        stored = await Stored.of(here)
        return [row for scene in scenes for row in stored.rows(scene)]


async def _partners(here: Stage, prefix: str) -> dict[str, Partner]:
    made = await asyncio.gather(*(here.add_partner(f"{prefix}-{number}") for number in range(len(VERBS))))
    return dict(zip(VERBS, made, strict=True))


async def _played(scene: Scene, hours: Hours) -> None:
    await scene.play()
    if Step.TIME_PASSES not in CHANGES[scene.change]:
        hours.there()


@dataclass(frozen=True)
class Stored:
    """Everything that the platform keeps: ciphertext by the session that it names, and every file's bytes by id.

    A session's id is the key that its messages are signed with, so no other session opens them.
    """

    ciphertexts: dict[str, list[str]]
    files: dict[str, bytes]

    @classmethod
    async def of(cls, here: Stage) -> Stored:
        """What this platform keeps now."""
        rows = await here.server.database.read(lambda tx: tx.rows("SELECT json FROM events"))
        ciphertexts: dict[str, list[str]] = {}
        for (text,) in rows:
            content = json.loads(bytes(text))["content"]
            if "ciphertext" in content:
                ciphertexts.setdefault(content["session_id"], []).append(content["ciphertext"])
        folder = here.server.settings.data / "media"
        files = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        return cls(ciphertexts, files)

    def rows(self, scene: Scene) -> list[Row]:
        """A scene's rows, one for each verb: about the author's words, or in one scene about the correspondent's."""
        theirs = scene.change == THEIRS
        about = frozenset(word for word in scene.words.values() if (word.speaker == CORRESPONDENT) == theirs)
        rows = []
        for verb, held in scene.held.items():
            texts = self.opened(held.devices[-1])
            found = frozenset(word for text, word in scene.words.items() if text in texts)
            expected = frozenset(held.model.opens)
            if theirs:  # what the author said opens as in every scene
                found, expected = found & about, expected & about
            rows.append(Row(scene.change, verb, about, found, expected))
        return rows

    def opened(self, device: Partner) -> set[str]:
        """The texts that this device's keys open: all that was said under any session it ever got, and files of it.

        Its own checks are left aside. What a quote repeats is the author's message, and is left out of the count.
        """
        found: set[str] = set()
        for session in device.engine.inbound.all():
            group = InboundGroupSession.from_pickle(session.pickle, device._records.pickle_key)
            for content in _opened(group, self.ciphertexts.get(session.session_id, [])):
                found |= self._texts(content)
        return found

    def _texts(self, content: dict[str, Any]) -> set[str]:
        found = {_WORD.findall(content["body"])[-1]}
        for sealed in (content.get("file"), (content.get("info") or {}).get("thumbnail_file")):
            if sealed is not None:
                file = EncryptedFile.parse(sealed)
                found.add(file.open(self.files[address_of(file.url)[1]]).decode())
        return found


def _opened(group: InboundGroupSession, ciphertexts: Iterable[str]) -> Iterable[dict[str, Any]]:
    for text in ciphertexts:
        try:
            plaintext = group.decrypt(MegolmMessage.from_base64(text)).plaintext
        except ValueError:
            continue
        yield json.loads(plaintext)["content"]
