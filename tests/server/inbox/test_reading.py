"""What a partner gets to read: own words only, in scope only, recorded exactly, and nothing after a revocation."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from paraph.protocol import entry as protocol
from paraph.protocol.base64 import unb64url
from paraph.protocol.chain import verify_device_keys
from paraph.protocol.grant import verify_grant
from paraph.server.ledger.service import Ledger
from paraph.tlog.merkle import leaf_hash
from tests.server.consent.support import DAY, NOW, PartnerParty, Person, World, world


async def parties(here: World) -> tuple[Person, Person, PartnerParty, str]:
    """An author, a correspondent, a partner, and a room with both people in it."""
    author, other = await here.add_person("author"), await here.add_person("correspondent")
    partner = await here.add_partner()
    return author, other, partner, await here.room(author, other)


def served(answer: httpx.Response) -> list[str]:
    """Ids of the events in an answer."""
    assert answer.status_code == 200, answer.text
    return [event["event_id"] for event in answer.json()["messages"]]


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Status and problem code."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code
    return answer.status_code, answer.json()["type"].removeprefix("urn:paraph:problem:")


async def test_only_the_granting_authors_own_events_are_served(tmp_path: Path) -> None:
    """Of a conversation, the correspondent's half stays where it is, until the correspondent grants as well."""
    async with world(tmp_path) as here:
        author, other, partner, room_id = await parties(here)
        await here.add_grant(author, partner, [room_id])
        mine, theirs = [], []
        for _ in range(6):
            mine.append(await here.send(author, room_id))
            theirs.append(await here.send(other, room_id))
        answer = await here.read(partner, room_id)
        assert served(answer) == mine
        assert {event["sender"] for event in answer.json()["messages"]} == {author.user_id}
        await here.add_grant(other, partner, [room_id])
        later = await here.send(other, room_id)
        assert served(await here.read(partner, room_id)) == [*mine, later]


async def test_access_entries_say_exactly_what_was_served(tmp_path: Path) -> None:
    """One entry per author and answer, in the author's own list and in the log, under the label of the grant."""
    async with world(tmp_path) as here:
        author, other, partner, room_id = await parties(here)
        grants = {person.user_id: await here.add_grant(person, partner, [room_id]) for person in (author, other)}
        for person in (author, other, author, other, author):
            await here.send(person, room_id)
        first = (await here.read(partner, room_id, limit=3)).json()
        second = (await here.read(partner, room_id, since=first["next"])).json()
        assert [len(page["messages"]) for page in (first, second)] == [3, 2]
        for page in (first, second):
            by_author: dict[str, list[str]] = {}
            for event in page["messages"]:
                by_author.setdefault(event["sender"], []).append(event["event_id"])
            assert {
                item["entry"]["person"]: item["entry"]["body"]["event_ids"] for item in page["accesses"]
            } == by_author
            for item in page["accesses"]:
                assert item["entry"]["body"]["grant_id"] == grants[item["entry"]["person"]]["grant_id"]
                assert (item["entry"]["kind"], item["entry"]["partner"]) == ("access", "marquee")
        for person in (author, other):
            kept = await here.entries(person, "access")
            shown = [item["entry"] for page in (first, second) for item in page["accesses"]]
            assert kept == [entry for entry in shown if entry["person"] == person.user_id]
        item = first["accesses"][0]
        person = author if item["entry"]["person"] == author.user_id else other
        key = protocol.grant_key(person.k, item["entry"]["body"]["grant_id"])
        assert unb64url(item["label"]) == protocol.access_label(key, item["week"])
        commitment = protocol.commitment(item["entry"], unb64url(item["o1"]), unb64url(item["o2"]))
        leaf = protocol.private_leaf(item["week"], unb64url(item["label"]), commitment)
        assert await here.ledger.integrated(leaf_hash(leaf), 5_000) is not None


async def test_a_read_that_finds_nothing_records_nothing(tmp_path: Path) -> None:
    """No access, no entry; the cursor stays."""
    async with world(tmp_path) as here:
        author, _, partner, room_id = await parties(here)
        await here.add_grant(author, partner, [room_id])
        answer = (await here.read(partner, room_id)).json()
        assert (answer["messages"], answer["accesses"]) == ([], [])
        assert (await here.read(partner, room_id, since=answer["next"])).json() == answer
        assert await here.entries(author, "access") == []


