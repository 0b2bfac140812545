"""The OlmMachine that Element ships, and nio, through a real server."""

from __future__ import annotations

import httpx
import pytest

from tests.interop.conftest import StartNio, StartOlmMachine, StartPerson
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


async def test_an_unsigned_device_is_told_apart(olm_machine: StartOlmMachine) -> None:
    """A device that its owner has not signed gets no keys from a client that sends to signed ones alone."""
    author, reader = await olm_machine("machine-strict"), await olm_machine("machine-two")
    unsigned = await olm_machine("machine-two", log_in=True)
    author.devices = "owner_signed"
    room_id = await meet(author, reader)
    closed = await author.send(room_id, "for signed devices")
    await reader.read(room_id, closed)
    await unsigned.cannot_read(closed)
    assert await author.owner_signed(reader.user_id, reader.device_id) is True
    assert await author.owner_signed(reader.user_id, unsigned.device_id) is False
    author.devices = "any"
    await tell(author, unsigned, room_id, "for all devices")


async def test_person_and_olm_machine_trust_each_other(person: StartPerson, olm_machine: StartOlmMachine) -> None:
    """Paraph's client and an OlmMachine that deals with owner-signed devices alone, whoever opens the room."""
    ours, theirs = await person("person-one"), await olm_machine("machine-one")
    theirs.devices = theirs.senders = "owner_signed"
    await converse(ours, theirs)
    await converse(theirs, ours)
    assert await theirs.owner_signed(ours.user_id, ours.device_id) is True
    by_them = {message.event_id for message in ours.received.values() if message.sender == theirs.user_id}
    assert by_them
    assert by_them <= ours.verified


async def test_person_sends_no_key_to_an_unsigned_device(person: StartPerson, olm_machine: StartOlmMachine) -> None:
    """A device that logged in without its owner's signature reads nothing of what a Paraph client writes."""
    ours, signed = await person("person-strict"), await olm_machine("machine-both")
    room_id = await meet(ours, signed)
    unsigned = await olm_machine("machine-both", log_in=True)
    await ours.step(0)
    event_id = await ours.send(room_id, "for the signed device")
    assert (await signed.read(room_id, event_id)).body == "for the signed device"
    await unsigned.cannot_read(event_id)


@pytest.mark.parametrize("late", ["nio", "person"])
async def test_used_up_one_time_keys_fall_back(
    server: RunningServer, olm_machine: StartOlmMachine, nio: StartNio, person: StartPerson, late: str
) -> None:
    """When strangers have claimed every one-time key, a first message still arrives: by the fallback key."""
    reader = await olm_machine(f"machine-drained-by-{late}")
    author = await (nio if late == "nio" else person)(f"{late}-late")
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
