"""Drafts between a partner and an author's devices, over the real platform: she speaks, or nobody does."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from paraph.sdk import DraftError, DraftRule, MatrixError, Person, ProblemError, Via
from paraph.sdk.person.drafts import OPENED
from tests.sdk.stage import PURPOSE, Stage, stage
from tests.support.databases import runs_writes_once

pytestmark = [pytest.mark.slow, runs_writes_once]


@pytest.fixture(autouse=True)
def _on_both_databases(dialect: str) -> None:
    """Every test runs on SQLite and on PostgreSQL."""


async def waiting(person: Person) -> list[tuple[str, str]]:
    """Room and words of what waits."""
    return [(draft.room_id, draft.body) for draft in await person.drafts.waiting()]


async def test_a_draft_becomes_the_authors_message_when_she_seals_it(tmp_path: Path) -> None:
    """The correspondent reads it as hers and sees through whom it came; the partner is told, with the records."""
    async with stage(tmp_path) as here:
        draft_id = await here.partner.draft(await here.grant(), here.room_id, "Shall we see it on Friday?")
        status = await here.partner.draft_status(draft_id)
        assert (status.status, status.devices_reached) == ("queued", False)
        await here.author.sync()
        assert (await here.partner.draft_status(draft_id)).devices_reached is True
        assert await waiting(here.author) == [(here.room_id, "Shall we see it on Friday?")]
        event_id = await here.author.drafts.seal(draft_id)
        assert await here.author.drafts.seal(draft_id) == event_id
        (message,) = await here.read(here.correspondent)
        assert (message.event_id, message.sender, message.body) == (
            event_id,
            here.author.user_id,
            "Shall we see it on Friday?",
        )
        assert message.verified
        assert message.via == Via("marquee", draft_id, confirmed=True)
        status = await here.partner.draft_status(draft_id)
        assert (status.status, status.event_id, status.room_id) == ("sealed", event_id, here.room_id)
        assert [entry.body["status"] for entry in status.entries] == ["queued", "sealed"]
        kinds = [entry.kind for entry in await here.author.entries(prove=True)]
        assert kinds.count("draft") == 2
        history = await here.author.history()
        assert history.complete
        (partner,) = history.report.partners
        assert (partner.did_open.drafts, partner.did_open.deletes) == (2, 0)
        assert partner.did_open.accesses == kinds.count("access")
        assert await waiting(here.author) == []


async def test_a_partner_that_may_only_write_opens_nothing(tmp_path: Path) -> None:
    """No key of hers or of anybody's comes with the verb: not for the sealed draft, not for what is answered."""
    async with stage(tmp_path) as here:
        grant_id = await here.grant("write:draft")
        draft_id = await here.partner.draft(grant_id, here.room_id, "Friday?")
        await here.author.drafts.seal(draft_id)
        await here.author.send_text(here.room_id, "my own words")
        await here.correspondent.sync()
        await here.correspondent.send_text(here.room_id, "Yes!")
        await here.partner.poll()
        assert here.partner.engine.inbound.all() == []
        with pytest.raises(ProblemError, match="not-granted"):
            await here.partner.messages(here.room_id, PURPOSE)
        shares = [entry.body for entry in await here.author.entries() if entry.kind == "key-share"]
        assert [share["session"] for share in shares] == [None]
        everything = await all_events(here)
        assert len(everything) == 3
        for event in everything:
            assert here.partner._intake.read(event, here.room_id).undecryptable is not None


async def test_with_read_the_partner_opens_the_sealed_words_and_no_reply(tmp_path: Path) -> None:
    """The author's side of the conversation is what she granted; the correspondent's is the correspondent's."""
    async with stage(tmp_path) as here:
        grant_id = await here.grant("read", "write:draft")
        draft_id = await here.partner.draft(grant_id, here.room_id, "Friday?")
        event_id = await here.author.drafts.seal(draft_id)
        await here.correspondent.sync()
        reply = await here.correspondent.send_text(here.room_id, "Yes!")
        await here.partner.poll()
        page = await here.partner.messages(here.room_id, PURPOSE)
        assert [(m.event_id, m.body, m.via) for m in page.messages] == [
            (event_id, "Friday?", Via("marquee", draft_id, confirmed=True))
        ]
        (event,) = [found for found in await all_events(here) if found["event_id"] == reply]
        assert here.partner._intake.read(event, here.room_id).undecryptable is not None


