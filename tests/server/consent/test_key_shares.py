"""Keys for partners: recorded and queued together, from an enrolled device to live devices, under a live grant."""

from pathlib import Path
from typing import Any

import httpx

from tests.server.consent.support import DAY, NOW, Device, Person, World, olm, world


async def share(
    here: World, person: Person, grant: dict[str, Any], shares: list[dict[str, Any]], txn: str = "t1", **who: Device
) -> httpx.Response:
    """Hand keys over."""
    path = f"/_paraph/v1/grants/{grant['grant_id']}/key-shares/{txn}"
    device = who.get("device", person.device)
    headers = {"authorization": f"Bearer {person.user_id} {device.device_id}"}
    return await here.http.put(path, json={"shares": shares}, headers=headers)


def one(person: Person, device: Device, room_id: str | None = None, **changes: Any) -> dict[str, Any]:
    """One share."""
    session = None if room_id is None else {"room_id": room_id, "session_id": "s1", "first_index": 3}
    content = olm(person.device, device)
    return {"device_id": device.device_id, "content": content, "session": session} | changes


async def test_a_share_is_recorded_and_delivered_once(tmp_path: Path) -> None:
    """One entry and one key event for each share; the same transaction id again answers the same and adds nothing."""
    async with world(tmp_path) as here:
        author, other = await here.add_person("author"), await here.add_person("correspondent")
        partner = await here.add_partner()
        device = await here.add_partner_device(partner)
        room_id = await here.room(author, other)
        grant = await here.add_grant(author, partner, [room_id])
        shares = [one(author, device), one(author, device, room_id)]
        first = await share(here, author, grant, shares)
        assert first.status_code == 200, first.text
        assert (await share(here, author, grant, shares)).json() == first.json()
        bodies = [entry["body"] for entry in await here.entries(author, "key-share")]
        assert bodies == [item["entry"]["body"] for item in first.json()["entries"]]
        assert bodies[1] == {
            "grant_id": grant["grant_id"],
            "device_id": author.device.device_id,
            "partner_device_id": device.device_id,
            "session": {"room_id": room_id, "session_id": "s1", "first_index": 3},
        }
        events = await here.http.get(
            "/inbox/v1/key-events", params={"device_id": device.device_id}, headers=partner.headers
        )
        expected = {
            "sender": author.user_id,
            "sender_device": author.device.device_id,
            "content": olm(author.device, device),
        }
        assert events.json()["events"] == [expected, expected]


async def test_a_share_that_does_not_fit_is_refused_whole(tmp_path: Path) -> None:
    """One bad share among good ones: nothing is recorded, nothing is queued."""
    async with world(tmp_path) as here:
        author, other = await here.add_person("author"), await here.add_person("correspondent")
        partner, tempo = await here.add_partner(), await here.add_partner("tempo")
        device, ended = await here.add_partner_device(partner), await here.add_partner_device(partner)
        foreign = await here.add_partner_device(tempo)
        await here.end_partner_device(partner, ended)
        room_id, elsewhere = await here.room(author, other), await here.room(author, other)
        grant = await here.add_grant(author, partner, [room_id])
        good = one(author, device, room_id)
        cases: list[tuple[dict[str, Any], int]] = [
            (one(author, foreign, room_id), 403),
            (one(author, ended, room_id), 403),
            (one(author, device, elsewhere), 403),
            (one(author, device, room_id, content=olm(other.device, device)), 400),
            (one(author, device, room_id, content=olm(author.device, foreign)), 400),
            (one(author, device, room_id, content=olm(author.device, device) | {"algorithm": "none"}), 400),
            (one(author, device, room_id, content=olm(author.device, device) | {"extra": 1}), 400),
            (one(author, device, room_id, content={}), 400),
            (one(author, device, session={"room_id": room_id, "session_id": "", "first_index": 0}), 400),
            (one(author, device, session={"room_id": room_id, "session_id": "s", "first_index": -1}), 400),
            (one(author, device, session={"room_id": room_id}), 400),
        ]
        for bad, status in cases:
            answer = await share(here, author, grant, [good, bad])
            assert answer.status_code == status, answer.text
        assert (await share(here, author, grant, [])).status_code == 400
        assert (await share(here, author, grant, [good] * 101)).status_code == 400
        assert (await share(here, other, grant, [good])).status_code == 404
        assert await here.entries(author, "key-share") == []
        assert (await share(here, author, grant, [good])).status_code == 200


async def test_keys_are_taken_from_enrolled_devices_under_a_live_grant_only(tmp_path: Path) -> None:
    """Revoked, run out, paused, closed, or from a device that is not enrolled: refused."""
    async with world(tmp_path) as here:
        author, other = await here.add_person("author"), await here.add_person("correspondent")
        partner = await here.add_partner()
        device = await here.add_partner_device(partner)
        room_id = await here.room(author, other)
        grant = await here.add_grant(author, partner, [room_id])
        good = one(author, device, room_id)
        stock = await here.add_device(author)
        answer = await share(here, author, grant, [good], device=stock)
        assert (answer.status_code, answer.json()["errcode"]) == (403, "ORG_PARAPH_NOT_ENROLLED")
        closed = {"closed": True}
        await here.messenger.sending.set_state(
            other.device.principal, room_id, "org.paraph.closed", other.user_id, closed
        )
        assert (await share(here, author, grant, [good])).status_code == 403
        pause = here.amendment(author, grant, {"op": "pause", "pause_id": "A" * 43})
        await here.amend(author, grant, pause)
        assert (await share(here, author, grant, [good])).status_code == 409
        second = await here.add_grant(author, partner)
        here.clock.now = NOW + 31 * DAY
        assert (await share(here, author, second, [one(author, device)])).status_code == 409
        here.clock.now = NOW
        await here.revoke(author, second)
        answer = await share(here, author, second, [one(author, device)])
        assert (answer.status_code, answer.json()["errcode"]) == (409, "ORG_PARAPH_GRANT_OVER")
        assert await here.entries(author, "key-share") == []


async def test_without_the_verb_read_the_grant_key_is_taken_and_no_room_key(tmp_path: Path) -> None:
    """A partner that may only write checks its records with the one; the other would open what nobody granted."""
    async with world(tmp_path) as here:
        author, other = await here.add_person("author"), await here.add_person("correspondent")
        partner = await here.add_partner(verbs=["read", "write:draft"])
        device = await here.add_partner_device(partner)
        room_id = await here.room(author, other)
        grant = await here.add_grant(author, partner, [room_id], verbs=["write:draft"])
        assert (await share(here, author, grant, [one(author, device)])).status_code == 200
        answer = await share(here, author, grant, [one(author, device), one(author, device, room_id)], txn="t2")
        assert (answer.status_code, answer.json()["errcode"]) == (409, "ORG_PARAPH_GRANT_OVER")
        assert [entry["body"]["session"] for entry in await here.entries(author, "key-share")] == [None]
