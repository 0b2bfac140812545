"""Drafts at the platform: who may leave one, who may seal it and how often, and what is recorded of it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from paraph.protocol import entry as protocol
from paraph.protocol.base64 import b64, unb64url
from paraph.protocol.receipt import verify_receipt
from paraph.server.http import PartnerPrincipal, Problem
from paraph.server.inbox import drafts as service
from paraph.tlog.merkle import leaf_hash
from tests.server.consent.support import DAY, olm, one_time_key, world
from tests.server.inbox.drafting import Desk, code


async def test_a_draft_is_left_claimed_sealed_and_told(tmp_path: Path) -> None:
    """Queued, reached, claimed, sealed: the partner is told each time, and the message says through whom it came."""
    async with world(tmp_path) as here:
        desk = await Desk(here).set()
        draft_id = await desk.left()
        assert (await desk.told(draft_id))["devices_reached"] is False
        shown = await desk.listed()
        assert [item["draft"]["draft_id"] for item in shown] == [draft_id]
        told = await desk.told(draft_id)
        assert (told["status"], told["devices_reached"]) == ("queued", True)
        assert (await desk.claim(draft_id)).json()["status"] == "claimed"
        assert await desk.status(draft_id) == "claimed"
        event_id = await desk.seal(draft_id)
        told = await desk.told(draft_id)
        assert (told["status"], told["event_id"], told["room_id"]) == ("sealed", event_id, desk.room_id)
        (event,) = await desk.texts()
        assert event["content"]["org.paraph.via"] == {"partner": "marquee", "draft_id": draft_id}
        assert await desk.listed() == []


async def test_every_step_is_on_record(tmp_path: Path) -> None:
    """Left, sealed, declined, withdrawn, expired: an entry each under the grant's label, promised by a receipt."""
    async with world(tmp_path) as here:
        desk = await Desk(here).set()
        first, second, third = [await desk.left() for _ in range(3)]
        short = await desk.left(expires=here.clock.now + 1_000)
        event_id = await desk.sealed(first)
        answer = await desk.decline(second, reason="not like this")
        assert answer.json()["entry"]["entry"]["body"]["status"] == "declined"
        assert (await desk.told(second))["reason"] == "not like this"
        assert (await desk.withdraw(third)).json()["status"] == "withdrawn"
        here.clock.now += 2_000
        assert await here.drafts.expire() == 1
        ends: list[dict[str, Any]] = [
            {"draft_id": first, "status": "sealed", "room_id": desk.room_id, "event_id": event_id},
            {"draft_id": second, "status": "declined", "room_id": None, "event_id": None},
            {"draft_id": third, "status": "withdrawn", "room_id": None, "event_id": None},
            {"draft_id": short, "status": "expired", "room_id": None, "event_id": None},
        ]
        left = [{**end, "status": "queued", "room_id": None, "event_id": None} for end in ends]
        bodies = [entry["body"] for entry in await here.entries(desk.author, "draft")]
        assert bodies == [{"grant_id": desk.grant["grant_id"], **body} for body in [*left, *ends]]
        item = (await desk.told(first))["entries"][1]
        key = protocol.grant_key(desk.author.k, desk.grant["grant_id"])
        assert unb64url(item["label"]) == protocol.access_label(key, item["week"])
        commitment = protocol.commitment(item["entry"], unb64url(item["o1"]), unb64url(item["o2"]))
        leaf = protocol.private_leaf(item["week"], unb64url(item["label"]), commitment)
        receipt = verify_receipt(item["receipt"], log=here.ledger.origin, receipt_key=here.ledger.receipts.public_key)
        assert unb64url(receipt.leaf) == leaf_hash(leaf)
        assert await here.ledger.integrated(leaf_hash(leaf), 5_000) is not None


