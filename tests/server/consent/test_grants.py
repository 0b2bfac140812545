"""Enrolments, grants, amendments, revocations: what is taken in, what is refused, what everybody is told."""

from pathlib import Path
from typing import Any

import pytest

from paraph.protocol.base64 import b64url
from paraph.protocol.signing import SigningKey, document_hash
from paraph.server.http import MatrixError
from tests.server.consent.support import DAY, NOW, PartnerParty, Person, World, world


async def parties(here: World) -> tuple[Person, Person, PartnerParty, str]:
    """An author, a correspondent, a partner, and a room with both people in it."""
    author, other = await here.add_person("author"), await here.add_person("correspondent")
    partner = await here.add_partner()
    return author, other, partner, await here.room(author, other)


def code(answer: Any) -> tuple[int, str]:
    """Status and error code."""
    return answer.status_code, answer.json().get("errcode", "")


# -- enrolment --


async def test_an_enrolment_is_recorded_and_repeats_the_same_entry(tmp_path: Path) -> None:
    """The entry commits to the document; the same document again makes no second entry."""
    async with world(tmp_path) as here:
        person = await here.add_person("author", enrol=False)
        document = person.enrolment(person.device)
        first = await here.enrol(person, enrolment=document)
        again = await here.enrol(person, enrolment=document)
        assert first.json() == again.json()
        assert [entry["body"] for entry in await here.entries(person, "device")] == [{"enrolment": document}]
        assert (await here.get("/_paraph/v1/grants", person.device)).json() == {
            "version": 0,
            "enrolled": True,
            "grants": [],
        }


async def test_an_enrolment_must_fit_its_device_its_identity_and_its_log_key(tmp_path: Path) -> None:
    """Foreign keys, foreign devices, missing signatures and another log key are refused, and nothing is recorded."""
    async with world(tmp_path) as here:
        person, other = await here.add_person("author", enrol=False), await here.add_person("other", enrol=False)
        device, second = person.device, await here.add_device(person)
        stranger = SigningKey.generate().public_key
        cases: list[tuple[dict[str, Any], int]] = [
            ({"enrolment": person.enrolment(device, curve25519=stranger)}, 403),
            ({"enrolment": person.enrolment(device, ed25519=stranger)}, 403),
            ({"enrolment": person.enrolment(device, master_key=stranger)}, 400),
            ({"enrolment": person.enrolment(second)}, 403),
            ({"enrolment": other.enrolment(other.device)}, 400),
            ({"enrolment": person.enrolment(device) | {"signatures": {}}}, 403),
            ({"enrolment": person.enrolment(device) | {"extra": 1}}, 400),
            ({"log_key": b64url(bytes(32))}, 400),
            ({"log_key": "short"}, 400),
        ]
        for body, status in cases:
            answer = await here.enrol(person, device, **body)
            assert answer.status_code == status, (body, answer.text)
        assert await here.database.read(lambda tx: here.ledger.entries(tx, person.user_id, 0, 9)) == []


async def test_the_first_enrolment_fixes_the_log_key(tmp_path: Path) -> None:
    """A second device joins with the same key and is refused with another."""
    async with world(tmp_path) as here:
        person = await here.add_person("author")
        second = await here.add_device(person)
        k, person.k = person.k, bytes(32)
        assert code(await here.enrol(person, second)) == (409, "ORG_PARAPH_CONFLICT")
        person.k = k
        assert (await here.enrol(person, second)).status_code == 200


# -- grants --


async def test_a_grant_is_recorded_listed_and_told_to_the_room(tmp_path: Path) -> None:
    """Entry, version, list and room state come from one transaction; the same document again answers the same."""
    async with world(tmp_path) as here:
        author, _, partner, room_id = await parties(here)
        document = author.device.sign(here.grant(author, partner, [room_id]))
        first = await here.post("/_paraph/v1/grants", {"grant": document}, author.device)
        again = await here.post("/_paraph/v1/grants", {"grant": document}, author.device)
        assert first.status_code == 200, first.text
        assert first.json() == again.json()
        assert first.json()["version"] == 1
        listed = (await here.get("/_paraph/v1/grants", author.device)).json()
        assert (listed["version"], listed["grants"][0]["grant"], listed["grants"][0]["live"]) == (1, document, True)
        body = (await here.entries(author, "grant"))[0]["body"]
        assert body == {"grant": document, "chain": listed["grants"][0]["chain"]}
        notice = {"partners": [{"partner": "marquee", "until": document["until"]}]}
        assert await here.notice(room_id, author) == notice


