"""Two messengers on one PostgreSQL database, as two processes have them: each takes in what the other wrote."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paraph.server.messenger.following import MAX_STRETCH
from paraph.server.messenger.views import View
from paraph.server.storage import Transaction
from tests.server.messenger.house import CIPHERTEXT, Device, House, house
from tests.server.messenger.test_interleavings import DEVICES, PEOPLE, World, step

pytestmark = pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)


@pytest.fixture
async def homes(tmp_path: Path, dialect: str) -> AsyncIterator[tuple[House, House]]:
    """Two of them."""
    async with house(tmp_path / "paraph.db") as first, house(tmp_path / "paraph.db") as second:
        yield first, second


def both(homes: tuple[House, House], name: str) -> tuple[Device, Device]:
    """One device of a person, seen from each messenger."""
    here, there = (home.device(name) for home in homes)
    return here, there


async def heard(home: House) -> None:
    """Return once this messenger knows of everything that is durable."""
    await home.messenger.core.database.write(lambda _tx: None)


_moves = st.tuples(st.just("move"), st.integers(0, len(DEVICES) + len(PEOPLE) - 1), st.integers(0, 1))


class Worlds(World):
    """The world of the interleavings, in which devices and people go from one messenger to the other."""

    def __init__(self, homes: list[House]) -> None:
        super().__init__(homes[0])
        self.homes = homes
        for name in PEOPLE:
            homes[1].device(name)

    async def do(self, step: Any) -> None:
        if step[0] == "move":
            devices = [client.device for client in self.clients] + list(self.people.values())
            devices[step[1]].house = self.homes[step[2]]
        elif step[0] == "forget":
            for home in self.homes:
                self.home = home
                await super().do(step)
        else:
            await super().do(step)

    async def check(self) -> None:
        for home in self.homes:
            await heard(home)
        for home in self.homes:
            for client in self.clients:
                client.device.house = home
            await super().check()


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(st.one_of(step, step, _moves), min_size=3, max_size=25))
def test_devices_that_change_between_processes_get_every_event_once_and_in_order(
    dialect: str, steps: list[Any]
) -> None:
    """As with one process, whatever happens in whatever order, through whichever process."""

    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with AsyncExitStack() as stack:
                homes = [await stack.enter_async_context(house(Path(folder) / "paraph.db")) for _ in range(2)]
                world = Worlds(homes)
                await world.begin()
                for each in steps:
                    await world.do(each)
                await world.check()

    asyncio.run(run())


async def test_what_is_taken_in_is_what_a_fresh_load_gives(homes: tuple[House, House]) -> None:
    """After events, state, redactions and a departure elsewhere, the room in memory equals the room in the tables."""
    here, there = both(homes, "author")
    friend_here, friend_there = both(homes, "friend")
    room = await here.create(friend_here, preset="public_chat", power_level_content_override={"state_default": 0})
    for device in (here, there, friend_here, friend_there):
        await device.next()
    await there.send(room)  # loads the room there as well
    ids = [(await here.send(room))["event_id"] for _ in range(5)]
    topic = f"/rooms/{quote(room)}/state/m.room.topic/"
    first = await here.call("PUT", topic, {"topic": "one"})
    await here.call("PUT", topic, {"topic": "two"})
    for target in (ids[1], first["event_id"]):
        await here.call("PUT", f"/rooms/{quote(room)}/redact/{quote(target)}/r{target[1:6]}", {})
    await friend_here.call("POST", f"/rooms/{quote(room)}/leave", {})
    await heard(homes[1])
    core = homes[1].messenger.core
    held = core.rooms.held(room)
    fresh = await core.database.read(lambda tx: core.store.load_room(tx, room))
    assert held is not None
    assert fresh is not None
    assert held.state == fresh.state
    assert held.memberships == fresh.memberships
    assert list(held.joined) == list(fresh.joined) == [here.user_id]
    assert list(held.tail)[-len(fresh.tail) :] == list(fresh.tail)
    view = core.views.held(friend_there.user_id)
    assert view is not None
    assert view.rooms[room].membership == "leave"


async def test_a_room_forgotten_elsewhere_stays_forgotten_until_the_next_invitation(homes: tuple[House, House]) -> None:
    """Forgetting has no event of its own; an invitation that follows it counts, in whatever order both are heard."""
    here = homes[0].device("author")
    friend_here, friend_there = both(homes, "friend")
    room = await here.create(friend_here)
    await friend_there.next()
    path = f"/rooms/{quote(room)}"
    await friend_here.call("POST", f"{path}/leave", {})
    await friend_here.call("POST", f"{path}/forget", {})
    await heard(homes[1])
    view = homes[1].messenger.core.views.held(friend_there.user_id)
    assert view is not None
    assert room not in view.rooms
    await here.call("POST", f"{path}/invite", {"user_id": friend_here.user_id})
    await friend_here.call("POST", f"{path}/leave", {})
    await friend_here.call("POST", f"{path}/forget", {})
    await here.call("POST", f"{path}/invite", {"user_id": friend_here.user_id})
    await heard(homes[1])
    assert view.rooms[room].membership == "invite"


def deafen(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this messenger hear of the other only when it writes: as if every notification came late."""
    database = home.messenger.core.database
    monkeypatch.setattr(database._watch, "look_again", lambda: None)  # type: ignore[attr-defined]
    monkeypatch.setattr(database, "_catch_up", lambda _tx: None)