async def test_nothing_is_served_when_the_access_cannot_be_recorded(tmp_path: Path, monkeypatch: Any) -> None:
    """The answer depends on the record, not the other way round."""
    async with world(tmp_path) as here:
        author, _, partner, room_id = await parties(here)
        await here.add_grant(author, partner, [room_id])
        await here.send(author, room_id)

        def fail(*_: Any, **__: Any) -> None:
            raise OSError("the ledger cannot record")

        monkeypatch.setattr(Ledger, "record_private", fail)
        answer = await here.read(partner, room_id)
        assert answer.status_code == 500
        assert "messages" not in answer.json()


async def test_revocation_is_immediate_and_final(tmp_path: Path) -> None:
    """From its acknowledgement on nothing is served, what was sent under the grant included."""
    async with world(tmp_path) as here:
        author, _, partner, room_id = await parties(here)
        grant = await here.add_grant(author, partner, [room_id])
        await here.send(author, room_id)
        assert len(served(await here.read(partner, room_id))) == 1
        await here.revoke(author, grant)
        assert problem(await here.read(partner, room_id)) == (403, "not-granted")
        assert (await here.http.get("/inbox/v1/grants", headers=partner.headers)).json() == {"grants": []}
        assert (await here.http.get("/inbox/v1/rooms", headers=partner.headers)).json() == {"rooms": []}
        assert len(await here.entries(author, "access")) == 1


async def test_no_read_is_recorded_after_a_revocation_that_races_it(tmp_path: Path) -> None:
    """Reads and a revocation in one batch of writes: whatever was served stands before the revocation in the list."""
    async with world(tmp_path) as here:
        author, _, partner, room_id = await parties(here)
        grant = await here.add_grant(author, partner, [room_id])
        await here.send(author, room_id)
        before = [here.read(partner, room_id) for _ in range(8)]
        after = [here.read(partner, room_id) for _ in range(8)]
        answers = await asyncio.gather(*before, here.revoke(author, grant), *after)
        entries = (await here.get("/_paraph/v1/entries?limit=500", author.device)).json()["entries"]
        kinds = [item["entry"]["kind"] for item in entries]
        revoked_at = kinds.index("revoke")
        assert "access" not in kinds[revoked_at:]
        reads = [answer for at, answer in enumerate(answers) if at != 8]
        assert sum(answer.status_code == 200 for answer in reads) == kinds.count("access")
        assert problem(await here.read(partner, room_id)) == (403, "not-granted")


async def test_the_end_of_the_agreement_closes_everything(tmp_path: Path) -> None:
    """The partner's token itself stops."""
    async with world(tmp_path) as here:
        author, _, partner, room_id = await parties(here)
        await here.add_grant(author, partner, [room_id])
        await here.send(author, room_id)
        await here.end_agreement(partner)
        assert problem(await here.read(partner, room_id)) == (401, "token-invalid")


async def test_scope_is_kept_to(tmp_path: Path) -> None:
    """Room, purpose, verb, partner, pause, closing and time each decide, with a code of their own."""
    async with world(tmp_path) as here:
        author, other, partner, room_id = await parties(here)
        tempo = await here.add_partner("tempo")
        elsewhere = await here.room(author, other)
        grant = await here.add_grant(author, partner, [room_id])
        await here.add_grant(author, tempo, [room_id], verbs=["metadata"])
        for room in (room_id, elsewhere):
            await here.send(author, room)
        assert problem(await here.read(partner, elsewhere)) == (403, "not-granted")
        assert problem(await here.read(partner, "!unknown:example.org")) == (403, "not-granted")
        assert problem(await here.read(tempo, room_id)) == (403, "not-granted")
        assert problem(await here.read(partner, room_id, "reminders")) == (403, "purpose-not-granted")
        assert problem(await here.read(partner, room_id, "")) == (400, "bad-parameter")
        assert problem(await here.read(partner, room_id, since="17")) == (400, "bad-state")
        assert problem(await here.read(partner, room_id, since="p0")) == (400, "bad-state")
        assert problem(await here.read(partner, room_id, limit="many")) == (400, "bad-parameter")
        assert len(served(await here.read(partner, room_id))) == 1
        rooms = (await here.http.get("/inbox/v1/rooms", headers=partner.headers)).json()["rooms"]
        assert rooms == [{"room_id": room_id, "grants": [grant["grant_id"]]}]
        pause = here.amendment(author, grant, {"op": "pause", "pause_id": "A" * 43})
        await here.amend(author, grant, pause)
        assert problem(await here.read(partner, room_id)) == (403, "not-granted")
        assert len(await here.entries(author, "access")) == 1


