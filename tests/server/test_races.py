"""Grants that end, narrow and come while somebody acts under them: whatever the order, one order, the same for all.

Everything goes through the application and a real database; who comes first is left to chance, in many rounds. What was
acknowledged counts from then on, what was served or sent stands before it in the record, and nothing happens twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from paraph.cli.demo.people import Operator, partner
from paraph.protocol.base64 import b64url
from paraph.protocol.signing import document_hash
from paraph.sdk import GrantTerms, Partner, Person, ProblemError
from tests.server.consent.support import Device, PartnerParty, World, world
from tests.server.consent.support import Person as Party
from tests.server.consent.test_key_shares import one, share
from tests.server.inbox.drafting import Desk
from tests.server.ledger.support import until
from tests.server.test_processes import Pair, pair
from tests.support.databases import runs_writes_once
from tests.support.matrix import PASSWORD

__all__ = ["pair"]


T = TypeVar("T")
Json = dict[str, Any]
Ending = Callable[[World, Party, PartnerParty, Json, str], Awaitable[httpx.Response]]
ROUNDS = 8
MOST_TURNS = 40
"""Turns of the loop by which one act may be later than another."""


@pytest.fixture
def chance(request: pytest.FixtureRequest, dialect: str) -> random.Random:
    """The same chances in each run of a test, on both databases."""
    return random.Random(request.node.name)


async def later(turns: int, act: Awaitable[T]) -> T:
    """Do something some turns of the loop from now."""
    for _ in range(turns):
        await asyncio.sleep(0)
    return await act


async def at_once(chance: random.Random, *acts: Awaitable[Any]) -> list[Any]:
    """Do all of it, each a little later or sooner than the others."""
    return await asyncio.gather(*(later(chance.randrange(MOST_TURNS), act) for act in acts), return_exceptions=True)


async def revoke(here: World, author: Party, _partner: PartnerParty, grant: Json, _room_id: str) -> httpx.Response:
    return await here.revoke(author, grant)


async def pause(here: World, author: Party, _partner: PartnerParty, grant: Json, _room_id: str) -> httpx.Response:
    return await _amend(here, author, grant, {"op": "pause", "pause_id": b64url(bytes(32))})


async def drop_room(here: World, author: Party, _partner: PartnerParty, grant: Json, room_id: str) -> httpx.Response:
    return await _amend(here, author, grant, {"op": "drop_rooms", "rooms": [room_id]})


async def end_agreement(here: World, _a: Party, partner: PartnerParty, _grant: Json, _r: str) -> httpx.Response:
    return await here.end_agreement(partner)


async def _amend(here: World, author: Party, grant: Json, change: Json) -> httpx.Response:
    return await here.amend(author, grant, here.amendment(author, grant, change))


async def recorded(here: World, author: Party, since: int = 0) -> tuple[list[Json], int]:
    """The author's entries after those of before, and how many there are now."""
    answer = (await here.get(f"/_paraph/v1/entries?from={since}&limit=500", author.device)).json()
    return [item["entry"] for item in answer["entries"]], answer["next"]


ENDINGS: dict[str, Ending] = {"revoke": revoke, "pause": pause, "drop the room": drop_room}


