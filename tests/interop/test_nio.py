"""matrix-nio (a Python client that many bots use) against a real server."""

from __future__ import annotations

import pytest

from tests.interop.conftest import StartNio, StartPerson
from tests.interop.party import converse, meet, tell
from tests.support.databases import on_both_databases

pytestmark = [pytest.mark.slow, on_both_databases]


async def test_nio_clients_converse(nio: StartNio) -> None:
    """Two nio clients sign up, meet in an encrypted room and read each other."""
    await converse(await nio("nio-author"), await nio("nio-reader"))


async def test_nio_logs_in_on_a_second_device(nio: StartNio) -> None:
    """A message reaches a device that its reader logged in on before it was sent."""
    author, first = await nio("nio-writer"), await nio("nio-twice")
    second = await nio("nio-twice", log_in=True)
    room_id = await meet(author, first)
    await author.step(0)
    event_id = await author.send(room_id, "on both devices")
    assert (await first.read(room_id, event_id)).body == "on both devices"
    assert (await second.read(room_id, event_id)).body == "on both devices"
    await tell(second, author, room_id, "from the second device")


async def test_person_invites_nio(person: StartPerson, nio: StartNio) -> None:
    """Paraph's client opens the room; nio, which knows no cross-signing, joins; both read both."""
    await converse(await person("person-host"), await nio("nio-guest"))


async def test_nio_invites_person(person: StartPerson, nio: StartNio) -> None:
    """nio opens the room, Paraph's client joins; both read both."""
    await converse(await nio("nio-host"), await person("person-guest"))


async def test_a_new_nio_device_waits_to_be_accepted(person: StartPerson, nio: StartNio) -> None:
    """Of a person without identity the first devices are pinned; a later one gets keys once it is accepted."""
    ours, first = await person("person-careful"), await nio("nio-pinned")
    room_id = await meet(ours, first)
    await tell(ours, first, room_id, "to the device that I know")
    second = await nio("nio-pinned", log_in=True)
    await ours.step(0)
    event_id = await ours.send(room_id, "still to that device")
    await first.read(room_id, event_id)
    await second.cannot_read(event_id)
    await ours.person.accept_device(second.user_id, second.device_id)
    event_id = await ours.send(room_id, "to both")
    assert (await first.read(room_id, event_id)).body == "to both"
    assert (await second.read(room_id, event_id)).body == "to both"