async def test_the_same_requests_again_change_nothing(tmp_path: Path) -> None:
    """Leaving, sealing, declining and withdrawing may be repeated: one draft, one message, one record of each."""
    async with world(tmp_path) as here:
        desk = await Desk(here).set()
        document = desk.document()
        answers = [await desk.post(document) for _ in range(2)]
        assert answers[0].json() == answers[1].json()
        draft_id = document["draft_id"]
        assert {await desk.sealed(draft_id), await desk.seal(draft_id)} == {(await desk.told(draft_id))["event_id"]}
        other = await desk.left()
        assert (await desk.decline(other)).json() == (await desk.decline(other)).json()
        assert (await desk.post(document)).json()["status"] == "sealed"
        changed = desk.document(draft_id=draft_id, expires=here.clock.now + 5)
        assert code(await desk.post(changed)) == "conflict"
        assert len(await here.entries(desk.author, "draft")) == 4
        assert len(await desk.texts()) == 1


async def test_two_devices_never_send_one_draft_twice(tmp_path: Path) -> None:
    """Of two devices that claim at once one gets it; the other neither sends nor declines while the claim holds."""
    async with world(tmp_path) as here:
        desk = await Desk(here).set()
        second = await desk.second_device()
        both = (desk.author.device, second)
        draft_id = await desk.left(*both)
        answers = await asyncio.gather(*(desk.claim(draft_id, device) for device in both))
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        winner, loser = both if answers[0].status_code == 200 else both[::-1]
        assert await desk.refused(draft_id, device=loser) == "ORG_PARAPH_DRAFT_NOT_CLAIMED"
        assert code(await desk.decline(draft_id, loser)) == "ORG_PARAPH_DRAFT_CLAIMED"
        assert code(await desk.withdraw(draft_id)) == "draft-claimed"
        await desk.seal(draft_id, device=winner)
        assert code(await desk.claim(draft_id, loser)) == "ORG_PARAPH_DRAFT_SETTLED"
        assert await desk.refused(draft_id, device=loser) == "ORG_PARAPH_DRAFT_SETTLED"
        assert len(await desk.texts()) == 1


async def test_a_claim_runs_out_and_another_device_takes_over(tmp_path: Path) -> None:
    """After a minute the draft is anybody's of hers again, and the device that slept cannot send it any more."""
    async with world(tmp_path) as here:
        desk = await Desk(here).set()
        second = await desk.second_device()
        draft_id = await desk.left(desk.author.device, second)
        assert (await desk.claim(draft_id)).status_code == 200
        here.clock.now += service.LEASE_MS
        assert await desk.status(draft_id) == "queued"
        assert await desk.refused(draft_id) == "ORG_PARAPH_DRAFT_NOT_CLAIMED"
        assert (await desk.claim(draft_id, second)).status_code == 200
        assert await desk.refused(draft_id) == "ORG_PARAPH_DRAFT_NOT_CLAIMED"
        await desk.seal(draft_id, device=second)
        assert len(await desk.texts()) == 1


async def test_a_via_that_is_not_this_drafts_is_refused(tmp_path: Path) -> None:
    """Another person's, another partner's, an unclaimed, invented or malformed draft, or another transaction id."""
    async with world(tmp_path) as here:
        desk = await Desk(here).set()
        draft_id = await desk.left()
        assert await desk.refused(draft_id) == "ORG_PARAPH_DRAFT_NOT_CLAIMED"
        assert (await desk.claim(draft_id)).status_code == 200
        assert await desk.refused(draft_id, person=desk.other) == "M_FORBIDDEN"
        invented = "dr_" + "A" * 22
        cases: list[tuple[Any, str]] = [
            ({"partner": "tempo", "draft_id": draft_id}, "M_FORBIDDEN"),
            ({"partner": "marquee", "draft_id": invented}, "M_FORBIDDEN"),
            ({"partner": "marquee"}, "ORG_PARAPH_BAD_DOCUMENT"),
            ({"partner": "marquee", "draft_id": draft_id, "more": 1}, "ORG_PARAPH_BAD_DOCUMENT"),
            ("marquee", "ORG_PARAPH_BAD_DOCUMENT"),
        ]
        for via, wanted in cases:
            assert await desk.refused(draft_id, via=via) == wanted
        assert await desk.refused(draft_id, txn_id="another") == "M_FORBIDDEN"
        with pytest.raises(Exception, match="nowhere else"):
            await here.messenger.sending.send(
                desk.author.device.principal,
                desk.room_id,
                "m.reaction",
                "t",
                {
                    "m.relates_to": {"rel_type": "m.annotation", "event_id": "$x", "key": "+"},
                    "org.paraph.via": {"partner": "marquee", "draft_id": draft_id},
                },
            )
        assert await desk.texts() == []
        await desk.seal(draft_id)


