"""A partner device's one-time keys and key events."""

import asyncio
from pathlib import Path

import httpx

from tests.server.consent.support import Device, PartnerParty, World, olm, one_time_key, world
from tests.server.ledger.support import until


async def upload(here: World, partner: PartnerParty, device: Device, signer: Device | None = None) -> httpx.Response:
    """Publish two one-time keys and a fallback key."""
    made = {f"signed_curve25519:AAAA{n}": one_time_key(signer or device, f"AAAA{n}") for n in range(3)}
    fallback = {name: made.pop(name) for name in ["signed_curve25519:AAAA2"]}
    body = {"device_id": device.device_id, "one_time_keys": made, "fallback_keys": fallback}
    return await here.http.post("/inbox/v1/device-keys", json=body, headers=partner.headers)


async def test_one_time_keys_are_claimed_once_and_under_a_grant(tmp_path: Path) -> None:
    """The counts come back; a person with a live grant claims, one without gets nothing."""
    async with world(tmp_path) as here:
        author, other = await here.add_person("author"), await here.add_person("other")
        partner = await here.add_partner()
        device = await here.add_partner_device(partner)
        answer = await upload(here, partner, device)
        assert answer.json() == {
            "one_time_key_counts": {"signed_curve25519": 2},
            "unused_fallback_key_types": ["signed_curve25519"],
        }
        wanted = {partner.user_id: {device.device_id: "signed_curve25519"}}
        await here.add_grant(author, partner)
        assert await here.devices.claim(other.user_id, wanted) == {}
        claimed = [await here.devices.claim(author.user_id, wanted) for _ in range(4)]
        names = [next(iter(answer[partner.user_id][device.device_id])) for answer in claimed]
        assert names == [f"signed_curve25519:AAAA{n}" for n in (0, 1, 2, 2)]


async def test_the_end_of_a_device_drops_its_keys(tmp_path: Path) -> None:
    """Nobody can claim what an ended device left behind."""
    async with world(tmp_path) as here:
        author = await here.add_person("author")
        partner = await here.add_partner()
        device = await here.add_partner_device(partner)
        await upload(here, partner, device)
        await here.add_grant(author, partner)
        await here.end_partner_device(partner, device)
        wanted = {partner.user_id: {device.device_id: "signed_curve25519"}}
        assert await here.devices.claim(author.user_id, wanted) == {}


async def test_keys_of_foreign_devices_and_signatures_are_refused(tmp_path: Path) -> None:
    """A partner publishes for its own live devices, signed by them."""
    async with world(tmp_path) as here:
        partner, tempo = await here.add_partner(), await here.add_partner("tempo")
        device = await here.add_partner_device(partner)
        impostor = Device(device.owner, device.device_id)
        assert (await upload(here, tempo, device)).json()["type"] == "urn:paraph:problem:no-such-device"
        answer = await upload(here, partner, device, impostor)
        assert (answer.status_code, answer.json()["type"]) == (400, "urn:paraph:problem:invalid-signature")
        await here.end_partner_device(partner, device)
        assert (await upload(here, partner, device)).status_code == 404
        bad = await here.http.post("/inbox/v1/device-keys", content=b"{", headers=partner.headers)
        assert (bad.status_code, bad.json()["type"]) == (400, "urn:paraph:problem:not-json")


async def test_key_events_wait_are_acknowledged_and_are_the_devices_own(tmp_path: Path) -> None:
    """A long poll returns when something comes; `since` deletes; another partner has no such device."""
    async with world(tmp_path) as here:
        author = await here.add_person("author")
        partner, tempo = await here.add_partner(), await here.add_partner("tempo")
        device = await here.add_partner_device(partner)
        grant = await here.add_grant(author, partner)

        async def events(who: PartnerParty = partner, **params: str | int) -> httpx.Response:
            query = {"device_id": device.device_id, **params}
            return await here.http.get("/inbox/v1/key-events", params=query, headers=who.headers)

        async def share(txn: str) -> None:
            body = {"device_id": device.device_id, "content": olm(author.device, device), "session": None}
            answer = await here.http.put(
                f"/_paraph/v1/grants/{grant['grant_id']}/key-shares/{txn}",
                json={"shares": [body]},
                headers={"authorization": f"Bearer {author.user_id} {author.device.device_id}"},
            )
            assert answer.status_code == 200, answer.text

        assert (await events()).json()["events"] == []
        waiting = asyncio.create_task(events(timeout=20_000))
        await asyncio.sleep(0)
        await share("t1")
        first = (await asyncio.wait_for(waiting, 5)).json()
        assert len(first["events"]) == 1
        assert (await events()).json() == first
        await share("t2")
        second = (await events(since=first["next"])).json()
        assert len(second["events"]) == 1
        assert (await events()).json() == second, "what was acknowledged is gone"
        assert (await events(since=second["next"])).json() == {"events": [], "next": second["next"]}
        assert (await events(tempo)).status_code == 404
        missing = await here.http.get("/inbox/v1/key-events", headers=partner.headers)
        assert missing.json()["type"] == "urn:paraph:problem:bad-parameter"


async def test_the_end_of_the_server_lets_go_of_a_long_poll(tmp_path: Path) -> None:
    """Whoever waits is answered with nothing."""
    async with world(tmp_path) as here:
        partner = await here.add_partner()
        device = await here.add_partner_device(partner)
        query = {"device_id": device.device_id, "timeout": "20000"}
        waiting = asyncio.create_task(here.http.get("/inbox/v1/key-events", params=query, headers=partner.headers))
        await until(lambda: here.messenger.core.notifier.is_waiting(partner.user_id))
        here.messenger.stop()
        assert (await asyncio.wait_for(waiting, 5)).json()["events"] == []