async def test_a_forged_grant_is_refused(tmp_path: Path) -> None:
    """Wrong key, unvouched device, other person's device, tampered field, foreign master key: nothing is recorded."""
    async with world(tmp_path) as here:
        author, other, partner, room_id = await parties(here)
        unvouched = await here.add_device(author, vouched=False)
        assert (await here.enrol(author, unvouched)).status_code == 200
        not_enrolled = await here.add_device(author)
        plain = here.grant(author, partner, [room_id])
        signed = author.device.sign(plain)
        forger = SigningKey.generate()
        forged = dict(signed)
        forged["signatures"] = {author.user_id: {f"ed25519:{author.device.device_id}": forger.sign(b"anything")}}
        cases: list[tuple[dict[str, Any], tuple[int, str]]] = [
            (plain, (403, "ORG_PARAPH_BAD_SIGNATURE")),
            (forged, (403, "ORG_PARAPH_BAD_SIGNATURE")),
            (signed | {"until": signed["until"] + 1}, (403, "ORG_PARAPH_BAD_SIGNATURE")),
            (other.device.sign(plain), (403, "ORG_PARAPH_BAD_SIGNATURE")),
            (unvouched.sign(plain | {"device_id": unvouched.device_id}), (403, "ORG_PARAPH_BAD_SIGNATURE")),
            (not_enrolled.sign(plain | {"device_id": not_enrolled.device_id}), (403, "ORG_PARAPH_NOT_ENROLLED")),
            (other.device.sign(plain | {"device_id": other.device.device_id}), (403, "ORG_PARAPH_NOT_ENROLLED")),
            (author.device.sign(plain | {"master_key": forger.public_key}), (400, "ORG_PARAPH_BAD_DOCUMENT")),
            (other.device.sign(here.grant(other, partner, [room_id])), (403, "M_FORBIDDEN")),
            (signed | {"unsigned": {}}, (400, "ORG_PARAPH_BAD_DOCUMENT")),
            (signed | {"extra": 1}, (400, "ORG_PARAPH_BAD_DOCUMENT")),
        ]
        for document, expected in cases:
            answer = await here.post("/_paraph/v1/grants", {"grant": document}, author.device)
            assert code(answer) == expected, answer.text
        assert await here.entries(author, "grant") == []
        assert await here.version(author) == 0
        assert await here.notice(room_id, author) is None


TOO_WIDE: list[dict[str, Any]] = [
    {"verbs": ["read", "write:draft"]},
    {"purposes": ["advertising"]},
    {"until": NOW + 100 * DAY},
    {"retention_days": 31},
    {"agreement": {"version": 2, "hash": "A" * 43}},
    {"rooms": ["!elsewhere:example.org"]},
    {"from": NOW - 1000, "until": NOW},
    {"from": NOW - 2 * DAY},
]


async def test_a_grant_beyond_its_ceiling_is_refused(tmp_path: Path) -> None:
    """Verbs, purposes, duration, retention, agreement, rooms and time all have a ceiling."""
    async with world(tmp_path) as here:
        author, _, partner, room_id = await parties(here)
        for changes in TOO_WIDE:
            document = here.grant(author, partner, **{"rooms": [room_id]} | changes)
            answer = await here.post_grant(author, document)
            assert code(answer) == (403, "ORG_PARAPH_OUT_OF_SCOPE"), changes


@pytest.mark.parametrize("member", ["grant_key_hash", "consent"])
async def test_a_grant_must_name_its_own_key_and_the_text_that_was_shown(tmp_path: Path, member: str) -> None:
    """The platform recomputes both hashes."""
    async with world(tmp_path) as here:
        author, _, partner, room_id = await parties(here)
        document = here.grant(author, partner, [room_id])
        wrong = "A" * 43
        document[member] = wrong if member == "grant_key_hash" else document[member] | {"text_hash": wrong}
        assert code(await here.post_grant(author, document)) == (400, "ORG_PARAPH_BAD_DOCUMENT")


async def test_a_grant_needs_a_known_partner_with_an_agreement_in_force(tmp_path: Path) -> None:
    """An ended agreement, or a partner that nobody registered, can be granted nothing."""
    async with world(tmp_path) as here:
        author, _, partner, room_id = await parties(here)
        document = here.grant(author, partner, [room_id])
        assert (await here.post_grant(author, document | {"partner": "unknown"})).status_code == 404
        assert (await here.end_agreement(partner)).status_code == 200
        assert code(await here.post_grant(author, document)) == (403, "ORG_PARAPH_NO_AGREEMENT")