async def test_nothing_is_sealed_beyond_the_grant(tmp_path: Path) -> None:
    """Another room, a room that was dropped or closed, a pause: refused in the transaction that would send it."""
    async with world(tmp_path) as here:
        desk = await Desk(here).set()
        elsewhere = await here.room(desk.author, desk.other)
        draft_id = await desk.left()
        assert (await desk.claim(draft_id)).status_code == 200
        assert await desk.refused(draft_id, room_id=elsewhere) == "ORG_PARAPH_GRANT_OVER"
        closing = {"closed": True}
        state = (desk.room_id, "org.paraph.closed", desk.other.user_id)
        await here.messenger.sending.set_state(desk.other.device.principal, *state, closing)
        assert await desk.refused(draft_id) == "M_FORBIDDEN"
        await here.messenger.sending.set_state(desk.other.device.principal, *state, {"closed": False})
        pause = here.amendment(desk.author, desk.grant, {"op": "pause", "pause_id": "A" * 43})
        assert (await here.amend(desk.author, desk.grant, pause)).status_code == 200
        assert await desk.refused(draft_id) == "ORG_PARAPH_GRANT_OVER"
        assert code(await desk.claim(draft_id)) == "ORG_PARAPH_GRANT_OVER"
        assert await desk.listed() == []
        assert code(await desk.post(desk.document())) == "not-granted"
        assert await desk.texts() == []


async def test_a_room_dropped_while_a_draft_waits_gets_no_message(tmp_path: Path) -> None:
    """An amendment that takes the room out, between the claim and the sending, comes first."""
    async with world(tmp_path) as here:
        desk = await Desk(here).set()
        elsewhere = await here.room(desk.author, desk.other)
        rooms = [desk.room_id, elsewhere]
        desk.grant = await here.add_grant(desk.author, desk.partner, rooms, verbs=["write:draft"])
        draft_id = await desk.left()
        assert (await desk.claim(draft_id)).status_code == 200
        drop = here.amendment(desk.author, desk.grant, {"op": "drop_rooms", "rooms": [desk.room_id]})
        assert (await here.amend(desk.author, desk.grant, drop)).status_code == 200
        assert await desk.refused(draft_id) == "ORG_PARAPH_GRANT_OVER"
        await desk.seal(draft_id, room_id=elsewhere)


async def test_a_revocation_ends_what_waits(tmp_path: Path) -> None:
    """Open drafts of the grant are over in the same transaction, claimed ones too; their ciphertext is gone."""
    async with world(tmp_path) as here:
        desk = await Desk(here).set()
        draft_id = await desk.left()
        waiting = await desk.left()
        assert (await desk.claim(draft_id)).status_code == 200
        assert (await here.revoke(desk.author, desk.grant)).status_code == 200
        assert [await desk.status(found) for found in (draft_id, waiting)] == ["expired", "expired"]
        assert await desk.refused(draft_id) == "ORG_PARAPH_DRAFT_SETTLED"
        assert code(await desk.claim(waiting)) == "ORG_PARAPH_DRAFT_SETTLED"
        assert code(await desk.post(desk.document())) == "not-granted"
        rows = await here.database.read(lambda tx: tx.rows("SELECT document FROM inbox_drafts"))
        assert rows == [(None,), (None,)]


async def test_the_end_of_the_agreement_ends_what_waits(tmp_path: Path) -> None:
    """All its grants are over, and the drafts under them."""
    async with world(tmp_path) as here:
        desk = await Desk(here).set()
        draft_id = await desk.left()
        assert (await desk.claim(draft_id)).status_code == 200
        assert (await here.end_agreement(desk.partner)).status_code == 200
        assert await desk.refused(draft_id) == "ORG_PARAPH_DRAFT_SETTLED"
        last = (await here.entries(desk.author, "draft"))[-1]
        assert last["body"]["status"] == "expired"


