"""The stream of changes: everything once and in order, decided when it is read, nothing left out in silence."""

import asyncio
from pathlib import Path
from typing import Any

from paraph.server.inbox.changes import Ask, Place
from tests.server.consent.support import DAY, PartnerParty, Person, World, world
from tests.server.inbox.drafting import Desk
from tests.server.inbox.test_reading import parties, problem
from tests.server.ledger.support import until

Json = dict[str, Any]


async def read(here: World, partner: PartnerParty, **params: Any) -> Json:
    """One answer of the stream."""
    query = {"purpose": "films", **params}
    answer = await here.http.get("/inbox/v1/changes", params=query, headers=partner.headers)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def follow(here: World, partner: PartnerParty, state: str = "", **params: Any) -> tuple[list[Json], str]:
    """Everything from a state on, and the state after it."""
    changes: list[Json] = []
    while True:
        page = await read(here, partner, state=state, **params)
        changes += page["changes"]
        state = page["state"]
        if not page["more"]:
            return changes, state


def ids(changes: list[Json]) -> list[str]:
    """Ids of the messages among the changes."""
    return [change["event"]["event_id"] for change in changes if change["kind"] == "message"]


def words(changes: list[Json]) -> list[str]:
    """What the changes are, in short."""
    return [change.get("what") or change.get("status") or change["kind"] for change in changes]


async def close(here: World, person: Person, room_id: str, *, closed: bool) -> None:
    """Close a room to partners, or reopen it."""
    await here.messenger.sending.set_state(
        person.device.principal, room_id, "org.paraph.closed", person.user_id, {"closed": closed}
    )


async def test_one_order_over_all_grants_each_change_once(tmp_path: Path) -> None:
    """Grants and messages of several authors come in the order in which they happened, page by page, none twice."""
    async with world(tmp_path) as here:
        author, other, partner, room_id = await parties(here)
        sent = [await here.send(author, room_id)]
        await here.add_grant(author, partner, [room_id])
        sent += [await here.send(person, room_id) for person in (author, other, author)]
        await here.add_grant(other, partner)
        sent += [await here.send(person, room_id) for person in (author, other)]
        expected = ["made", "message", "message", "made", "message", "message"]
        mine = [sent[1], sent[3], *sent[4:]]
        for limit in (1, 2, 3, 100):
            changes, state = await follow(here, partner, limit=limit)
            assert (words(changes), ids(changes)) == (expected, mine)
            assert (await read(here, partner, state=state))["changes"] == []
        assert changes[0]["grant"]["live"] is True
        assert changes[0]["grant"]["devices"][0]["device_id"] == author.device.device_id
        assert "org.paraph.grants" not in changes[1]["event"]["content"]


async def test_each_answer_has_one_access_entry_for_each_author_room_and_grant(tmp_path: Path) -> None:
    """The entries say exactly what was served, are in the author's list, and name no position of the server's."""
    async with world(tmp_path) as here:
        author, other, partner, room_id = await parties(here)
        elsewhere = await here.room(author, other)
        for person in (author, other):
            await here.add_grant(person, partner)
        for room in (room_id, elsewhere, room_id):
            await here.send(author, room)
            await here.send(other, room)
        page = await read(here, partner)
        served: dict[tuple[str, str, str], list[str]] = {}
        for change in page["changes"]:
            if change["kind"] == "message":
                event = change["event"]
                key = (event["sender"], event["room_id"], change["grant_id"])
                served.setdefault(key, []).append(event["event_id"])
        entries = [item["entry"] for item in page["accesses"]]
        assert len(entries) == len(served) == 4
        for entry in entries:
            body = entry["body"]
            assert served[entry["person"], body["room_id"], body["grant_id"]] == body["event_ids"]
            assert body["purpose"] == "films"
        for person in (author, other):
            kept = await here.entries(person, "access")
            assert kept == [entry for entry in entries if entry["person"] == person.user_id]
        assert all("seq" not in item and "receipt" in item for item in page["accesses"])
        again = await read(here, partner)
        assert again["changes"] == page["changes"]
        assert [item["entry"]["body"] for item in again["accesses"]] == [entry["body"] for entry in entries]
        assert len(await here.entries(author, "access")) == 4, "the same state again is another read, and recorded"