async def test_a_closed_room_is_closed_to_partners(tmp_path: Path) -> None:
    """Any member closes it; it is neither read nor listed until reopened."""
    async with world(tmp_path) as here:
        author, other, partner, room_id = await parties(here)
        await here.add_grant(author, partner)
        await here.send(author, room_id)

        async def close(closed: bool) -> None:
            await here.messenger.sending.set_state(
                other.device.principal, room_id, "org.paraph.closed", other.user_id, {"closed": closed}
            )

        await close(True)
        assert problem(await here.read(partner, room_id)) == (403, "room-closed")
        assert (await here.http.get("/inbox/v1/rooms", headers=partner.headers)).json() == {"rooms": []}
        await close(False)
        assert len(served(await here.read(partner, room_id))) == 1


async def test_a_grant_runs_out_by_itself(tmp_path: Path) -> None:
    """At `until` the partner has nothing, without anybody doing anything."""
    async with world(tmp_path) as here:
        author, _, partner, room_id = await parties(here)
        await here.add_grant(author, partner, [room_id], until=NOW + DAY)
        await here.send(author, room_id)
        for now, expected in ((NOW + DAY - 1, 200), (NOW + DAY, 403)):
            await here.pass_to(now)
            await here.authenticate(partner)
            assert (await here.read(partner, room_id)).status_code == expected