async def test_sealing_and_revoking_at_once(tmp_path: Path) -> None:
    """Whichever comes first in the one order counts: the message stands before the revocation, or is not there."""
    async with world(tmp_path) as here:
        desk = await Desk(here).set()
        draft_id = await desk.left()
        assert (await desk.claim(draft_id)).status_code == 200
        await asyncio.gather(desk.seal(draft_id), here.revoke(desk.author, desk.grant), return_exceptions=True)
        entries = (await here.get("/_paraph/v1/entries?limit=500", desk.author.device)).json()["entries"]
        told = [(item["entry"]["kind"], item["entry"]["body"].get("status")) for item in entries]
        sealed = ("draft", "sealed") in told
        assert sealed == bool(await desk.texts())
        if sealed:
            assert told.index(("draft", "sealed")) < told.index(("revoke", None))
        else:
            assert ("draft", "expired") in told


async def test_who_may_leave_a_draft(tmp_path: Path) -> None:
    """A live grant with the verb, a live device of the partner, its signature, enrolled devices of this author."""
    async with world(tmp_path) as here:
        desk = await Desk(here).set()
        now, good = here.clock.now, desk.document()
        tempo = await here.add_partner("tempo", verbs=["read", "write:draft"])
        assert code(await desk.post(good, tempo)) == "forbidden"
        unlogged = desk.partner.new_device()
        assert code(await desk.post(desk.document(by=unlogged))) == "no-such-device"
        forged = {**good, "signatures": desk.document(expires=now + 7)["signatures"]}
        assert code(await desk.post(forged)) == "bad-signature"
        assert code(await desk.post(desk.document(desk.other.device))) == "bad-document"
        elsewhere = [{"device_id": desk.author.device.device_id, "content": olm(unlogged, desk.author.device)}]
        assert code(await desk.post(desk.document(recipients=elsewhere))) == "bad-document"
        unenrolled = await here.add_device(desk.author)
        assert code(await desk.post(desk.document(unenrolled))) == "bad-document"
        assert code(await desk.post(desk.document(created=now - 2 * DAY, expires=now))) == "bad-document"
        assert code(await desk.post(desk.document(created=now + DAY, expires=now + 2 * DAY))) == "bad-document"
        assert code(await desk.post(desk.document(expires=now + 31 * DAY))) == "bad-document"
        assert code(await desk.post(desk.document(recipients=[]))) == "bad-document"
        assert code(await desk.post(desk.document(grant_id="gr_" + "A" * 22))) == "not-granted"
        other = await here.add_grant(desk.author, desk.partner, [desk.room_id], verbs=["read"])
        assert code(await desk.post(desk.document(grant_id=other["grant_id"]))) == "verb-not-granted"
        assert await here.entries(desk.author, "draft") == []
        assert (await desk.post(good)).status_code == 200
        assert code(await here.end_partner_device(desk.partner, desk.device)) == ""
        assert code(await desk.post(desk.document())) == "no-such-device"


async def test_a_draft_is_its_partners_and_its_authors_alone(tmp_path: Path) -> None:
    """Others, partners and people, are told that there is no such draft."""
    async with world(tmp_path) as here:
        desk = await Desk(here).set()
        draft_id = await desk.left()
        tempo = await here.add_partner("tempo", verbs=["read", "write:draft"])
        assert (await desk.told(draft_id, tempo))["type"] == "urn:paraph:problem:no-such-draft"
        assert await desk.listed(desk.other.device) == []
        for answer in (await desk.claim(draft_id, desk.other.device), await desk.decline(draft_id, desk.other.device)):
            assert (answer.status_code, code(answer)) == (404, "M_NOT_FOUND")


async def test_a_device_that_the_draft_is_not_for_may_decline_and_not_claim(tmp_path: Path) -> None:
    """It cannot open it; saying no needs no key."""
    async with world(tmp_path) as here:
        desk = await Desk(here).set()
        draft_id = await desk.left()
        later = await desk.second_device()
        stock = await here.add_device(desk.author)
        assert [item["draft"]["draft_id"] for item in await desk.listed(later)] == [draft_id]
        assert (await desk.told(draft_id))["devices_reached"] is False
        assert code(await desk.claim(draft_id, later)) == "M_FORBIDDEN"
        assert code(await desk.claim(draft_id, stock)) == "ORG_PARAPH_NOT_ENROLLED"
        assert (await desk.decline(draft_id, stock)).json()["status"] == "declined"


