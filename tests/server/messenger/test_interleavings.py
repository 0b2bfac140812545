"""Any interleaving of sends, joins, leaves, renames and syncs, against a model of what each device must end up with.

A device collects the timelines of its syncs and fills gaps from `/messages`, as a client does. In the end it must
hold every event of each room up to where its person can see, exactly once and in order, and the room's exact state.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paraph.server.messenger.rooms import Rooms
from tests.server.messenger.house import Device, House, house

PEOPLE = ("author", "friend", "other")
DEVICES = (("author", "A"), ("author", "B"), ("friend", "A"), ("other", "A"))
ROOMS = 2

_person = st.sampled_from(PEOPLE)
_room = st.integers(0, ROOMS - 1)
_change = st.one_of(
    st.tuples(st.just("send"), _person, _room),
    st.tuples(st.just("send"), _person, _room),
    st.tuples(st.just("join"), _person, _room),
    st.tuples(st.just("leave"), _person, _room),
    st.tuples(st.just("rename"), _person, _room),
)
_sync = st.tuples(st.just("sync"), st.integers(0, len(DEVICES) - 1), st.integers(1, 4))
step = st.one_of(
    st.lists(st.one_of(_change, _sync), min_size=1, max_size=6).map(lambda steps: ("together", steps)),
    _change,
    _sync,
    st.tuples(st.just("forget"), st.sampled_from(["rooms", "views", "both"])),
)


@dataclass
class _Held:
    """What one device has of one room."""

    events: list[str] = field(default_factory=list)
    state: dict[tuple[str, str], str] = field(default_factory=dict)


@dataclass
class _Client:
    device: Device
    rooms: dict[str, _Held] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def sync(self, limit: int) -> None:
        """Sync once, filling gaps."""
        async with self.lock:
            answer = await self.device.next(filter=f'{{"room":{{"timeline":{{"limit":{limit}}}}}}}')
        found = answer.get("rooms", {})
        for room, section in {**found.get("join", {}), **found.get("leave", {})}.items():
            held = self.rooms.setdefault(room, _Held())
            events = section["timeline"]["events"]
            if section["timeline"]["limited"]:
                held.events += await self._gap(room, section["timeline"]["prev_batch"], set(held.events))
            held.events += [event["event_id"] for event in events]
            for event in [*section["state"]["events"], *events]:
                if "state_key" in event:
                    held.state[event["type"], event["state_key"]] = event["event_id"]

    async def _gap(self, room: str, token: str, known: set[str]) -> list[str]:
        """Events behind `token` back to one that is known, oldest first."""
        found: list[str] = []
        while True:
            page = await self.device.call(
                "GET", f"/rooms/{quote(room)}/messages", limit=3, **{"dir": "b", "from": token}
            )
            for event in page["chunk"]:
                if event["event_id"] in known:
                    return found[::-1]
                found.append(event["event_id"])
            if "end" not in page:
                return found[::-1]
            token = page["end"]


class World:
    def __init__(self, home: House) -> None:
        self.home = home
        self.clients = [_Client(home.device(name, device)) for name, device in DEVICES]
        self.people = {name: home.device(name) for name in PEOPLE}
        self.rooms: list[str] = []
        self.topics = itertools.count()

    async def begin(self) -> None:
        for client in self.clients:
            await client.sync(1)
        for index in range(ROOMS):
            owner = self.people[PEOPLE[index]]
            self.rooms.append(
                await owner.create(preset="public_chat", power_level_content_override={"state_default": 0})
            )

    async def do(self, step: Any) -> None:
        if step[0] == "together":
            await asyncio.gather(*(self.do(inner) for inner in step[1]))
        elif step[0] == "sync":
            await self.clients[step[1]].sync(step[2])
        elif step[0] == "forget":
            core = self.home.messenger.core
            if step[1] in ("rooms", "both"):
                core.rooms = Rooms(core.store, max_rooms=1)
            if step[1] in ("views", "both"):
                core.views._held.clear()
        else:
            await self._change(step[0], self.people[step[1]], self.rooms[step[2]])

    async def _change(self, kind: str, person: Device, room: str) -> None:
        if kind == "send":
            await person.send(room)
        elif kind == "rename":
            topic = {"topic": f"topic {next(self.topics)}"}
            await person.call("PUT", f"/rooms/{quote(room)}/state/m.room.topic/", topic)
        else:
            await person.call("POST", f"/rooms/{quote(room)}/{kind}", {})

    async def check(self) -> None:
        read = self.home.messenger.core.database.read
        for client in self.clients:
            await client.sync(3)
            user_id = client.device.user_id
            for room in self.rooms:
                held = client.rooms.get(room, _Held())
                seen = await read(partial(_visible, user_id, room))
                assert held.events == seen
                if seen:
                    state = await client.device.call("GET", f"/rooms/{quote(room)}/state")
                    assert held.state == {(event["type"], event["state_key"]): event["event_id"] for event in state}


def _visible(user_id: str, room: str, tx: Any) -> list[str]:
    """The model: everything up to now for a member, up to the leave for a former one, nothing for others."""
    member = tx.rows(
        "SELECT position, json FROM events WHERE room_id = :room AND type = 'm.room.member' AND state_key = :user"
        " ORDER BY position",
        {"room": room, "user": user_id},
    )
    if not member:
        return []
    upto = 2**62 if b'"membership":"join"' in member[-1][1].split(b'"unsigned"')[0] else member[-1][0]
    rows = tx.rows(
        "SELECT event_id FROM events WHERE room_id = :room AND position <= :upto ORDER BY position",
        {"room": room, "upto": upto},
    )
    return [row[0] for row in rows]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(step, min_size=3, max_size=25))
def test_every_device_gets_every_event_of_its_membership_once_and_in_order(steps: list[Any]) -> None:
    """Whatever happens in whatever order, with whatever forgotten from memory in between."""

    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with house(Path(folder) / "paraph.db") as home:
                world = World(home)
                await world.begin()
                for each in steps:
                    await world.do(each)
                await world.check()

    asyncio.run(run())
