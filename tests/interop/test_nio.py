"""matrix-nio (a Python client that many bots use) against a real server."""

from __future__ import annotations

import pytest

from tests.interop.conftest import StartNio
from tests.interop.party import converse, meet, tell

pytestmark = pytest.mark.slow


async def test_nio_clients_converse(nio: StartNio) -> None:
    """Two nio clients sign up, meet in an encrypted room and read each other."""
    await converse(await nio("nio-author"), await nio("nio-reader"))


async def test_nio_logs_in_on_a_second_device(nio: StartNio) -> None:
    """A message reaches a device that its reader logged in on before it was sent."""
    author, first = await nio("nio-writer"), await nio("nio-twice")
    second = await nio("nio-twice", log_in=True)
    room_id = await meet(author, first)
    event_id = await author.send(room_id, "on both devices")
    assert (await first.read(room_id, event_id)).body == "on both devices"
    assert (await second.read(room_id, event_id)).body == "on both devices"
    await tell(second, author, room_id, "from the second device")