async def test_a_grant_id_is_taken_once(tmp_path: Path) -> None:
    """Another grant under the same id is refused, whoever made the first."""
    async with world(tmp_path) as here:
        author, other, partner, room_id = await parties(here)
        first = await here.add_grant(author, partner, [room_id])
        second = here.grant(author, partner, [room_id], grant_id=first["grant_id"], retention_days=1)
        assert code(await here.post_grant(author, second)) == (409, "ORG_PARAPH_CONFLICT")
        theirs = here.grant(other, partner, [room_id], grant_id=first["grant_id"])
        assert code(await here.post_grant(other, theirs)) == (409, "ORG_PARAPH_CONFLICT")


# -- narrowing and revoking --


async def test_amendments_narrow_in_order_and_are_recorded(tmp_path: Path) -> None:
    """A dropped room is told at once; a pause takes the grant's life, its resume gives it back."""
    async with world(tmp_path) as here:
        author, other, partner, room_id = await parties(here)
        second = await here.room(author, other)
        grant = await here.add_grant(author, partner, [room_id, second])
        dropped = here.amendment(author, grant, {"op": "drop_rooms", "rooms": [second]})
        answer = await here.amend(author, grant, dropped)
        assert answer.json()["version"] == 2
        assert (await here.amend(author, grant, dropped)).json() == answer.json()
        assert await here.notice(second, author) == {"partners": []}
        pause = here.amendment(author, grant, {"op": "pause", "pause_id": "A" * 43}, previous=document_hash(dropped))
        assert (await here.amend(author, grant, pause)).status_code == 200
        assert (await here.get("/_paraph/v1/grants", author.device)).json()["grants"][0]["live"] is False
        assert await here.notice(room_id, author) == {"partners": []}
        resume = here.amendment(author, grant, {"op": "resume", "pause_id": "A" * 43}, previous=document_hash(pause))
        assert (await here.amend(author, grant, resume)).json()["version"] == 4
        assert await here.notice(room_id, author) != {"partners": []}
        assert len(await here.entries(author, "amend")) == 3


async def test_an_amendment_that_widens_or_is_not_the_persons_is_refused(tmp_path: Path) -> None:
    """Longer life, unknown predecessors, foreign signatures and other people's grants."""
    async with world(tmp_path) as here:
        author, other, partner, room_id = await parties(here)
        grant = await here.add_grant(author, partner, [room_id])
        longer = here.amendment(author, grant, {"op": "shorten", "until": grant["until"] + 1})
        assert code(await here.amend(author, grant, longer)) == (403, "ORG_PARAPH_OUT_OF_SCOPE")
        change = {"op": "shorten", "until": grant["until"] - 1}
        astray = here.amendment(author, grant, change, previous="A" * 43)
        assert code(await here.amend(author, grant, astray)) == (403, "ORG_PARAPH_OUT_OF_SCOPE")
        forged = here.amendment(author, grant, change) | {"created": 1}
        assert code(await here.amend(author, grant, forged)) == (403, "ORG_PARAPH_BAD_SIGNATURE")
        assert code(await here.amend(other, grant, here.amendment(author, grant, change))) == (404, "M_NOT_FOUND")
        assert await here.version(author) == 1


async def test_revocation_is_final_and_answers_the_same_again(tmp_path: Path) -> None:
    """A revoked grant cannot be amended or granted anew; the room is told in the same transaction."""
    async with world(tmp_path) as here:
        author, other, partner, room_id = await parties(here)
        grant = await here.add_grant(author, partner, [room_id])
        assert (await here.revoke(other, grant)).status_code == 404
        first = await here.revoke(author, grant, reason="enough")
        assert first.json()["version"] == 2
        assert (await here.revoke(author, grant)).json() == first.json()
        assert await here.notice(room_id, author) == {"partners": []}
        narrowed = here.amendment(author, grant, {"op": "shorten", "until": grant["until"] - 1})
        assert code(await here.amend(author, grant, narrowed)) == (409, "ORG_PARAPH_GRANT_OVER")
        listed = (await here.get("/_paraph/v1/grants", author.device)).json()["grants"][0]
        assert (listed["live"], listed["revocation"]["reason"]) == (False, "enough")
        assert len(await here.entries(author, "revoke")) == 1
        again = await here.post("/_paraph/v1/grants", {"grant": grant}, author.device)
        assert again.json()["version"] == 1, "the grant's own answer, not a new grant"
        assert await here.version(author) == 2


# -- sending, rooms, endings --