async def test_another_partner_learns_that_it_was_proposed_and_not_by_whom(tmp_path: Path) -> None:
    """It opens the words, which were granted to it as well; the name and the id stay between author and partner."""
    async with stage(tmp_path) as here:
        tempo = await here.add_partner("tempo")
        grant_id = await here.grant()
        await here.grant("read", partner=tempo)
        draft_id = await here.partner.draft(grant_id, here.room_id, "Friday?")
        await here.author.drafts.seal(draft_id)
        await tempo.poll()
        (message,) = (await tempo.messages(here.room_id, PURPOSE)).messages
        assert message.body == "Friday?"
        assert message.via == Via(None, None, confirmed=False)
        assert "marquee" not in repr(message.content)
        assert draft_id not in repr(message.content)


async def all_events(here: Stage) -> list[dict[str, Any]]:
    """Every encrypted event of the room, as the database has it."""
    people = [here.author.user_id, here.correspondent.user_id]
    found = await here.server.database.read(
        lambda tx: here.server.messenger.encrypted_events(tx, here.room_id, people, 0, 100)
    )
    return [event.event for event in found]


async def test_the_platform_learns_neither_room_nor_words_before_it_is_sealed(tmp_path: Path) -> None:
    """In all that is stored, and all that was sent, the draft's room and words do not stand."""
    async with stage(tmp_path) as here:
        elsewhere = await here.room()
        grant_id = await here.grant(rooms=[here.room_id, elsewhere])
        sent: list[bytes] = []

        async def keep(request: Any) -> None:
            sent.append(await request.aread())

        here.http.event_hooks["request"].append(keep)
        draft_id = await here.partner.draft(grant_id, elsewhere, "uncommonly distinct words")
        here.http.event_hooks["request"].clear()
        rows = await here.server.database.read(lambda tx: tx.rows("SELECT * FROM inbox_drafts"))
        entries = [entry.body for entry in await here.author.entries() if entry.kind == "draft"]
        for text in (repr(rows), repr(entries), repr(sent)):
            assert draft_id in text
            assert elsewhere not in text
            assert "uncommonly" not in text
        assert await waiting(here.author) == [(elsewhere, "uncommonly distinct words")]


async def test_two_devices_seal_a_draft_once(tmp_path: Path) -> None:
    """Both try at the same moment: one message, and both come to know its event."""
    async with stage(tmp_path) as here:
        grant_id = await here.grant()
        second = await here.next_device(here.author)
        draft_id = await here.partner.draft(grant_id, here.room_id, "Friday?")
        assert await waiting(here.author) == await waiting(second) == [(here.room_id, "Friday?")]
        found = await asyncio.gather(
            here.author.drafts.seal(draft_id), second.drafts.seal(draft_id), return_exceptions=True
        )
        events = {item for item in found if isinstance(item, str)}
        refusals = [item for item in found if not isinstance(item, str)]
        assert len(events) == 1
        assert all(isinstance(item, MatrixError) and item.status == 409 for item in refusals), refusals
        assert {await here.author.drafts.seal(draft_id), await second.drafts.seal(draft_id)} == events
        assert [m.body for m in await here.read(here.correspondent)] == ["Friday?"]


async def test_a_device_that_saw_the_message_does_not_seal_it_for_a_platform_that_forgot(tmp_path: Path) -> None:
    """The platform says that the draft is still open: the device has seen it in the room."""
    async with stage(tmp_path) as here:
        grant_id = await here.grant()
        second = await here.next_device(here.author)
        draft_id = await here.partner.draft(grant_id, here.room_id, "Friday?")
        assert len(await waiting(second)) == 1
        kept = await here.server.database.read(lambda tx: tx.rows("SELECT document FROM inbox_drafts"))
        event_id = await here.author.drafts.seal(draft_id)
        await second.sync()
        reopened = "UPDATE inbox_drafts SET status = 'queued', settled_seq = NULL, document = :document"
        await here.server.database.write(lambda tx: tx.run(reopened, {"document": kept[0][0]}))
        assert await waiting(second) == []
        assert await second.drafts.seal(draft_id) == event_id
        assert len(await here.read(here.correspondent)) == 1