async def test_an_expired_draft_is_over_before_the_sweep_comes(tmp_path: Path) -> None:
    """Its time alone ends it; the sweep records that, and long after its time nothing is kept of it."""
    async with world(tmp_path) as here:
        desk = await Desk(here).set()
        draft_id = await desk.left()
        assert (await desk.claim(draft_id)).status_code == 200
        here.clock.now += DAY
        assert (await here.authenticate(desk.partner)).status_code == 200
        assert await desk.status(draft_id) == "expired"
        assert await desk.listed() == []
        assert code(await desk.claim(draft_id)) == "ORG_PARAPH_DRAFT_SETTLED"
        assert await desk.refused(draft_id) == "ORG_PARAPH_DRAFT_SETTLED"
        assert await here.drafts.expire() == 1
        assert await here.drafts.expire() == 0
        await here.pass_to(here.clock.now + service.KEPT_MS)
        assert (await here.authenticate(desk.partner)).status_code == 200
        assert await here.drafts.expire() == 0
        assert (await desk.told(draft_id))["type"] == "urn:paraph:problem:no-such-draft"


async def test_open_drafts_are_bounded_for_each_grant(tmp_path: Path, monkeypatch: Any) -> None:
    """So many and no more wait under one grant; one that is settled makes room."""
    monkeypatch.setattr(service, "MAX_OPEN_DRAFTS", 3)
    async with world(tmp_path) as here:
        desk = await Desk(here).set()
        left = [await desk.left() for _ in range(3)]
        refused = await desk.post(desk.document())
        assert (refused.status_code, code(refused)) == (429, "too-many-drafts")
        await desk.decline(left[0])
        await desk.left()


async def test_one_partners_drafts_do_not_hide_anothers(tmp_path: Path, monkeypatch: Any) -> None:
    """Of each grant the oldest few are listed, however many there are."""
    monkeypatch.setattr(service, "MAX_LISTED", 2)
    async with world(tmp_path) as here:
        desk = await Desk(here).set()
        first = [await desk.left() for _ in range(4)]
        second = await here.add_grant(desk.author, desk.partner, [desk.room_id], verbs=["write:draft"])
        last = await desk.left(grant_id=second["grant_id"])
        assert [item["draft"]["draft_id"] for item in await desk.listed()] == [*first[:2], last]
        await desk.decline(first[0])
        assert [item["draft"]["draft_id"] for item in await desk.listed()] == [*first[1:3], last]


async def test_one_time_keys_are_given_out_under_a_live_grant_and_sparingly(tmp_path: Path, monkeypatch: Any) -> None:
    """Of the author's enrolled devices only, and so many a day: no partner can use up what others need."""
    monkeypatch.setattr(service, "MAX_CLAIMS_A_DAY", 2)
    async with world(tmp_path) as here:
        desk = await Desk(here).set()
        device, stock = desk.author.device, await here.add_device(desk.author)
        for owner in (device, stock):
            keys = {f"signed_curve25519:K{n}": one_time_key(owner, f"K{n}") for n in range(5)}
            await here.database.write(
                lambda tx, owner=owner, keys=keys: here.devices.upload_keys(  # type: ignore[misc]
                    tx, owner.owner, owner.device_id, owner.key.public_key, keys, {}
                )
            )

        async def claim(*devices: str, grant_id: str = desk.grant["grant_id"]) -> Any:
            body = {"grant_id": grant_id, "devices": list(devices)}
            return await here.http.post("/inbox/v1/claim-keys", json=body, headers=desk.partner.headers)

        first = (await claim(device.device_id, stock.device_id, "UNKNOWN")).json()["one_time_keys"]
        assert list(first) == [device.device_id]
        second = (await claim(device.device_id)).json()["one_time_keys"]
        assert first[device.device_id] != second[device.device_id]
        assert code(await claim(device.device_id)) == "too-many-claims"
        assert code(await claim(device.device_id, grant_id="gr_" + "A" * 22)) == "not-granted"
        here.clock.now += DAY
        await here.authenticate(desk.partner)
        assert (await claim(device.device_id)).status_code == 200
        await here.revoke(desk.author, desk.grant)
        assert code(await claim(device.device_id)) == "not-granted"