async def test_a_send_that_names_an_older_state_is_refused(tmp_path: Path) -> None:
    """409 until the device names the newest version; who is not enrolled or has no grants may send."""
    async with world(tmp_path) as here:
        author, other, partner, room_id = await parties(here)
        stock = await here.add_device(author)
        await here.send(author, room_id, {"org.paraph.grants": None})
        grant = await here.add_grant(author, partner, [room_id])
        for named in (None, 0, "1", True):
            with pytest.raises(MatrixError) as refused:
                await here.send(author, room_id, {"org.paraph.grants": named})
            assert (refused.value.status, refused.value.code) == (409, "ORG_PARAPH_STALE_GRANTS")
        await here.send(author, room_id)
        await here.send(author, room_id, {"org.paraph.grants": None}, device=stock)
        await here.send(other, room_id, {"org.paraph.grants": None})
        await here.revoke(author, grant)
        with pytest.raises(MatrixError):
            await here.send(author, room_id, {"org.paraph.grants": 1})


async def test_the_gate_knows_people_again_after_a_restart(tmp_path: Path) -> None:
    """What is kept in memory is read at start."""
    async with world(tmp_path) as here:
        author, _, partner, room_id = await parties(here)
        await here.add_grant(author, partner, [room_id])
    async with world(tmp_path) as here:
        with pytest.raises(MatrixError) as refused:
            await here.send(author, room_id, {"org.paraph.grants": 0})
        assert refused.value.code == "ORG_PARAPH_STALE_GRANTS"


async def test_a_room_that_a_person_joins_or_makes_learns_of_her_grants(tmp_path: Path) -> None:
    """A grant for all rooms is told in new rooms from the beginning."""
    async with world(tmp_path) as here:
        author, other, partner, _ = await parties(here)
        grant = await here.add_grant(author, partner)
        notice = {"partners": [{"partner": "marquee", "until": grant["until"]}]}
        joined, made = await here.room(other, author), await here.room(author, other)
        assert await here.notice(joined, author) == notice
        assert await here.notice(made, author) == notice
        assert await here.notice(joined, other) is None
        await here.send(author, made)


async def test_closing_a_room_is_a_new_state_of_the_grants_that_touch_it(tmp_path: Path) -> None:
    """The version goes up, the room says that nobody reads; reopening gives both back."""
    async with world(tmp_path) as here:
        author, other, partner, room_id = await parties(here)
        second = await here.room(author, other)
        await here.add_grant(author, partner, [room_id])
        told = await here.notice(room_id, author)

        async def close(room: str, closed: bool) -> None:
            await here.messenger.sending.set_state(
                other.device.principal, room, "org.paraph.closed", other.user_id, {"closed": closed}
            )

        await close(second, True)
        assert await here.version(author) == 1
        await close(room_id, True)
        assert await here.version(author) == 2
        assert await here.notice(room_id, author) == {"partners": []}
        await close(room_id, False)
        assert await here.version(author) == 3
        assert await here.notice(room_id, author) == told


async def test_the_end_of_an_agreement_ends_its_grants(tmp_path: Path) -> None:
    """Every grantor's version goes up, her grants are ended and her rooms are told; others are not touched."""
    async with world(tmp_path) as here:
        author, other, partner, room_id = await parties(here)
        tempo = await here.add_partner("tempo")
        await here.add_grant(author, partner, [room_id])
        await here.add_grant(other, tempo, [room_id])
        assert (await here.end_agreement(partner)).status_code == 200
        listed = (await here.get("/_paraph/v1/grants", author.device)).json()
        assert (listed["version"], listed["grants"][0]["live"]) == (2, False)
        assert listed["grants"][0]["ended"]["reason"] == "the agreement was ended"
        assert await here.notice(room_id, author) == {"partners": []}
        assert await here.version(other) == 1
        again = await here.agree(partner)
        assert again.status_code == 200, again.text
        assert (await here.get("/_paraph/v1/grants", author.device)).json()["grants"][0]["live"] is False


async def test_a_narrower_version_narrows_the_grants_under_the_older_one(tmp_path: Path) -> None:
    """Scope is cut by the agreement in force; its grantors count a new state."""
    async with world(tmp_path) as here:
        author, _, partner, room_id = await parties(here)
        await here.add_grant(author, partner, [room_id])
        assert (await here.agree(partner, verbs=["metadata"])).status_code == 200
        assert await here.version(author) == 2
        assert (await here.get("/_paraph/v1/grants", author.device)).json()["grants"][0]["live"] is False