async def test_a_poll_waits_and_is_woken_by_a_message_and_by_a_revocation(tmp_path: Path) -> None:
    """Whatever comes into the stream answers the poll at once; an empty one answers when its time is up."""
    async with world(tmp_path) as here:
        author, _, partner, room_id = await parties(here)
        grant = await here.add_grant(author, partner)
        _, state = await follow(here, partner)
        assert (await read(here, partner, state=state, timeout=1))["changes"] == []
        for act in (here.send(author, room_id), here.revoke(author, grant)):
            waiting = asyncio.create_task(read(here, partner, state=state, timeout=20_000))
            await until(lambda: here.messenger.core.notifier.is_waiting("inbox:marquee"))
            await act
            page = await asyncio.wait_for(waiting, 5)
            assert len(page["changes"]) == 1
            state = page["state"]
        waiting = asyncio.create_task(read(here, partner, state=state, timeout=20_000))
        await until(lambda: here.messenger.core.notifier.is_waiting("inbox:marquee"))
        here.messenger.stop()
        assert (await asyncio.wait_for(waiting, 5))["changes"] == []


async def test_what_fell_out_of_scope_before_it_was_read_is_withheld(tmp_path: Path) -> None:
    """Revoked, narrowed, left or redacted: said for each room, never served, and nothing is recorded."""
    async with world(tmp_path) as here:
        author, other, partner, room_id = await parties(here)
        elsewhere = await here.room(author, other)
        grant = await here.add_grant(author, partner)
        _, state = await follow(here, partner)
        for room in (room_id, room_id, elsewhere):
            await here.send(author, room)
        kept = await here.send(author, elsewhere)
        gone = await here.send(author, elsewhere)
        await here.messenger.sending.redact(author.device.principal, elsewhere, gone, "t")
        drop = here.amendment(author, grant, {"op": "drop_rooms", "rooms": [room_id]})
        assert (await here.amend(author, grant, drop)).status_code == 200
        changes, _ = await follow(here, partner, state)
        assert words(changes) == ["withheld", "message", "message", "withheld", "amended"]
        assert ids(changes)[1] == kept
        assert [(c["room_id"], c["why"]) for c in changes if c["kind"] == "withheld"] == [
            (room_id, "not-granted"),
            (elsewhere, "redacted"),
        ]
        await here.messenger.memberships.leave(author.device.principal, elsewhere)
        changes, _ = await follow(here, partner, state)
        assert ids(changes) == []
        await here.revoke(author, grant)
        before = len(await here.entries(author, "access"))
        changes, _ = await follow(here, partner, state)
        assert words(changes)[-2:] == ["amended", "revoked"]
        assert ids(changes) == []
        assert "grant" not in changes[-2]
        assert len(await here.entries(author, "access")) == before


async def test_what_was_said_during_a_pause_or_in_a_closed_room_is_served_to_nobody_ever(tmp_path: Path) -> None:
    """Words of before come back with the grant, by the cursor of what was withheld; those of meanwhile do not."""
    async with world(tmp_path) as here:
        author, other, partner, room_id = await parties(here)
        grant = await here.add_grant(author, partner)
        _, state = await follow(here, partner)
        first = await here.send(author, room_id)
        pause = here.amendment(author, grant, {"op": "pause", "pause_id": "A" * 43})
        await here.amend(author, grant, pause)
        await here.send(author, room_id)
        changes, state = await follow(here, partner, state)
        assert words(changes) == ["withheld", "paused"]
        withheld = changes[0]
        resume = {"op": "resume", "pause_id": "A" * 43}
        await here.amend(author, grant, here.amendment(author, pause, resume, grant_id=grant["grant_id"]))
        second = await here.send(author, room_id)
        await close(here, other, room_id, closed=True)
        await here.send(author, room_id)
        changes, state = await follow(here, partner, state)
        assert words(changes) == ["resumed", "withheld", "closed"]
        assert changes[0]["grant"]["grant"] == grant
        assert changes[1]["why"] == "closed"
        assert changes[2]["room_id"] == room_id
        assert problem(await here.read(partner, room_id)) == (403, "room-closed")
        await close(here, other, room_id, closed=False)
        third = await here.send(author, room_id)
        changes, _ = await follow(here, partner, state)
        assert words(changes) == ["reopened", "message"]
        assert ids(changes) == [third]
        back = (await here.read(partner, room_id, since=withheld["since"])).json()["messages"]
        assert [event["event_id"] for event in back] == [first, second, third]