async def test_the_authors_devices_hear_that_a_draft_waits(tmp_path: Path) -> None:
    """Their sync brings its id and nothing else; the documents are asked for."""
    async with world(tmp_path) as here:
        desk = await Desk(here).set()
        draft_id = await desk.left()
        device = desk.author.device
        waiting = await here.database.read(lambda tx: here.devices.collect(tx, device.owner, device.device_id, 0, 10))
        events = [(event.type, bytes(event.content)) for event in waiting]
        assert events == [("org.paraph.draft_waiting", b'{"draft_id":"%s"}' % draft_id.encode())]


async def test_changes_are_noted_for_the_partner(tmp_path: Path) -> None:
    """Reached, claimed, sealed: each is told to whoever keeps the partner's stream, in the same transaction."""
    async with world(tmp_path) as here:
        desk = await Desk(here).set()
        noted: list[tuple[str, str, str]] = []
        here.drafts._note = lambda _tx, partner, draft_id, status: noted.append((partner, draft_id, status))
        draft_id = await desk.left()
        await desk.listed()
        await desk.sealed(draft_id)
        found = [status for partner, named, status in noted if (partner, named) == ("marquee", draft_id)]
        assert list(dict.fromkeys(found)) == ["queued", "claimed", "sealed"]


async def test_through_whom_it_came_is_shown_to_that_partner_alone(tmp_path: Path) -> None:
    """Another partner that may read the message is not told who proposed it."""
    async with world(tmp_path) as here:
        desk = await Desk(here).set(verbs=("read", "write:draft"))
        tempo = await here.add_partner("tempo")
        await here.add_grant(desk.author, tempo, [desk.room_id])
        draft_id = await desk.left()
        await desk.sealed(draft_id)
        via = []
        for partner in (desk.partner, tempo):
            (event,) = (await here.read(partner, desk.room_id)).json()["messages"]
            via.append(event["content"].get("org.paraph.via"))
        assert via == [{"partner": "marquee", "draft_id": draft_id}, None]


async def test_a_log_that_does_not_keep_up_takes_no_drafts(tmp_path: Path) -> None:
    """What cannot be recorded in time is not taken; people go on declining."""
    async with world(tmp_path) as here:
        desk = await Desk(here).set()
        draft_id = await desk.left()
        await here.ledger.stop()
        here.clock.now += 20 * 60_000
        await here.authenticate(desk.partner)
        answer = await desk.post(desk.document())
        assert (answer.status_code, code(answer)) == (503, "log-not-fresh")
        assert (await desk.decline(draft_id)).status_code == 200


async def test_the_database_holds_neither_room_nor_words_of_an_open_draft(tmp_path: Path) -> None:
    """What is kept of a draft is what the partner sealed for the devices, and nothing of its room."""
    async with world(tmp_path) as here:
        desk = await Desk(here).set()
        draft_id = await desk.left()
        rows = await here.database.read(lambda tx: tx.rows("SELECT * FROM inbox_drafts"))
        assert len(rows) == 1
        text = repr(rows)
        assert draft_id in text
        assert b64(b"opaque") in text
        assert desk.room_id not in text
        assert desk.other.user_id not in text


async def test_a_token_for_one_grant_leaves_and_sees_drafts_under_that_grant(tmp_path: Path) -> None:
    """With the token of another grant there is neither the grant nor the draft."""
    async with world(tmp_path) as here:
        desk = await Desk(here).set()
        other = await here.add_grant(desk.author, desk.partner, [desk.room_id], verbs=["write:draft"])
        own = PartnerPrincipal("marquee", desk.grant["grant_id"], "jkt")
        foreign = PartnerPrincipal("marquee", other["grant_id"], "jkt")
        draft_id = (await here.drafts.post(own, desk.document()))["draft_id"]
        assert (await here.drafts.told(own, draft_id))["status"] == "queued"
        for refused in (
            here.drafts.post(foreign, desk.document()),
            here.drafts.told(foreign, draft_id),
            here.drafts.withdraw(foreign, draft_id),
            here.drafts.claim_keys(foreign, desk.grant["grant_id"], [desk.author.device.device_id]),
        ):
            with pytest.raises(Problem):
                await refused
        assert (await here.drafts.withdraw(own, draft_id))["status"] == "withdrawn"
