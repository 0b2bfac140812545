"""Metadata and friends: times and codes under one grant, on the record, and nobody who did not let it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from paraph.server.inbox.people import service
from tests.server.consent.support import DAY, PartnerParty, Person, World, world
from tests.server.inbox.drafting import code

VERBS = ["read", "metadata", "friends"]
LISTING = "/_paraph/v1/friends-listing"


async def ask(
    here: World, partner: PartnerParty, what: str, grant: dict[str, Any] | None, purpose: str = "films", **query: Any
) -> httpx.Response:
    params = {"purpose": purpose} | ({} if grant is None else {"grant_id": grant["grant_id"]}) | query
    return await here.http.get(f"/inbox/v1/{what}", params=params, headers=partner.headers)


async def list_me(here: World, person: Person, listed: Any = True) -> httpx.Response:
    headers = {"authorization": f"Bearer {person.user_id} {person.device.device_id}"}
    return await here.http.put(LISTING, json={"listed": listed}, headers=headers)


async def test_conversations_are_told_by_their_times_and_codes(tmp_path: Path) -> None:
    """When each began and went on, how many are in it, and a code for everybody but the author; recorded by room."""
    async with world(tmp_path) as here:
        author, other, third = [await here.add_person(name) for name in ("author", "correspondent", "third")]
        partner = await here.add_partner(verbs=VERBS)
        rooms = sorted([await here.room(author, other), await here.room(author, other, third)])
        outside = await here.room(author, third)
        grant = await here.add_grant(author, partner, rooms, verbs=["metadata"])
        made = here.clock.now
        await here.send(other, rooms[0])
        found = (await ask(here, partner, "metadata", grant)).json()
        assert [room["room_id"] for room in found["rooms"]] == rooms
        assert outside not in str(found)
        sizes = {room["room_id"]: room["members"] for room in found["rooms"]}
        assert sorted(sizes.values()) == [2, 3]
        for room in found["rooms"]:
            assert room["created"] == made
            assert room["last_message"] == (made + 1 if room["room_id"] == rooms[0] else None)
            assert len(room["correspondents"]) == room["members"] - 1
            assert all(len(handle) == 24 and handle.startswith("h_") for handle in room["correspondents"])
        shared = set(found["rooms"][0]["correspondents"]) & set(found["rooms"][1]["correspondents"])
        assert shared == {here.people.handle("marquee", other.user_id)}
        assert other.user_id not in str(found)
        assert found["next"] is None
        body = {"grant_id": grant["grant_id"], "purpose": "films", "room_ids": rooms}
        assert found["access"]["entry"]["body"] == body
        assert found["access"]["receipt"]["type"] == "org.paraph.receipt"
        assert [entry["body"] for entry in await here.entries(author, "access")] == [body]


async def test_codes_differ_from_partner_to_partner(tmp_path: Path) -> None:
    """Two partners cannot find out that they hear of the same person; one partner can."""
    async with world(tmp_path) as here:
        author, other = await here.add_person("author"), await here.add_person("correspondent")
        room_id = await here.room(author, other)
        seen = []
        for slug in ("marquee", "tempo"):
            partner = await here.add_partner(slug, verbs=VERBS)
            grant = await here.add_grant(author, partner, [room_id], verbs=["metadata"])
            for _ in range(2):
                found = (await ask(here, partner, "metadata", grant)).json()
                seen.append(found["rooms"][0]["correspondents"][0])
        assert seen[0] == seen[1] != seen[2] == seen[3]


async def test_metadata_comes_in_pages_each_recorded(tmp_path: Path) -> None:
    """Every conversation once; each entry lists those of its own answer."""
    async with world(tmp_path) as here:
        author, other = await here.add_person("author"), await here.add_person("correspondent")
        partner = await here.add_partner(verbs=VERBS)
        rooms = sorted([await here.room(author, other) for _ in range(5)])
        grant = await here.add_grant(author, partner, verbs=["metadata"])
        seen, since, pages = [], {}, 0
        while True:
            found = (await ask(here, partner, "metadata", grant, limit=2, **since)).json()
            listed = [room["room_id"] for room in found["rooms"]]
            assert found["access"]["entry"]["body"]["room_ids"] == listed
            seen, pages = seen + listed, pages + 1
            if found["next"] is None:
                break
            assert rooms[0] not in found["next"]
            since = {"since": found["next"]}
        assert (seen, pages) == (rooms, 3)
        assert len(await here.entries(author, "access")) == 3
        assert code(await ask(here, partner, "friends", grant, **since)) == "verb-not-granted"
        assert code(await ask(here, partner, "metadata", grant, since="made up")) == "bad-state"
        tempo = await here.add_partner("tempo", verbs=VERBS)
        other_grant = await here.add_grant(author, tempo, verbs=["metadata"])
        assert code(await ask(here, tempo, "metadata", other_grant, **since)) == "bad-state"


async def test_friends_are_those_who_let_themselves_be_listed(tmp_path: Path) -> None:
    """In a direct conversation that the grant covers and nobody closed; by default nobody."""
    async with world(tmp_path) as here:
        author, friend, silent, crowd = [
            await here.add_person(name) for name in ("author", "friend", "silent", "crowd")
        ]
        partner = await here.add_partner(verbs=VERBS)
        direct, others = await here.room(author, friend), await here.room(author, silent)
        together = await here.room(author, crowd, silent)
        grant = await here.add_grant(author, partner, [direct, others, together], verbs=["friends"])

        async def friends() -> list[str]:
            found = (await ask(here, partner, "friends", grant)).json()
            assert found["access"]["entry"]["body"]["friends"] == found["friends"]
            return list(found["friends"])

        assert await friends() == []
        for person in (author, friend, crowd):
            assert (await list_me(here, person)).json() == {"listed": True}
        assert await friends() == [here.people.handle("marquee", friend.user_id)]
        headers = {"authorization": f"Bearer {friend.user_id} {friend.device.device_id}"}
        assert (await here.http.get(LISTING, headers=headers)).json() == {"listed": True}
        state = (direct, "org.paraph.closed", friend.user_id)
        await here.messenger.sending.set_state(friend.device.principal, *state, {"closed": True})
        assert await friends() == []
        await here.messenger.sending.set_state(friend.device.principal, *state, {"closed": False})
        assert len(await friends()) == 1
        assert (await list_me(here, friend, False)).json() == {"listed": False}
        assert await friends() == []
        assert (await list_me(here, friend, "yes")).status_code == 400
        assert len(await here.entries(author, "access")) == 5


async def test_friends_come_in_pages(tmp_path: Path) -> None:
    """In the order of their codes, so that nothing shows in which order they were met."""
    async with world(tmp_path) as here:
        author, partner = await here.add_person("author"), await here.add_partner(verbs=VERBS)
        people = [await here.add_person(f"friend{number}") for number in range(3)]
        for person in people:
            await here.room(author, person)
            await list_me(here, person)
        grant = await here.add_grant(author, partner, verbs=["friends"])
        first = (await ask(here, partner, "friends", grant, limit=2)).json()
        second = (await ask(here, partner, "friends", grant, limit=2, since=first["next"])).json()
        expected = sorted(here.people.handle("marquee", person.user_id) for person in people)
        assert first["friends"] + second["friends"] == expected
        assert second["next"] is None


async def test_nothing_is_told_beyond_the_grant(tmp_path: Path) -> None:
    """Another verb, purpose or partner, no grant named, a revoked one, an expired one: refused and not recorded."""
    async with world(tmp_path) as here:
        author, other = await here.add_person("author"), await here.add_person("correspondent")
        partner = await here.add_partner(verbs=VERBS)
        tempo = await here.add_partner("tempo", verbs=VERBS)
        room_id = await here.room(author, other)
        grant = await here.add_grant(author, partner, [room_id], verbs=["read"])
        allowed = await here.add_grant(author, partner, [room_id], verbs=["metadata", "friends"])
        for what in ("metadata", "friends"):
            assert code(await ask(here, partner, what, grant)) == "verb-not-granted"
            assert code(await ask(here, partner, what, allowed, purpose="reminders")) == "purpose-not-granted"
            assert code(await ask(here, partner, what, None)) == "bad-parameter"
            assert code(await ask(here, partner, what, allowed, purpose="")) == "bad-parameter"
            assert code(await ask(here, tempo, what, allowed)) == "no-such-grant"
            assert code(await ask(here, partner, what, {"grant_id": "gr_" + "A" * 22})) == "no-such-grant"
        assert await here.entries(author, "access") == []
        await here.revoke(author, allowed)
        short = await here.add_grant(
            author, partner, [room_id], verbs=["metadata", "friends"], until=here.clock.now + DAY
        )
        assert (await ask(here, partner, "metadata", short)).status_code == 200
        await here.pass_to(here.clock.now + DAY)
        await here.authenticate(partner)
        for what in ("metadata", "friends"):
            assert code(await ask(here, partner, what, allowed)) == "no-such-grant"
            assert code(await ask(here, partner, what, short)) == "no-such-grant"
        await here.ledger.stop()
        here.clock.now += 20 * 60_000
        await here.authenticate(partner)
        assert code(await ask(here, partner, "metadata", short)) == "log-not-fresh"
        assert len(await here.entries(author, "access")) == 1


async def test_a_large_room_is_told_within_bounds(tmp_path: Path, monkeypatch: Any) -> None:
    """So many codes; the number of members says that there are more."""
    monkeypatch.setattr(service, "MAX_CORRESPONDENTS", 2)
    async with world(tmp_path) as here:
        author, *others = [await here.add_person(f"person{number}") for number in range(5)]
        partner = await here.add_partner(verbs=VERBS)
        room_id = await here.room(author, *others)
        grant = await here.add_grant(author, partner, [room_id], verbs=["metadata"])
        (room,) = (await ask(here, partner, "metadata", grant)).json()["rooms"]
        assert (room["members"], len(room["correspondents"])) == (5, 2)