async def test_a_stream_belongs_to_one_partner_one_purpose_and_one_kind_of_token(tmp_path: Path) -> None:
    """A state of another is refused, as are made up ones; a purpose has a stream of its own, and must be named."""
    async with world(tmp_path) as here:
        author, _, partner, room_id = await parties(here)
        tempo = await here.add_partner("tempo")
        await here.add_grant(author, partner, purposes=["reminders"])
        await here.send(author, room_id)
        _, state = await follow(here, partner)
        changes, other = await follow(here, partner, purpose="reminders")
        assert words(changes) == ["made", "message"]
        for who, params in (
            (tempo, {"state": state, "purpose": "films"}),
            (partner, {"state": state, "purpose": "reminders"}),
            (partner, {"state": other, "purpose": "films"}),
            (partner, {"state": state[:-2] + "AA", "purpose": "films"}),
            (partner, {"state": "p17", "purpose": "films"}),
            (partner, {"state": "A" * 5000, "purpose": "films"}),
        ):
            answer = await here.http.get("/inbox/v1/changes", params=params, headers=who.headers)
            assert problem(answer) == (400, "bad-state")
        answer = await here.http.get("/inbox/v1/changes", headers=partner.headers)
        assert problem(answer) == (400, "bad-parameter")
        assert words((await follow(here, partner))[0]) == ["made"]
        assert (await follow(here, tempo))[0] == []


async def test_a_grant_that_runs_out_is_said_to_have_expired(tmp_path: Path) -> None:
    """The stream notices by itself, once, also where an amendment or the agreement ends it earlier."""
    async with world(tmp_path) as here:
        author, other, partner, room_id = await parties(here)
        whole = await here.add_grant(author, partner, until=here.clock.now + 3 * DAY)
        short = await here.add_grant(other, partner)
        shorten = here.amendment(other, short, {"op": "shorten", "until": here.clock.now + DAY})
        await here.amend(other, short, shorten)
        _, state = await follow(here, partner)
        await here.send(other, room_id)
        await here.pass_to(here.clock.now + DAY)
        await here.authenticate(partner)
        changes, state = await follow(here, partner, state)
        assert words(changes) == ["withheld", "expired"]
        assert changes[1]["grant_id"] == short["grant_id"]
        await here.pass_to(here.clock.now + 2 * DAY)
        await here.authenticate(partner)
        changes, state = await follow(here, partner, state)
        assert [(c["what"], c["grant_id"]) for c in changes] == [("expired", whole["grant_id"])]
        assert (await follow(here, partner, state))[0] == []


async def test_a_long_poll_ends_when_a_grant_runs_out(tmp_path: Path) -> None:
    """Nobody writes anything at that moment; the poll looks by itself."""
    async with world(tmp_path) as here:
        author, _, partner, _ = await parties(here)
        await here.add_grant(author, partner, until=here.clock.now + 200)
        _, state = await follow(here, partner)
        waiting = asyncio.create_task(read(here, partner, state=state, timeout=20_000))
        await until(lambda: here.messenger.core.notifier.is_waiting("inbox:marquee"))
        here.clock.now += 200
        assert words((await asyncio.wait_for(waiting, 5))["changes"]) == ["expired"]


async def test_a_drafts_status_is_in_the_stream(tmp_path: Path) -> None:
    """Which the partner would else have to ask for."""
    async with world(tmp_path) as here:
        desk = await Desk(here).set()
        document = desk.document()
        assert (await desk.post(document)).status_code == 200
        _, state = await follow(here, desk.partner)
        await here.post(f"/_paraph/v1/drafts/{document['draft_id']}/decline", {}, desk.author.device)
        changes, _ = await follow(here, desk.partner, state)
        assert changes == [
            {
                "kind": "draft",
                "grant_id": desk.grant["grant_id"],
                "draft_id": document["draft_id"],
                "status": "declined",
            }
        ]


async def test_agreements_and_devices_are_in_the_stream(tmp_path: Path) -> None:
    """A new version, the end, an enrolment."""
    async with world(tmp_path) as here:
        author, _, partner, _ = await parties(here)
        grant = await here.add_grant(author, partner)
        _, state = await follow(here, partner)
        second = await here.add_device(author)
        assert (await here.enrol(author, second)).status_code == 200
        await here.agree(partner, purposes=["films"])
        changes, state = await follow(here, partner, state)
        assert words(changes) == ["devices", "amended"]
        assert len(changes[0]["grant"]["devices"]) == 2
        assert changes[1]["change"] == {"op": "agreement", "version": 2}
        await here.end_agreement(partner)
        ended = await here.database.read(lambda tx: here.consent.live.named(tx, "marquee", [grant["grant_id"]]))
        assert ended[grant["grant_id"]].scope is None
        answer = await here.http.get(
            "/inbox/v1/changes", params={"purpose": "films", "state": state}, headers=partner.headers
        )
        assert answer.status_code == 401, "without an agreement in force there is no access at all"
        await here.agree(partner)
        await here.authenticate(partner)
        changes, _ = await follow(here, partner, state)
        assert words(changes) == ["ended"]


