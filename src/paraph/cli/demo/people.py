"""The demo's cast: two people, two partners, and an applicant that never got an agreement."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paraph.cli.demo.evidence import Attempt
from paraph.cli.demo.films import AUTHOR, Line
from paraph.cli.demo.liar import Hands, Lie, honest
from paraph.cli.operator import Operator
from paraph.sdk import Partner, Person, ProblemError, ReceiptError, SqliteStore, Store, Transport
from paraph.sdk.clock import system_time
from paraph.sdk.partner.client_assertion import new_client_key

__all__ = [
    "PASSWORD",
    "Cast",
    "Operator",
    "PartnerKeys",
    "attempt",
    "callback",
    "key_store",
    "partner",
    "people",
    "refused",
]

PASSWORD = "correct horse battery staple"  # noqa: S105 (a demo account on a server that lives for seconds)


@dataclass(slots=True)
class Cast:
    """Everyone who plays, and what was said where: `said[room_id]` maps event ids to (speaker, text).

    The author's laptop talks to the platform through `hands`; its keys are in `keys`. `phone` is her second device,
    once she has one.
    """

    author: Person
    correspondent: Person
    hands: Hands
    keys: Path
    phone: Person | None = None
    said: dict[str, dict[str, Line]] = field(default_factory=dict)
    readings: int = 0
    """How many messages of the other the two could read so far."""

    @property
    def texts(self) -> list[str]:
        """All that was said so far."""
        return [line.text for said in self.said.values() for line in said.values()]

    async def room(self, name: str, *, encrypted: bool = True) -> str:
        """A private room of the two, both in it."""
        room_id = await self.author.create_room([self.correspondent.user_id], name, encrypted=encrypted)
        await self.correspondent.sync()
        await self.correspondent.join(room_id)
        await self.author.sync()
        self.said[room_id] = {}
        return room_id

    async def say(self, room_id: str, line: Line, *, encrypted: bool = True, by: Person | None = None) -> str:
        """Let the speaker of `line` say it, on the device `by`; returns the event id."""
        speaker = by or (self.author if line.speaker == AUTHOR else self.correspondent)
        content = {"msgtype": "m.text", "body": line.text}
        event_id = await speaker.send(room_id, "m.room.message", content, encrypted=encrypted)
        self.said[room_id][event_id] = line
        return event_id

    async def catch_up(self) -> None:
        """Let both sync, and count what they can read of each other."""
        for person in (self.author, self.correspondent):
            update = await person.sync()
            new = (*update.messages, *update.late)
            self.readings += sum(message.sender != person.user_id and message.body is not None for message in new)

    async def reopen(self, lie: Lie = honest, *, ahead_ms: int = 0) -> None:
        """Close the app on the author's laptop and open it again, so that it looks at everything anew.

        From now on she is told `lie`; her clock is put ahead.
        """
        await self.author.close()
        self.hands.lie = lie
        store = key_store(self.keys, "mira")
        transport = self.hands.transport()
        self.author = await Person.open(store, transport=transport, now=lambda: system_time() + ahead_ms)

    async def close(self) -> None:
        """All leave."""
        for device in (self.author, self.correspondent, self.phone):
            if device is not None:
                await device.close()
        await self.hands.close()


async def people(url: str, folder: Path) -> Cast:
    """Two people with a device each, whose keys lie in encrypted stores in `folder`."""
    hands = Hands(url)
    store = key_store(folder, "mira")
    author = await Person.register(url, "mira", PASSWORD, store=store, transport=hands.transport())
    correspondent = await Person.register(url, "jonas", PASSWORD, store=key_store(folder, "jonas"))
    return Cast(author, correspondent, hands, folder)


def key_store(folder: Path, name: str) -> SqliteStore:
    """An encrypted key store of one of the cast, as a file in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    return SqliteStore.open(folder / f"{name}.keys", passphrase=PASSWORD)


@dataclass(frozen=True, slots=True)
class PartnerKeys:
    """What makes a device a partner's: its master seed (32 bytes), and the private JWK of its OAuth client."""

    seed: bytes = field(repr=False)
    client: dict[str, str] = field(repr=False)

    @classmethod
    def generate(cls) -> "PartnerKeys":
        """New ones."""
        return cls(os.urandom(32), new_client_key())

    def device(self, url: str, slug: str, server_name: str, store: Store, transport: Transport | None) -> Partner:
        """A new device of the partner."""
        return Partner.create(
            url, slug, server_name, store=store, master_seed=self.seed, client_jwk=self.client, transport=transport
        )


async def partner(
    url: str,
    slug: str,
    name: str,
    operator: Operator,
    folder: Path,
    *,
    keys: PartnerKeys | None = None,
    transport: Transport | None = None,
) -> Partner:
    """A partner with keys of its own, registered, without an agreement yet."""
    keys, store = keys or PartnerKeys.generate(), key_store(folder, slug)
    made = keys.device(url, slug, operator.platform["server_name"], store, transport)
    operator.register(made, name, [callback(slug)])
    return made


def callback(slug: str) -> str:
    """Where a partner lets people's browsers come back to."""
    return f"https://{slug}.example/callback"


async def attempt(call: Any) -> tuple[int, str]:
    """Await a partner's call; the status and reason of its refusal, or 200 if it was answered."""
    try:
        await call
    except ProblemError as error:
        return error.status, str(error)
    except ReceiptError as error:
        return 200, f"answered, and not taken by the partner's own SDK: {error}"
    return 200, "answered"


def refused(what: str, answer: tuple[int, str]) -> Attempt:
    """What came of an attempt that must not work, by its status and reason."""
    status, reason = answer
    return Attempt(what, 400 <= status < 500, f"{status} {reason.removeprefix(str(status)).lstrip(': ')}")