@pytest.mark.parametrize("name", ENDINGS)
@runs_writes_once
async def test_reads_while_the_grant_ends(tmp_path: Path, chance: random.Random, name: str) -> None:
    """Messages and the stream, before, during and after: each read that served stands before the end in the record."""
    async with world(tmp_path) as here:
        author, other = await here.add_person("author"), await here.add_person("correspondent")
        partner, room_id = await here.add_partner(), await here.room(author, other)
        seen, outcomes = (await recorded(here, author))[1], set[bool]()
        for _ in range(ROUNDS):
            grant = await here.add_grant(author, partner, [room_id, await here.room(author, other)])
            event_id = await here.send(author, room_id)

            async def end(grant: Json = grant) -> tuple[httpx.Response, httpx.Response, httpx.Response]:
                ended = await ENDINGS[name](here, author, partner, grant, room_id)
                return ended, await here.read(partner, room_id), await stream(here, partner)

            reads = [here.read(partner, room_id) if n % 2 else stream(here, partner) for n in range(6)]
            (ended, *after), *during = await at_once(chance, end(), *reads)
            assert ended.status_code == 200, ended.text
            assert not any(event_id in answer.text for answer in after)
            entries, seen = await recorded(here, author, seen)
            served = [entry for entry in entries if entry["kind"] == "access"]
            at = next(n for n, entry in enumerate(entries) if entry["kind"] in ("revoke", "amend"))
            assert entries[: at + 1].count(entries[at]) == 1
            assert not [entry for entry in entries[at:] if entry["kind"] == "access"], "a read after the end"
            read = [answer.status_code == 200 and event_id in answer.text for answer in during]
            assert sum(read) == len([entry for entry in served if event_id in entry["body"]["event_ids"]])
            outcomes.update(read)
            await here.revoke(author, grant)
            seen = (await recorded(here, author, seen))[1]
        assert outcomes == {True, False}, "in one of the rounds or another, each comes first"


async def stream(here: World, partner: PartnerParty) -> httpx.Response:
    """Everything in the partner's stream, in one answer."""
    return await here.http.get("/inbox/v1/changes", params={"purpose": "films", "limit": 500}, headers=partner.headers)


@runs_writes_once
async def test_reads_while_the_agreement_ends(tmp_path: Path, chance: random.Random) -> None:
    """Once the end is acknowledged the partner is nobody; each read that served has its entry, and no other has."""
    async with world(tmp_path) as here:
        author, other = await here.add_person("author"), await here.add_person("correspondent")
        room_id = await here.room(author, other)
        for n in range(ROUNDS):
            partner = await here.add_partner(f"partner-{n}")
            grant = await here.add_grant(author, partner, [room_id])
            await here.send(author, room_id)

            async def end(
                partner: PartnerParty = partner, grant: Json = grant
            ) -> tuple[httpx.Response, httpx.Response]:
                ended = await end_agreement(here, author, partner, grant, room_id)
                return ended, await here.read(partner, room_id)

            (ended, after), *during = await at_once(chance, end(), *(here.read(partner, room_id) for _ in range(6)))
            assert (ended.status_code, after.status_code) == (200, 401), (ended.text, after.text)
            entries = [entry for entry in await here.entries(author, "access") if entry["partner"] == partner.slug]
            assert sum(answer.status_code == 200 for answer in during) == len(entries)
            assert {answer.status_code for answer in during} <= {200, 401, 403}


@runs_writes_once
async def test_keys_handed_over_while_the_grant_is_paused(tmp_path: Path, chance: random.Random) -> None:
    """A key is recorded and queued before the pause, or not at all; afterwards none is taken."""
    async with world(tmp_path) as here:
        author, other = await here.add_person("author"), await here.add_person("correspondent")
        partner, room_id = await here.add_partner(), await here.room(author, other)
        device = await here.add_partner_device(partner)
        seen, taken, outcomes = (await recorded(here, author))[1], 0, set[bool]()
        for n in range(ROUNDS):
            grant = await here.add_grant(author, partner, [room_id])

            async def end(grant: Json = grant, n: int = n) -> tuple[httpx.Response, httpx.Response]:
                paused = await pause(here, author, partner, grant, room_id)
                return paused, await share(here, author, grant, [one(author, device, room_id)], f"late{n}")

            shares = [share(here, author, grant, [one(author, device, room_id)], f"{n}.{m}") for m in range(5)]
            (paused, after), *during = await at_once(chance, end(), *shares)
            assert (paused.status_code, after.is_success) == (200, False)
            entries, seen = await recorded(here, author, seen)
            kinds = [entry["kind"] for entry in entries]
            assert "key-share" not in kinds[kinds.index("amend") :]
            assert kinds.count("key-share") == sum(answer.is_success for answer in during)
            taken += kinds.count("key-share")
            outcomes.update(answer.is_success for answer in during)
            await here.revoke(author, grant)
            seen = (await recorded(here, author, seen))[1]
        events = await here.http.get(
            "/inbox/v1/key-events", params={"device_id": device.device_id}, headers=partner.headers
        )
        assert len(events.json()["events"]) == taken
        assert outcomes == {True, False}