async def test_history_comes_in_pages_and_from_its_date_on(tmp_path: Path) -> None:
    """Older words of enrolled devices, room by room, before what is new; with every page size the same, none twice."""
    async with world(tmp_path) as here:
        author, other, partner, room_id = await parties(here)
        elsewhere = await here.room(author, other)
        loose = await here.add_device(author)
        old: dict[str, list[str]] = {room_id: [], elsewhere: []}
        await here.send(author, room_id)
        date = here.clock.now + 1
        for n in range(7):
            room = (room_id, elsewhere)[n % 2]
            old[room].append(await here.send(author, room))
            await here.send(other, room)
        await here.send(author, room_id, device=loose)
        here.clock.now += 1000
        grant = await here.add_grant(author, partner, history=date)
        new = await here.send(author, room_id)
        expected = [event_id for room in sorted(old) for event_id in old[room]]
        for limit in (1, 2, 3, 100):
            changes, _ = await follow(here, partner, limit=limit)
            assert ids(changes) == [*expected, new]
            assert [c.get("older", False) for c in changes if c["kind"] == "message"] == [True] * 7 + [False]
            assert {c["grant_id"] for c in changes} == {grant["grant_id"]}
        assert ids((await follow(here, partner, purpose="reminders"))[0]) == []
        back = (await here.read(partner, room_id)).json()["messages"]
        assert [event["event_id"] for event in back] == [*old[room_id], new]
        await here.revoke(author, grant)
        changes, _ = await follow(here, partner)
        assert words(changes) == ["made", "withheld", "withheld", "revoked"]


async def test_a_pause_in_the_middle_of_a_history_withholds_the_rest(tmp_path: Path) -> None:
    """A state inside a history is decided anew like every other."""
    async with world(tmp_path) as here:
        author, _, partner, room_id = await parties(here)
        for _ in range(5):
            await here.send(author, room_id)
        grant = await here.add_grant(author, partner, history=0)
        page = await read(here, partner, limit=3)
        assert (words(page["changes"]), page["more"]) == (["made", "message", "message"], True)
        await here.amend(author, grant, here.amendment(author, grant, {"op": "pause", "pause_id": "A" * 43}))
        changes, _ = await follow(here, partner, page["state"], limit=3)
        assert words(changes) == ["withheld", "paused"]
        assert changes[0]["room_id"] is None


async def test_no_read_of_the_stream_is_recorded_after_a_revocation_that_races_it(tmp_path: Path) -> None:
    """Polls and a revocation in one batch: what was served stands before the revocation in the list."""
    async with world(tmp_path) as here:
        author, _, partner, room_id = await parties(here)
        grant = await here.add_grant(author, partner)
        for _ in range(3):
            await here.send(author, room_id)
        polls = [read(here, partner, limit=2) for _ in range(8)]
        later = [read(here, partner) for _ in range(8)]
        answers = await asyncio.gather(*polls, here.revoke(author, grant), *later)
        entries = (await here.get("/_paraph/v1/entries?limit=500", author.device)).json()["entries"]
        kinds = [item["entry"]["kind"] for item in entries]
        assert "access" not in kinds[kinds.index("revoke") :]
        pages = [answer for answer in answers if isinstance(answer, dict)]
        assert sum(bool(ids(page["changes"])) for page in pages) == kinds.count("access")
        assert ids((await follow(here, partner))[0]) == []


async def test_a_stream_under_one_grant_sees_that_grant_alone(tmp_path: Path) -> None:
    """As a token of one person's consent reads it: the same order, nothing of the others."""
    async with world(tmp_path) as here:
        author, other, partner, room_id = await parties(here)
        grants = [await here.add_grant(person, partner) for person in (author, other)]
        sent = [await here.send(person, room_id) for person in (author, other, author)]
        ask = Ask("marquee", "films", grants[1]["grant_id"], Place(), 100)
        answer = await here.inbox.changes.read(ask, 0)
        assert ids(answer["changes"]) == [sent[1]]
        assert words(answer["changes"]) == ["made", "message"]


async def test_the_feed_says_nothing_of_people_without_grants(tmp_path: Path) -> None:
    """No row, no query: a send by somebody who never granted anything costs what it did."""
    async with world(tmp_path) as here:
        author, other, partner, room_id = await parties(here)
        await here.add_grant(author, partner)
        await here.send(other, room_id)
        rows = await here.database.read(lambda tx: tx.rows("SELECT kind, person FROM feed_rows"))
        assert rows == [("grant", author.user_id)]