async def test_a_token_from_a_process_that_is_ahead_is_honoured(
    homes: tuple[House, House], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one catches up with it first: nothing is shown twice, nothing is left out, and no token goes back."""
    here, there = both(homes, "author")
    room = await here.create()
    await there.next()
    deafen(homes[1], monkeypatch)
    for limit in (1, 4):
        ids = [(await here.send(room))["event_id"] for _ in range(3)]
        await here.next()
        answer = await there.sync(here.since)
        assert "rooms" not in answer
        assert answer["next_batch"] == here.since
        ids.append((await here.send(room))["event_id"])
        newest = (await here.next())["next_batch"]
        page = await there.call("GET", f"/rooms/{quote(room)}/messages", limit=limit, **{"dir": "b", "from": newest})
        assert [event["event_id"] for event in page["chunk"]] == ids[::-1][:limit]
    members = f"/rooms/{quote(room)}/members"
    friend = homes[0].device("friend")
    await here.call("POST", f"/rooms/{quote(room)}/invite", {"user_id": friend.user_id})
    at = (await here.next())["next_batch"]
    found = await there.call("GET", members, at=at)
    assert {event["state_key"] for event in found["chunk"]} == {here.user_id, friend.user_id}


async def test_what_was_done_elsewhere_is_not_denied(
    homes: tuple[House, House], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that has not heard of a room, or of a message, looks again before it says so."""
    here, there = both(homes, "author")
    await there.next()
    deafen(homes[1], monkeypatch)
    room = await here.create()
    assert (await there.call("GET", f"/rooms/{quote(room)}/state/m.room.create/")).status == 200
    sent = await here.send(room)
    assert (await there.call("GET", f"/rooms/{quote(room)}/event/{quote(sent['event_id'])}")).status == 200
    assert (await there.call("GET", f"/rooms/{quote(room)}/event/$nothing")).status == 404


async def test_a_process_that_was_away_for_long_begins_anew(homes: tuple[House, House]) -> None:
    """More than it takes in one by one: it forgets, wakes everybody, and answers from the tables."""
    here, there = both(homes, "author")
    room = await here.create()
    await there.send(room)
    await there.next()
    waiting = asyncio.create_task(there.next(timeout=20_000))
    await asyncio.sleep(0.05)

    def skip(tx: Transaction) -> None:
        for _ in range(MAX_STRETCH):
            tx.next_position()

    sent = asyncio.gather(homes[0].messenger.core.database.write(skip), here.send(room))
    answer = await waiting
    while "rooms" not in answer or not answer["rooms"]["join"][room]["timeline"]["events"]:
        answer = await there.next(timeout=20_000)
    seen = [event["event_id"] for event in answer["rooms"]["join"][room]["timeline"]["events"]]
    assert seen[-1] == (await sent)[1]["event_id"]
    assert homes[1].messenger.core.rooms.held(room) is None


async def test_what_cannot_be_taken_in_is_forgotten_and_stops_nobody(
    homes: tuple[House, House], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event that this process cannot read costs it its memory; it goes on writing, from the tables."""
    here, there = both(homes, "author")
    room = await here.create()
    await there.send(room)
    await there.next()
    core = homes[1].messenger.core
    with monkeypatch.context() as patch:
        patch.setattr(core.following, "_read", lambda *_: 1 // 0)
        first = await here.send(room)
        await heard(homes[1])
    assert core.rooms.held(room) is None
    second = await there.send(room)
    events = (await there.next())["rooms"]["join"][room]["timeline"]["events"]
    assert [event["event_id"] for event in events] == [first["event_id"], second["event_id"]]


def test_a_change_that_is_heard_of_late_hides_no_other() -> None:
    """Events of a stretch come before its receipts, whatever their positions; rooms stay in order of change."""
    view = View({}, 10)
    view.touch("!event", 15)
    view.touch("!receipt", 13)
    assert set(view.changed_since(12)) == {"!event", "!receipt"}
    assert "!event" in set(view.changed_since(14))
    assert set(view.changed_since(15)) == set()


async def test_a_process_in_which_nobody_syncs_reads_nothing(
    homes: tuple[House, House], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing in memory to keep exact; so a process that has just started can bring the schema up to date."""
    here = homes[0].device("author")
    store = homes[1].messenger.core.store
    monkeypatch.setattr(store, "events_between", lambda *_: pytest.fail("read"))
    await here.send(await here.create())
    await heard(homes[1])
    assert homes[1].messenger.core.database.position == homes[0].messenger.core.database.position


async def test_what_is_unread_and_what_relates_is_known_everywhere(homes: tuple[House, House]) -> None:
    """Messages, receipts, rules and edits that another process took in count, and are bundled, here as well."""
    author, _ = both(homes, "author")
    reader, reader_there = both(homes, "friend")
    room = await author.create(reader)
    await reader_there.next()

    async def unread() -> int:
        await heard(homes[1])
        section = (await reader_there.next())["rooms"]["join"][room]
        return int(section["unread_notifications"]["notification_count"])

    sent = [(await author.send(room))["event_id"] for _ in range(3)]
    assert await unread() == 3
    await reader.call("POST", f"/rooms/{quote(room)}/receipt/m.read/{quote(sent[1])}", {})
    assert await unread() == 1
    relation = {"rel_type": "m.replace", "event_id": sent[2]}
    edit = await author.send(room, CIPHERTEXT | {"m.relates_to": relation})
    assert await unread() == 1
    since = reader_there.since
    await reader.call("PUT", "/pushrules/global/override/.m.rule.master/enabled", {"enabled": True})
    await author.send(room)
    assert await unread() == 0
    events = (await reader_there.sync())["rooms"]["join"][room]["timeline"]["events"]
    (edited,) = [event for event in events if event["event_id"] == sent[2]]
    assert edited["unsigned"]["m.relations"]["m.replace"]["event_id"] == edit["event_id"]
    assert since != reader_there.since