@runs_writes_once
async def test_a_draft_sealed_while_its_room_is_dropped(tmp_path: Path, chance: random.Random) -> None:
    """The message stands before the amendment, or there is none."""
    async with world(tmp_path) as here:
        desk = await Desk(here).set()
        seen, written, outcomes = (await recorded(here, desk.author))[1], len(await desk.texts()), set[bool]()
        for _ in range(ROUNDS):
            desk.grant = await here.add_grant(desk.author, desk.partner, [desk.room_id], verbs=["write:draft"])
            draft_id = await desk.left()
            assert (await desk.claim(draft_id)).status_code == 200
            dropping = drop_room(here, desk.author, desk.partner, desk.grant, desk.room_id)
            _, dropped = await at_once(chance, desk.seal(draft_id), dropping)
            assert dropped.status_code == 200, dropped.text
            entries, seen = await recorded(here, desk.author, seen)
            told = [(entry["kind"], entry["body"].get("status")) for entry in entries]
            before, written = written, len(await desk.texts())
            assert written - before == told.count(("draft", "sealed"))
            outcomes.add(written > before)
            if written > before:
                assert told.index(("draft", "sealed")) < told.index(("amend", None))
            else:
                assert await desk.refused(draft_id)
        assert outcomes == {True, False}


@runs_writes_once
async def test_two_devices_seal_each_draft_once(tmp_path: Path, chance: random.Random) -> None:
    """Each of some drafts becomes one message, whichever device was first; the other is told that it was late."""
    async with world(tmp_path) as here:
        desk = await Desk(here).set()
        second = await desk.second_device()
        for n in range(ROUNDS):
            draft_id = await desk.left(desk.author.device, second)
            both = [_claim_and_seal(desk, draft_id, device) for device in (desk.author.device, second) for _ in "ab"]
            found = await at_once(chance, *both)
            assert len({event_id for event_id in found if isinstance(event_id, str)}) == 1, found
            assert len(await desk.texts()) == n + 1
            assert await desk.status(draft_id) == "sealed"
        entries = await here.entries(desk.author, "draft")
        assert [entry["body"]["status"] for entry in entries].count("sealed") == ROUNDS


async def _claim_and_seal(desk: Desk, draft_id: str, device: Device) -> str | None:
    claimed = await desk.claim(draft_id, device)
    return await desk.seal(draft_id, device=device) if claimed.status_code == 200 else None


@runs_writes_once
async def test_two_devices_grant_narrow_and_revoke_at_once(tmp_path: Path, chance: random.Random) -> None:
    """Every acknowledged revocation and amendment counts at the end, whoever came first; no version is given twice."""
    async with world(tmp_path) as here:
        author, other = await here.add_person("author"), await here.add_person("correspondent")
        partner, second = await here.add_partner(), await here.add_device(author)
        assert (await here.enrol(author, second)).status_code == 200
        rooms = [await here.room(author, other) for _ in range(3)]
        grants = [await here.add_grant(author, partner, rooms) for _ in range(2)]
        revoked: set[str] = set()
        for _ in range(ROUNDS):
            made = author.device.sign(here.grant(author, partner, rooms))
            first, narrowed = grants[-2:]
            acts = [
                here.post_grant(author, made),
                _by(here, second, first, "revoke", {}),
                here.revoke(author, first),
                _by(here, second, narrowed, "amendments", _dropping(here, second, author, narrowed, rooms[0])),
                drop_room(here, author, partner, narrowed, rooms[1]),
            ]
            before = await here.version(author)
            answers = await at_once(chance, *acts)
            assert [answer.status_code for answer in answers] == [200] * 5, [answer.text for answer in answers]
            revoked.add(first["grant_id"])
            listed = (await here.get("/_paraph/v1/grants", author.device)).json()
            found = {item["grant"]["grant_id"]: item for item in listed["grants"]}
            assert {grant_id for grant_id, item in found.items() if item["revocation"] is not None} == revoked
            assert listed["version"] - before == 4  # the second revocation is the first one, said again
            assert (await open_rooms(here, partner))[narrowed["grant_id"]] == {rooms[2]}
            assert not revoked & (await open_rooms(here, partner)).keys()
            grants.append(made)


