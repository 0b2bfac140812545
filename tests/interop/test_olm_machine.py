"""The OlmMachine that Element ships, and nio, through a real server."""

from __future__ import annotations

import httpx
import pytest

from tests.interop.conftest import StartNio, StartOlmMachine
from tests.interop.olm_machine_party import OlmMachineParty
from tests.interop.party import converse, meet, tell
from tests.support.server import RunningServer

pytestmark = pytest.mark.slow


async def test_olm_machines_converse(olm_machine: StartOlmMachine) -> None:
    """Two OlmMachine clients that send to and read from owner-signed devices alone understand each other."""
    one, other = await olm_machine("machine-author"), await olm_machine("machine-reader")
    one.devices = other.devices = one.senders = other.senders = "owner_signed"
    await converse(one, other)
    assert await one.owner_signed(other.user_id, other.device_id) is True


async def test_olm_machine_invites_nio(olm_machine: StartOlmMachine, nio: StartNio) -> None:
    """OlmMachine opens the room, nio joins, both read both."""
    await converse(await olm_machine("machine-host"), await nio("nio-guest"))


async def test_nio_invites_olm_machine(olm_machine: StartOlmMachine, nio: StartNio) -> None:
    """nio opens the room, OlmMachine joins, both read both."""
    await converse(await nio("nio-host"), await olm_machine("machine-guest"))


async def test_an_unsigned_device_is_told_apart(olm_machine: StartOlmMachine, nio: StartNio) -> None:
    """A device that its owner has not signed gets no keys from a client that sends to signed ones alone."""
    author, reader = await olm_machine("machine-strict"), await olm_machine("machine-two")
    unsigned = await olm_machine("machine-two", log_in=True)
    author.devices = "owner_signed"
    room_id = await meet(author, reader)
    await tell(author, reader, room_id, "for signed devices")
    assert await author.owner_signed(reader.user_id, reader.device_id) is True
    assert await author.owner_signed(reader.user_id, unsigned.device_id) is False
    author.devices = "any"
    event_id = await author.send(room_id, "for all devices")
    await unsigned.read(room_id, event_id)
    assert [message.body for message in unsigned.received.values()] == ["for all devices"]


async def test_used_up_one_time_keys_fall_back(
    server: RunningServer, olm_machine: StartOlmMachine, nio: StartNio
) -> None:
    """When strangers have claimed every one-time key, a first message still arrives: by the fallback key."""
    reader, author = await olm_machine("machine-drained"), await nio("nio-late")
    room_id = await meet(author, reader)
    one_time, fallback = await claim_until_fallback(server, reader)
    assert len(one_time) >= 10
    assert len(set(one_time)) == len(one_time), "a one-time key was handed out twice"
    await tell(author, reader, room_id, "You can still read this.")
    await tell(reader, author, room_id, "I can.")
    await reader.step(0)
    renewed, _ = await claim_until_fallback(server, reader, at_most=1)
    assert renewed, "no new one-time keys after they were used up"
    assert renewed[0] not in {*one_time, fallback}


async def claim_until_fallback(
    server: RunningServer, owner: OlmMachineParty, *, at_most: int = 200
) -> tuple[list[str], str | None]:
    """Claim the owner's one-time keys until a fallback key comes; the public keys of both."""
    token = {"Authorization": f"Bearer {owner.access_token}"}
    wanted = {"one_time_keys": {owner.user_id: {owner.device_id: "signed_curve25519"}}}
    keys: list[str] = []
    async with httpx.AsyncClient(base_url=f"{server.url}/_matrix/client/v3", headers=token) as client:
        for _ in range(at_most):
            answer = (await client.post("/keys/claim", json=wanted)).raise_for_status().json()
            (key,) = answer["one_time_keys"][owner.user_id][owner.device_id].values()
            if key.get("fallback"):
                return keys, key["key"]
            keys.append(key["key"])
    return keys, None