async def test_a_declined_draft_is_over_on_every_device(tmp_path: Path) -> None:
    """The partner gets the reason, and nothing is sent."""
    async with stage(tmp_path) as here:
        grant_id = await here.grant()
        second = await here.next_device(here.author)
        draft_id = await here.partner.draft(grant_id, here.room_id, "Friday?")
        assert len(await waiting(second)) == 1
        await here.author.drafts.decline(draft_id, "I ask for myself")
        with pytest.raises(DraftError, match="declined"):
            await second.drafts.seal(draft_id)
        status = await here.partner.draft_status(draft_id)
        assert (status.status, status.reason) == ("declined", "I ask for myself")
        assert await here.read(here.correspondent) == []


async def test_a_rule_seals_by_itself_in_its_rooms_and_up_to_its_number(tmp_path: Path) -> None:
    """An author who is offline finds what came; a sync seals what fits, the rest waits for her."""
    async with stage(tmp_path) as here:
        elsewhere = await here.room()
        grant_id = await here.grant(rooms=[here.room_id, elsewhere])
        here.author.drafts.set_rule(DraftRule("marquee", (here.room_id,), per_day=2))
        for n in range(3):
            await here.partner.draft(grant_id, here.room_id, f"draft {n}")
        await here.partner.draft(grant_id, elsewhere, "somewhere else")
        await here.author.sync()
        assert [m.body for m in await here.read(here.correspondent)] == ["draft 0", "draft 1"]
        assert await waiting(here.author) == [(here.room_id, "draft 2"), (elsewhere, "somewhere else")]
        here.author.drafts.remove_rule("marquee")
        assert here.author.drafts.rules() == []
        for rooms, per_day in ((("h_handle",), 1), (("",), 1), ((), 1), ((here.room_id,), 0)):
            with pytest.raises(DraftError, match="by their ids"):
                here.author.drafts.set_rule(DraftRule("marquee", rooms, per_day))


async def test_a_sync_asks_for_drafts_when_it_is_told_of_one(tmp_path: Path) -> None:
    """Otherwise it costs nothing."""
    async with stage(tmp_path) as here:
        grant_id = await here.grant()
        asked: list[str] = []

        async def note(request: Any) -> None:
            asked.append(request.url.path)

        here.http.event_hooks["request"].append(note)
        await here.author.sync()
        assert "/_paraph/v1/drafts" not in asked
        await here.partner.draft(grant_id, here.room_id, "Friday?")
        for _ in range(3):
            await here.author.sync()
        assert asked.count("/_paraph/v1/drafts") == 1


async def test_a_rule_waits_for_the_log(tmp_path: Path) -> None:
    """What came while the log could not be relied upon is sealed once it can."""
    async with stage(tmp_path) as here:
        grant_id = await here.grant()
        here.author.drafts.set_rule(DraftRule("marquee", (here.room_id,), per_day=1))
        await here.partner.draft(grant_id, here.room_id, "Friday?")
        here.shift = 11 * 60_000
        await here.author.sync()
        assert await here.read(here.correspondent) == []
        here.shift = 0
        here.author._consent.forget_view()
        await here.author.sync()
        assert [m.body for m in await here.read(here.correspondent)] == ["Friday?"]


async def test_a_device_that_died_with_a_claim_leaves_the_draft_to_the_other(tmp_path: Path) -> None:
    """A rule looks again while another device holds a draft, and seals it once the claim has run out."""
    async with stage(tmp_path) as here:
        grant_id = await here.grant()
        second = await here.next_device(here.author)
        second.drafts.set_rule(DraftRule("marquee", (here.room_id,), per_day=1))
        draft_id = await here.partner.draft(grant_id, here.room_id, "Friday?")
        await here.author._transport.json("POST", f"/_paraph/v1/drafts/{draft_id}/claim", {})
        await second.sync()
        assert [draft.held for draft in await second.drafts.waiting()] == [True]
        await run_out(here)
        await second.sync()
        assert [m.body for m in await here.read(here.correspondent)] == ["Friday?"]


async def run_out(here: Stage) -> None:
    """Let a minute have passed for every claim."""
    await here.server.database.write(lambda tx: tx.run("UPDATE inbox_drafts SET claimed_until = 1"))


