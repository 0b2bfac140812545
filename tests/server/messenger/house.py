"""A messenger on a real database behind the real HTTP application, with the rooms below it played by simple fakes."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from paraph.server.http import Access, PersonPrincipal
from paraph.server.http.asgi import Application
from paraph.server.http.limits import Limiter
from paraph.server.messenger.core import Hooks
from paraph.server.messenger.http import endpoints
from paraph.server.messenger.service import Messenger
from paraph.server.storage import Transaction
from tests.support.databases import open_test_database

SERVER = "paraph.test"
_PARTS = ("", ".complaints", ".directory", ".profiles", ".relations", ".push", ".search")
ROOMS = [f"paraph.server.messenger{part}" for part in _PARTS]
CLIENT = "/_matrix/client/v3"
CIPHERTEXT = {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "AwgAEpAB", "session_id": "s1"}
_txns = itertools.count()


@dataclass
class Part:
    """A devices room's share of a sync."""

    to_device: list[Any] = field(default_factory=list)
    to_device_upto: int = 0
    lists_upto: int = 0
    changed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    one_time_key_counts: dict[str, int] = field(default_factory=dict)
    unused_fallback_key_types: list[str] = field(default_factory=list)


class FakeDevices:
    """To-device messages in memory, by position; counts calls."""

    def __init__(self) -> None:
        self.queued: dict[tuple[str, str], list[tuple[int, Any]]] = {}
        self.changes: list[tuple[int, str]] = []
        self.counts: dict[str, int] = {"signed_curve25519": 50}
        self.asked = 0
        self.acknowledged: list[tuple[str, str, int]] = []

    def sync_part(
        self,
        tx: Transaction,
        user_id: str,
        device_id: str,
        since: int,
        upto: int,
        *,
        to_device_since: int | None = None,
        limit: int | None = None,
        lists_since: int | None = None,
        lists_limit: int | None = None,
    ) -> Part:
        """What was queued in (since, upto], at most `limit` messages."""
        self.asked += 1
        after = since if to_device_since is None else to_device_since
        begun = since if lists_since is None else lists_since
        changes = [found for found in self.changes if begun < found[0] <= upto][:lists_limit]
        queued = [found for found in self.queued.get((user_id, device_id), []) if after < found[0] <= upto][:limit]
        return Part(
            to_device=[content for _, content in queued],
            to_device_upto=queued[-1][0] if limit is not None and len(queued) == limit else upto,
            changed=[name for _, name in changes],
            lists_upto=changes[-1][0] if lists_limit is not None and len(changes) == lists_limit else upto,
            one_time_key_counts=dict(self.counts),
            unused_fallback_key_types=["signed_curve25519"],
        )

    async def acknowledge(self, user_id: str, device_id: str, upto: int) -> None:
        """Remember what was acknowledged."""
        self.acknowledged.append((user_id, device_id, upto))


class _Lifespan:
    async def start(self) -> None:
        """Nothing to start."""

    async def stop(self) -> None:
        """Nothing to stop."""


class Answer(dict[str, Any]):
    """A JSON object answered with a status."""

    status: int


class Device:
    """One person's device as an HTTP client."""

    def __init__(self, house: House, user_id: str, device_id: str) -> None:
        self.house = house
        self.user_id = user_id
        self.device_id = device_id
        self.since: str | None = None

    async def call(self, method: str, path: str, body: Any = None, **params: Any) -> Any:
        """The JSON answer; an object carries `status`."""
        path = path if path.startswith("/_matrix/") or path.startswith("/.well") else CLIENT + path
        answer = await self.house.client.request(
            method,
            path,
            json=body,
            params=params,
            headers={"authorization": f"Bearer {self.user_id}|{self.device_id}"},
        )
        parsed = answer.json()
        if not isinstance(parsed, dict):
            return parsed
        found = Answer(parsed)
        found.status = answer.status_code
        return found

    async def create(self, *invite: Device, **body: Any) -> str:
        """A new room with these people joined."""
        made = await self.call("POST", "/createRoom", {"invite": [device.user_id for device in invite], **body})
        assert made.status == 200, made
        for device in invite:
            joined = await device.call("POST", f"/join/{quote(made['room_id'])}", {})
            assert joined.status == 200, joined
        return str(made["room_id"])

    async def send(
        self, room: str, content: Any = None, txn: str | None = None, kind: str = "m.room.encrypted"
    ) -> Answer:
        """Send a message event."""
        txn = txn or f"t{next(_txns)}"
        found: Answer = await self.call(
            "PUT", f"/rooms/{quote(room)}/send/{kind}/{txn}", CIPHERTEXT if content is None else content
        )
        return found

    async def sync(self, since: str | None = None, **params: Any) -> Answer:
        """One sync from `since`."""
        if since is not None:
            params["since"] = since
        answer: Answer = await self.call("GET", "/sync", **params)
        return answer

    async def next(self, **params: Any) -> Answer:
        """The sync that follows this device's last one."""
        answer = await self.sync(self.since, **params)
        assert answer.status == 200, answer
        self.since = answer["next_batch"]
        return answer


class House:
    """A messenger and its clients."""

    def __init__(self, messenger: Messenger, devices: FakeDevices, client: httpx.AsyncClient, hooks: Hooks) -> None:
        self.messenger = messenger
        self.devices = devices
        self.client = client
        self.hooks = hooks
        self.people: set[str] = set()

    def device(self, name: str, device_id: str = "A") -> Device:
        """A device of `@name`, whose account exists from now on."""
        user_id = f"@{name}:{SERVER}"
        self.people.add(user_id)
        return Device(self, user_id, device_id)

    async def event_count(self) -> int:
        """How many events are stored."""
        found = await self.messenger.core.database.read(lambda tx: tx.row("SELECT COUNT(*) FROM events"))
        assert found is not None
        return int(found[0])


async def _authenticate(token: str) -> PersonPrincipal | None:
    user_id, _, device_id = token.partition("|")
    return PersonPrincipal(user_id, device_id)


@asynccontextmanager
async def house(
    path: Path,
    *,
    clock: Callable[[], int] | None = None,
    require_encryption: bool = True,
    presence: bool = False,
) -> AsyncIterator[House]:
    """A messenger on the database at `path`. Without presence, nothing wakes a sync but what a test does."""
    database = await open_test_database(path, ROOMS)
    devices, hooks, ticks = FakeDevices(), Hooks(), itertools.count(1_700_000_000_000)
    people: set[str] = set()
    messenger = Messenger(
        database,
        lambda _tx, user_id: user_id in people,
        devices,
        hooks,
        clock or (lambda: next(ticks)),
        server_name=SERVER,
        require_encryption=require_encryption,
        presence=presence,
        push_anywhere=True,
    )
    application = Application(
        endpoints(messenger, "http://localhost:8008"),
        {Access.PERSON: _authenticate},
        Limiter(lambda: 0.0, enabled=False),
        _Lifespan(),
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://test") as client:
        built = House(messenger, devices, client, hooks)
        built.people = people
        try:
            yield built
        finally:
            messenger.stop()
            await database.close()
