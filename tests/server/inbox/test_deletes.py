"""Deletes: the author's own messages in covered rooms, in her name and on her record; nothing else."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from paraph.server.http import PartnerPrincipal, Problem
from paraph.server.inbox.deletes import Deletes, Wanted
from tests.server.consent.support import world
from tests.server.inbox.drafting import Desk, code


async def delete(desk: Desk, event_id: str, *, room_id: str | None = None, **body: Any) -> httpx.Response:
    """Delete a message as the partner."""
    url = f"/inbox/v1/rooms/{room_id or desk.room_id}/messages/{event_id}/delete"
    return await desk.here.http.post(url, json={"purpose": "films"} | body, headers=desk.partner.headers)


async def test_an_authored_message_is_deleted_on_the_record(tmp_path: Path) -> None:
    """A redaction in her name that says through whom, an entry with receipt; again: the same answer."""
    async with world(tmp_path) as here:
        desk = await Desk(here).set(verbs=("delete:authored",))
        event_id = await here.send(desk.author, desk.room_id)
        answer = await delete(desk, event_id, reason="she asked us to")
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert found["entry"]["entry"]["body"] == {
            "grant_id": desk.grant["grant_id"],
            "purpose": "films",
            "verb": "delete:authored",
            "room_id": desk.room_id,
            "event_id": event_id,
            "redaction_id": found["redaction_id"],
            "reason": "she asked us to",
        }
        assert found["entry"]["receipt"]["type"] == "org.paraph.receipt"
        store = here.messenger.core.store
        gone, redaction = await here.database.read(
            lambda tx: [store.event(tx, desk.room_id, name) for name in (event_id, found["redaction_id"])]
        )
        assert gone is not None
        assert redaction is not None
        assert (gone.content, gone.redacted_by) == ({}, found["redaction_id"])
        assert (redaction.sender, redaction.device_id) == (desk.author.user_id, "")
        assert redaction.content == {"org.paraph.via": {"partner": "marquee"}, "redacts": event_id}
        assert (await delete(desk, event_id)).json() == found
        assert len(await here.entries(desk.author, "delete")) == 1


async def test_via_partner_deletes_what_came_through_this_partner_alone(tmp_path: Path) -> None:
    """Her own words and another partner's drafts stay."""
    async with world(tmp_path) as here:
        desk = await Desk(here).set(verbs=("write:draft", "delete:via-partner"))
        own = await here.send(desk.author, desk.room_id)
        sealed = await desk.sealed(await desk.left())
        tempo = Desk(here)
        tempo.author, tempo.other, tempo.room_id = desk.author, desk.other, desk.room_id
        tempo.partner = await here.add_partner("tempo", verbs=["write:draft", "delete:via-partner"])
        tempo.device = await here.add_partner_device(tempo.partner)
        tempo.grant = await here.add_grant(
            desk.author, tempo.partner, [desk.room_id], verbs=["write:draft", "delete:via-partner"]
        )
        theirs = await tempo.sealed(await tempo.left())
        for event_id in (own, theirs):
            assert code(await delete(desk, event_id)) == "no-such-message"
        assert (await delete(desk, sealed)).json()["entry"]["entry"]["body"]["verb"] == "delete:via-partner"
        assert [event["event_id"] for event in await desk.texts()] == [own, theirs]


async def test_nothing_else_can_be_deleted(tmp_path: Path) -> None:
    """Others' messages, other rooms, other purposes, other kinds of events, closed rooms, what is gone already."""
    async with world(tmp_path) as here:
        desk = await Desk(here).set(verbs=("delete:authored",))
        theirs = await here.send(desk.other, desk.room_id)
        elsewhere = await here.room(desk.author, desk.other)
        outside = await here.send(desk.author, elsewhere)
        mine = await here.send(desk.author, desk.room_id)
        notice = await here.database.read(
            lambda tx: here.messenger.core.store.state_entry(tx, desk.room_id, "org.paraph.grant", desk.author.user_id)
        )
        assert notice is not None
        gone = await here.send(desk.author, desk.room_id)
        await here.messenger.sending.redact(desk.author.device.principal, desk.room_id, gone, "r")
        for event_id in (theirs, notice.event_id, gone, outside, "$unknown"):
            assert code(await delete(desk, event_id)) == "no-such-message"
        assert code(await delete(desk, outside, room_id=elsewhere)) == "not-granted"
        assert code(await delete(desk, mine, room_id="!unknown:example.org")) == "not-granted"
        assert code(await delete(desk, mine, purpose="reminders")) == "purpose-not-granted"
        assert code(await delete(desk, mine, reason="")) == "bad-json"
        state = (desk.room_id, "org.paraph.closed", desk.other.user_id)
        await here.messenger.sending.set_state(desk.other.device.principal, *state, {"closed": True})
        assert code(await delete(desk, mine)) == "room-closed"
        await here.messenger.sending.set_state(desk.other.device.principal, *state, {"closed": False})
        await here.revoke(desk.author, desk.grant)
        assert code(await delete(desk, mine)) == "not-granted"
        assert await here.entries(desk.author, "delete") == []


async def test_reading_is_no_leave_to_delete(tmp_path: Path) -> None:
    """The verb decides."""
    async with world(tmp_path) as here:
        desk = await Desk(here).set(verbs=("read", "write:draft"))
        event_id = await here.send(desk.author, desk.room_id)
        assert code(await delete(desk, event_id)) == "not-granted"


async def test_a_log_that_does_not_keep_up_deletes_nothing(tmp_path: Path) -> None:
    """No record in time, no deletion."""
    async with world(tmp_path) as here:
        desk = await Desk(here).set(verbs=("delete:authored",))
        event_id = await here.send(desk.author, desk.room_id)
        await here.ledger.stop()
        here.clock.now += 20 * 60_000
        await here.authenticate(desk.partner)
        assert code(await delete(desk, event_id)) == "log-not-fresh"
        assert [event["event_id"] for event in await desk.texts()] == [event_id]


async def test_the_answer_of_before_is_for_the_same_room_and_grant_alone(tmp_path: Path) -> None:
    """What was deleted is asked for in another room, or with a token for another grant: no such thing there."""
    async with world(tmp_path) as here:
        desk = await Desk(here).set(verbs=("delete:authored",))
        elsewhere = await here.room(desk.author, desk.other)
        other = await here.add_grant(desk.author, desk.partner, [elsewhere], verbs=["delete:authored"])
        event_id = await here.send(desk.author, desk.room_id)
        assert (await delete(desk, event_id)).status_code == 200
        assert code(await delete(desk, event_id, room_id=elsewhere)) == "no-such-message"
        deletes = Deletes(here.database, here.ledger, here.consent, here.messenger)
        wanted = Wanted(desk.room_id, event_id, "films", None)
        same = PartnerPrincipal("marquee", desk.grant["grant_id"], "jkt")
        assert (await deletes.delete(same, wanted))["entry"]["entry"]["body"]["event_id"] == event_id
        with pytest.raises(Problem, match="no live grant"):
            await deletes.delete(PartnerPrincipal("marquee", other["grant_id"], "jkt"), wanted)