def _dropping(here: World, device: Device, author: Party, grant: Json, room_id: str) -> Json:
    document = {
        "type": "org.paraph.amendment",
        "grant_id": grant["grant_id"],
        "person": author.user_id,
        "device_id": device.device_id,
        "previous": document_hash(grant),
        "change": {"op": "drop_rooms", "rooms": [room_id]},
        "created": here.clock.now,
    }
    return {"amendment": device.sign(document)}


async def _by(here: World, device: Device, grant: Json, what: str, body: Json) -> httpx.Response:
    return await here.post(f"/_paraph/v1/grants/{grant['grant_id']}/{what}", body, device)


async def open_rooms(here: World, partner: PartnerParty) -> dict[str, set[str]]:
    """The rooms that each grant opens to the partner now."""
    answer = (await here.http.get("/inbox/v1/rooms", headers=partner.headers)).json()
    found: dict[str, set[str]] = {}
    for room in answer["rooms"]:
        for grant_id in room["grants"]:
            found.setdefault(grant_id, set()).add(room["room_id"])
    return found


@dataclass
class Look:
    """One read: when it was asked, and what it gave."""

    began: float
    served: set[str]


async def hammer(reader: Partner, room_id: str, looks: list[Look], over: asyncio.Event) -> None:
    """Read the room again and again."""
    while not over.is_set():
        began, served = time.monotonic(), set[str]()
        with contextlib.suppress(ProblemError):
            served = {message.event_id for message in (await reader.messages(room_id, "films")).messages}
        looks.append(Look(began, served))


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_processes_that_read_while_another_one_takes_the_grant_back(pair: Pair, tmp_path: Path) -> None:
    """Reads in the other process never stop; none that began after an acknowledged end gave anything, in any round."""
    operator = Operator(pair.first.data)
    reader = await partner(pair.second.url, "marquee", "Marquee", operator, tmp_path / "marquee")
    document = operator.draft("marquee", purposes=["films"])
    operator.publish(reader.sign_document(operator.sign(document)))
    await reader.publish_device()
    author = await Person.register(pair.first.url, "author", PASSWORD)
    room_id = await author.create_room([])
    await author.enrol()
    looks, over, spans = list[Look](), asyncio.Event(), list[tuple[float, float]]()
    reading = [asyncio.create_task(hammer(reader, room_id, looks, over)) for _ in range(4)]
    try:
        for n in range(ROUNDS):
            spans.append((await _given_and_taken(author, room_id, looks, pause=bool(n % 2)), time.monotonic()))
            await asyncio.sleep(0.05)
        over.set()
        await asyncio.gather(*reading)
        assert sum(bool(look.served) for look in looks) >= ROUNDS
        for (_, ended), (begins, _) in itertools.pairwise([*spans, (time.monotonic(), 0.0)]):
            assert not [look for look in looks if ended < look.began < begins and look.served]
        within = False
        for entry in await author.entries():
            within = entry.kind == "grant" or (within and entry.kind not in ("revoke", "amend"))
            assert entry.kind != "access" or within, "a read behind the end of its grant, in the author's own list"
    finally:
        over.set()
        await asyncio.gather(*reading, return_exceptions=True)
        await author.close()
        await reader.close()


async def _given_and_taken(author: Person, room_id: str, looks: list[Look], *, pause: bool) -> float:
    """Grant, say something that is read, and revoke or pause; when the grant was asked for."""
    begins = time.monotonic()
    terms = GrantTerms(["films"], time.time_ns() // 1_000_000 + 86_400_000, [room_id])
    granted = (await author.grant("marquee", terms)).grant.grant_id
    event_id = await author.send_text(room_id, "said")
    await until(lambda: any(event_id in look.served for look in looks[-40:]))
    await (author.pause(granted) if pause else author.revoke(granted))
    return begins