async def test_a_slow_device_claims_again(tmp_path: Path) -> None:
    """Its claim has run out when it comes to send: nothing is sent under that one, and one message under the next."""
    async with stage(tmp_path) as here:
        grant_id = await here.grant()
        draft_id = await here.partner.draft(grant_id, here.room_id, "Friday?")
        drafts, send, times = here.author.drafts, here.author.drafts._send, []

        async def slowly(*args: Any, **more: Any) -> str:
            times.append(1)
            if len(times) == 1:
                await run_out(here)
            return await send(*args, **more)

        drafts._send = slowly
        event_id = await drafts.seal(draft_id)
        assert len(times) == 2
        assert [m.event_id for m in await here.read(here.correspondent)] == [event_id]


async def test_two_devices_with_the_same_rule_send_one_message(tmp_path: Path) -> None:
    """Rules are each device's own; the claim is one for all."""
    async with stage(tmp_path) as here:
        grant_id = await here.grant()
        second = await here.next_device(here.author)
        for device in (here.author, second):
            device.drafts.set_rule(DraftRule("marquee", (here.room_id,), per_day=5))
        await here.partner.draft(grant_id, here.room_id, "Friday?")
        await asyncio.gather(here.author.sync(), second.sync())
        await asyncio.gather(here.author.sync(), second.sync())
        assert [m.body for m in await here.read(here.correspondent)] == ["Friday?"]


async def test_a_draft_for_a_room_outside_the_grant_is_not_there(tmp_path: Path) -> None:
    """The partner's SDK leaves none; one that does so all the same is neither shown nor sealed, by hand or by rule."""
    async with stage(tmp_path) as here:
        elsewhere = await here.room()
        grant_id = await here.grant()
        with pytest.raises(DraftError, match="does not let"):
            await here.partner.draft(grant_id, elsewhere, "Friday?")
        loosen(here)
        draft_id = await here.partner.draft(grant_id, elsewhere, "Friday?")
        here.author.drafts.set_rule(DraftRule("marquee", (here.room_id, elsewhere), per_day=5))
        await here.author.sync()
        assert await waiting(here.author) == []
        with pytest.raises(DraftError, match="does not cover"):
            await here.author.drafts.seal(draft_id)
        assert await here.read(here.correspondent) == []


def loosen(here: Stage) -> None:
    """A partner whose own software does not look at what was granted."""
    book = here.partner._book
    held = book.held

    def anywhere(grant_id: str) -> Any:
        import msgspec

        found = held(grant_id)
        return None if found is None else msgspec.structs.replace(found, rooms=None)

    book.held = anywhere  # type: ignore[method-assign]


async def test_nothing_is_sealed_after_a_revocation(tmp_path: Path) -> None:
    """Neither what waited nor what had been opened; the partner is told that it is over."""
    async with stage(tmp_path) as here:
        grant_id = await here.grant()
        draft_id = await here.partner.draft(grant_id, here.room_id, "Friday?")
        assert len(await waiting(here.author)) == 1
        await here.author.revoke(grant_id)
        with pytest.raises(DraftError, match="does not let"):
            await here.author.drafts.seal(draft_id)
        assert (await here.partner.draft_status(draft_id)).status == "expired"
        with pytest.raises(DraftError, match="does not let"):
            await here.partner.draft(grant_id, here.room_id, "Saturday?")


async def test_a_second_device_that_missed_the_revocation_seals_nothing(tmp_path: Path) -> None:
    """Its view is of before; the platform's check stands in the transaction that would send."""
    async with stage(tmp_path) as here:
        grant_id = await here.grant()
        second = await here.next_device(here.author)
        draft_id = await here.partner.draft(grant_id, here.room_id, "Friday?")
        assert len(await waiting(second)) == 1
        await here.author.revoke(grant_id)
        with pytest.raises(DraftError, match="expired"):
            await second.drafts.seal(draft_id)
        assert await here.read(here.correspondent) == []