async def test_nothing_from_before_the_grant_is_served_without_history(tmp_path: Path) -> None:
    """Position decides, not the `from` that a device names."""
    async with world(tmp_path) as here:
        author, _, partner, room_id = await parties(here)
        await here.send(author, room_id)
        await here.add_grant(author, partner, [room_id], **{"from": NOW - DAY // 2})
        after = await here.send(author, room_id)
        assert served(await here.read(partner, room_id)) == [after]


async def test_history_reaches_back_to_its_date(tmp_path: Path) -> None:
    """Messages from that time on are included, older ones are not."""
    async with world(tmp_path) as here:
        author, _, partner, room_id = await parties(here)
        old = await here.send(author, room_id)
        here.clock.now += 1000
        since = here.clock.now
        recent = await here.send(author, room_id)
        await here.add_grant(author, partner, [room_id], history=since)
        new = await here.send(author, room_id)
        found = served(await here.read(partner, room_id))
        assert found == [recent, new]
        assert old not in found


async def test_of_two_grants_the_one_that_reaches_back_furthest_is_used(tmp_path: Path) -> None:
    """One access entry per author, naming a grant that covers all that was served."""
    async with world(tmp_path) as here:
        author, _, partner, room_id = await parties(here)
        first = await here.add_grant(author, partner, [room_id])
        one = await here.send(author, room_id)
        second = await here.add_grant(author, partner)
        two = await here.send(author, room_id)
        answer = await here.read(partner, room_id)
        assert served(answer) == [one, two]
        assert [item["entry"]["body"]["grant_id"] for item in answer.json()["accesses"]] == [first["grant_id"]]
        await here.revoke(author, first)
        answer = await here.read(partner, room_id)
        assert served(answer) == [two]
        assert [item["entry"]["body"]["grant_id"] for item in answer.json()["accesses"]] == [second["grant_id"]]


async def test_relations_show_only_where_their_target_is_granted(tmp_path: Path) -> None:
    """A reply to the correspondent, or to what came before the grant, does not tell whom it answers."""
    async with world(tmp_path) as here:
        author, other, partner, room_id = await parties(here)
        early = await here.send(author, room_id)
        await here.add_grant(author, partner, [room_id])
        theirs, mine = await here.send(other, room_id), await here.send(author, room_id)
        reply, thread = "m.in_reply_to", {"rel_type": "m.thread"}
        cases: list[tuple[Any, bool]] = [
            ({reply: {"event_id": mine}}, True),
            ({reply: {"event_id": theirs}}, False),
            ({reply: {"event_id": early}}, False),
            ({reply: {"event_id": "$unknown"}}, False),
            (thread | {"event_id": mine}, True),
            (thread | {"event_id": mine, reply: {"event_id": theirs}}, False),
            (thread | {"event_id": theirs, reply: {"event_id": mine}}, False),
            (thread, False),
            ({reply: "nonsense"}, False),
            ("nonsense", False),
        ]
        for relation, _ in cases:
            await here.send(author, room_id, {"m.relates_to": relation})
        events = (await here.read(partner, room_id)).json()["messages"][1:]
        for event, (relation, shown) in zip(events, cases, strict=True):
            assert event["content"].get("m.relates_to") == (relation if shown else None), relation
            assert event["content"]["ciphertext"] == "opaque"


async def test_what_a_device_that_is_not_enrolled_sent_is_not_served(tmp_path: Path) -> None:
    """The consent text says which devices a grant opens; their enrolment decides, also after they are gone."""
    async with world(tmp_path) as here:
        author, _, partner, room_id = await parties(here)
        stock = await here.add_device(author)
        await here.add_grant(author, partner, [room_id])
        mine = await here.send(author, room_id)
        theirs = await here.send(author, room_id, device=stock)
        await here.send(author, room_id, {"m.relates_to": {"m.in_reply_to": {"event_id": theirs}}})
        answer = await here.read(partner, room_id)
        assert (served(answer)[0], len(served(answer))) == (mine, 2)
        assert "m.relates_to" not in answer.json()["messages"][1]["content"]


async def test_redacted_and_plain_events_are_never_served(tmp_path: Path) -> None:
    """Only ciphertext that is still there."""
    async with world(tmp_path) as here:
        author, _, partner, room_id = await parties(here)
        await here.add_grant(author, partner, [room_id])
        gone, kept = await here.send(author, room_id), await here.send(author, room_id)
        await here.messenger.sending.redact(author.device.principal, room_id, gone, "redact-1")
        assert served(await here.read(partner, room_id)) == [kept]


async def test_an_author_who_left_the_room_is_not_read_there(tmp_path: Path) -> None:
    """A grant is over rooms that its person is in."""
    async with world(tmp_path) as here:
        author, _, partner, room_id = await parties(here)
        await here.add_grant(author, partner)
        await here.send(author, room_id)
        await here.messenger.memberships.leave(author.device.principal, room_id)
        assert problem(await here.read(partner, room_id)) == (403, "not-granted")


async def test_pages_are_bounded_and_lead_on(tmp_path: Path) -> None:
    """Every event is served once over the pages, none is left out."""
    async with world(tmp_path) as here:
        author, other, partner, room_id = await parties(here)
        await here.add_grant(author, partner, [room_id])
        sent = []
        for _ in range(7):
            sent.append(await here.send(author, room_id))
            await here.send(other, room_id)
        found, since = [], ""
        for _ in range(4):
            page = (await here.read(partner, room_id, limit=2, since=since)).json()
            found += [event["event_id"] for event in page["messages"]]
            since = page["next"]
        assert found == sent


async def test_a_partner_sees_its_grants_with_the_authors_enrolled_devices(tmp_path: Path) -> None:
    """Grant, chain and devices verify against the author's master key; devices that are not enrolled are left out."""
    async with world(tmp_path) as here:
        author, _, partner, room_id = await parties(here)
        await here.add_device(author)
        grant = await here.add_grant(author, partner, [room_id])
        listed = (await here.http.get("/inbox/v1/grants", headers=partner.headers)).json()["grants"]
        assert [item["grant"] for item in listed] == [grant]
        verify_grant(listed[0]["grant"], listed[0]["chain"], master_key=author.master.public_key)
        assert [item["device_id"] for item in listed[0]["devices"]] == [author.device.device_id]
        chain = listed[0]["devices"][0]["chain"]
        keys = verify_device_keys(
            chain["device_keys"],
            chain["self_signing_key"],
            person=author.user_id,
            master_key=author.master.public_key,
        )
        assert keys.curve25519 == author.device.curve25519


@pytest.mark.parametrize("token", ["person", "operator", "none"])
async def test_only_partners_read_the_inbox(tmp_path: Path, token: str) -> None:
    """Neither a person's nor the operator's token opens it."""
    async with world(tmp_path) as here:
        author, _, _, room_id = await parties(here)
        headers = {"person": f"Bearer {author.user_id} {author.device.device_id}", "operator": "Bearer operator"}
        given = {"authorization": headers[token]} if token in headers else {}
        for path in ("grants", "rooms", f"rooms/{room_id}/messages?purpose=films", "key-events?device_id=P"):
            answer = await here.http.get(f"/inbox/v1/{path}", headers=given)
            assert problem(answer)[0] == 401