async def test_a_room_dropped_while_the_draft_waits_is_not_written_to(tmp_path: Path) -> None:
    """The amendment counts, on the device and at the platform."""
    async with stage(tmp_path) as here:
        elsewhere = await here.room()
        grant_id = await here.grant(rooms=[here.room_id, elsewhere])
        draft_id = await here.partner.draft(grant_id, here.room_id, "Friday?")
        assert len(await waiting(here.author)) == 1
        await here.author.drop_rooms(grant_id, [here.room_id])
        with pytest.raises(DraftError, match="does not cover"):
            await here.author.drafts.seal(draft_id)
        assert await here.read(here.correspondent) == []


async def test_a_withdrawn_and_an_expired_draft_are_over(tmp_path: Path) -> None:
    """The partner takes it back, or its time runs out."""
    async with stage(tmp_path) as here:
        grant_id = await here.grant()
        first = await here.partner.draft(grant_id, here.room_id, "Friday?")
        assert len(await waiting(here.author)) == 1
        assert (await here.partner.withdraw(first)).status == "withdrawn"
        with pytest.raises(DraftError, match="withdrawn"):
            await here.author.drafts.seal(first)
        second = await here.partner.draft(grant_id, here.room_id, "Saturday?", expires=here.now() + 60_000)
        assert len(await waiting(here.author)) == 1
        here.shift = 61_000
        with pytest.raises(DraftError, match="expired"):
            await here.author.drafts.seal(second)


async def test_only_what_a_message_can_say_is_left_and_sealed(tmp_path: Path) -> None:
    """No edit, no formatted body that would show others something else, no other type."""
    async with stage(tmp_path) as here:
        grant_id = await here.grant()
        for content in (
            {"msgtype": "m.text", "body": "x", "format": "org.matrix.custom.html", "formatted_body": "y"},
            {"msgtype": "m.image", "body": "x", "url": "mxc://x/y"},
            {"msgtype": "m.text", "body": "x", "m.relates_to": {"rel_type": "m.replace", "event_id": "$x"}},
            {"msgtype": "m.text", "body": ""},
        ):
            with pytest.raises(DraftError, match="nothing that a draft can say"):
                await here.partner.draft(grant_id, here.room_id, content)
        answered = await here.correspondent.send_text(here.room_id, "When?")
        content = {"msgtype": "m.text", "body": "Friday", "m.relates_to": {"m.in_reply_to": {"event_id": answered}}}
        await here.author.drafts.seal(await here.partner.draft(grant_id, here.room_id, content))
        last = (await here.read(here.correspondent))[-1]
        assert last.content["m.relates_to"] == {"m.in_reply_to": {"event_id": answered}}


async def test_deletes_of_what_came_through_the_partner(tmp_path: Path) -> None:
    """The correspondent sees that it is gone and through whom; the author finds the record with the reason."""
    async with stage(tmp_path) as here:
        grant_id = await here.grant("write:draft", "delete:via-partner")
        own = await here.author.send_text(here.room_id, "my own words")
        draft_id = await here.partner.draft(grant_id, here.room_id, "Friday?")
        event_id = await here.author.drafts.seal(draft_id)
        with pytest.raises(ProblemError, match="no-such-message"):
            await here.partner.delete(here.room_id, own, PURPOSE)
        entry = await here.partner.delete(here.room_id, event_id, PURPOSE, reason="the film is off")
        assert entry.body["verb"] == "delete:via-partner"
        assert (await here.partner.delete(here.room_id, event_id, PURPOSE)).leaf == entry.leaf
        await here.correspondent.sync()
        messages = {m.event_id: m for m in await here.correspondent.messages(here.room_id)}
        assert messages[own].body == "my own words"
        assert messages[event_id].redacted
        assert messages[event_id].via == Via("marquee", None, confirmed=False)
        (recorded,) = [found for found in await here.author.entries(prove=True) if found.kind == "delete"]
        assert recorded.body["reason"] == "the film is off"
        assert (await here.author.history()).complete


async def test_what_a_device_opened_is_dropped_with_the_draft(tmp_path: Path) -> None:
    """Nothing of a draft that is over stays in the device's store."""
    async with stage(tmp_path) as here:
        grant_id = await here.grant()
        sealed, declined = [await here.partner.draft(grant_id, here.room_id, "Friday?") for _ in range(2)]
        await here.author.drafts.seal(sealed)
        await here.author.drafts.decline(declined)
        assert here.author._records.items(OPENED, dict[str, Any]) == []
