"""Backups of message keys: versions, keys, which of two keys stays, and how much is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraph.server.devices.backup import http, service
from paraph.server.devices.backup.model import BackedUpKey
from paraph.server.devices.backup.service import Backups
from tests.server.accounts.house import count, house, refused
from tests.server.devices.party import Home, Person

ROOM, OTHER_ROOM = "!room:test", "!other/room:test"
ALGORITHM = "m.megolm_backup.v1.curve25519-aes-sha2"
SEALED = {"ciphertext": "c2VhbGVk", "ephemeral": "ZXBoZW1lcmFs", "mac": "bWFj"}
PARTS = ("paraph.server.accounts", "paraph.server.devices", "paraph.server.devices.backup")


@pytest.fixture
async def author(tmp_path: Path) -> AsyncIterator[Person]:
    """Somebody with an account on a platform that keeps backups."""
    async with house(tmp_path / "paraph.db", rooms=PARTS) as inner:
        home = Home(inner)
        backups = Backups(inner.database)
        inner.accounts.on_deactivate.append(backups.on_deactivate)
        inner.client = home.client = inner.client_at("192.0.2.1", http.endpoints(backups))
        yield await home.person("author")
        await home.client.aclose()


def configuration(algorithm: str = ALGORITHM, **more: Any) -> dict[str, Any]:
    return {"algorithm": algorithm, "auth_data": {"public_key": "abc", "signatures": {}}, **more}


def key(index: int = 0, forwarded: int = 0, verified: bool = False, data: Any = None) -> dict[str, Any]:
    sealed = SEALED if data is None else data
    return {
        "first_message_index": index,
        "forwarded_count": forwarded,
        "is_verified": verified,
        "session_data": sealed,
    }


async def begin(author: Person) -> str:
    """A new backup's version."""
    made: str = (await author("POST", "/room_keys/version", configuration()))["version"]
    return made


def place(version: str, *ids: str) -> str:
    return "/".join(["/room_keys/keys", *(quote(one, safe="") for one in ids)]) + f"?version={version}"


# --- Versions


async def test_without_a_backup_there_is_none(author: Person) -> None:
    """Asking for one, for its keys, or backing up into it says that there is none."""
    refused(await author.ask("GET", "/room_keys/version"), 404, "M_NOT_FOUND")
    refused(await author.ask("GET", "/room_keys/version/1"), 404, "M_NOT_FOUND")
    refused(await author.ask("GET", place("1")), 404, "M_NOT_FOUND")
    refused(await author.ask("PUT", place("1", ROOM, "s"), key()), 404, "M_NOT_FOUND")
    refused(await author.ask("DELETE", place("1")), 404, "M_NOT_FOUND")


async def test_the_newest_backup_is_the_current_one(author: Person) -> None:
    """Each has a version of its own, even after one is deleted; deleting the newest makes the one before current."""
    first, second = await begin(author), await begin(author)
    shown = await author("GET", "/room_keys/version")
    assert shown == {**configuration(), "version": second, "count": 0, "etag": "0"}
    assert (await author("GET", f"/room_keys/version/{first}"))["version"] == first
    assert await author("DELETE", f"/room_keys/version/{second}") == {}
    assert (await author("GET", "/room_keys/version"))["version"] == first
    refused(await author.ask("GET", f"/room_keys/version/{second}"), 404, "M_NOT_FOUND")
    assert await begin(author) not in (first, second)


async def test_only_the_protection_of_a_backup_changes(author: Person) -> None:
    """`auth_data` is replaced; another algorithm, or another version in the body, is refused."""
    version = await begin(author)
    path = f"/room_keys/version/{version}"
    changed = configuration() | {"auth_data": {"public_key": "def"}}
    for body in (changed | {"version": version}, changed):
        assert await author("PUT", path, body) == {}
    assert (await author("GET", path))["auth_data"] == {"public_key": "def"}
    refused(await author.ask("PUT", path, configuration("org.example.other")), 400, "M_INVALID_PARAM")
    refused(await author.ask("PUT", path, configuration(version="77")), 400, "M_INVALID_PARAM")
    refused(await author.ask("PUT", "/room_keys/version/77", configuration()), 404, "M_NOT_FOUND")
    assert (await author("GET", path))["auth_data"] == {"public_key": "def"}


async def test_deleting_twice_is_once(author: Person) -> None:
    """A deleted backup can be deleted again; one that never was cannot. Its keys are gone from the database."""
    version = await begin(author)
    await author("PUT", place(version, ROOM, "s"), key())
    for _ in range(2):
        assert await author("DELETE", f"/room_keys/version/{version}") == {}
    assert await count(author.home.database, "backup_keys") == 0
    for unknown in ("77", "bogus", "-1", "9" * 40):
        refused(await author.ask("DELETE", f"/room_keys/version/{unknown}"), 404, "M_NOT_FOUND")


async def test_a_person_keeps_so_many_backups(author: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound none is begun until one is deleted."""
    monkeypatch.setattr(service, "MAX_VERSIONS", 2)
    first, _ = await begin(author), await begin(author)
    refused(await author.ask("POST", "/room_keys/version", configuration()), 403, "M_FORBIDDEN")
    await author("DELETE", f"/room_keys/version/{first}")
    await begin(author)


@pytest.mark.parametrize(
    "change",
    [
        {"algorithm": None},
        {"algorithm": ""},
        {"algorithm": "a" * 256},
        {"algorithm": 7},
        {"version": 1},
    ],
)
async def test_a_backup_says_how_it_is_sealed(author: Person, change: dict[str, Any]) -> None:
    """Without an algorithm, or with members of other types, nothing is begun."""
    refused(await author.ask("POST", "/room_keys/version", configuration() | change), 400, "M_BAD_JSON")
    refused(await author.ask("POST", "/room_keys/version", {"algorithm": ALGORITHM}), 400, "M_BAD_JSON")
    refused(await author.ask("GET", "/room_keys/version"), 404, "M_NOT_FOUND")


# --- Keys


async def test_keys_come_back_as_they_went_in(author: Person) -> None:
    """One by one, by room, and all at once; count and etag tell that something changed."""
    version = await begin(author)
    assert await author("PUT", place(version, ROOM, "one"), key(3)) == {"count": 1, "etag": "1"}
    room = {"sessions": {"two": key(5), "three/of": key(7, data="opaque")}}
    assert await author("PUT", place(version, ROOM), room) == {"count": 3, "etag": "2"}
    both = {"rooms": {OTHER_ROOM: {"sessions": {"four": key(9)}}}}
    assert await author("PUT", place(version), both) == {"count": 4, "etag": "3"}
    assert await author("GET", place(version, ROOM, "three/of")) == key(7, data="opaque")
    sessions = {"sessions": {"one": key(3), **room["sessions"]}}
    assert await author("GET", place(version, ROOM)) == sessions
    assert await author("GET", place(version)) == {"rooms": {ROOM: sessions, **both["rooms"]}}
    assert (await author("GET", "/room_keys/version"))["count"] == 4


async def test_an_empty_backup_has_no_keys(author: Person) -> None:
    """All keys and those of a room are empty; one key is not found; a backup that is not there is not found."""
    version = await begin(author)
    assert await author("GET", place(version)) == {"rooms": {}}
    assert await author("GET", place(version, ROOM)) == {"sessions": {}}
    refused(await author.ask("GET", place(version, ROOM, "s")), 404, "M_NOT_FOUND")
    refused(await author.ask("GET", place("bogus")), 404, "M_NOT_FOUND")
    refused(await author.ask("GET", "/room_keys/keys"), 400, "M_MISSING_PARAM")


BEFORE = key(10, 5)
WORSE = [key(11, 5), key(10, 6), key(11, 4), key(10, 5)]
BETTER = [key(9, 99), key(10, 4), key(99, 99, True)]


@pytest.mark.parametrize("again", WORSE + BETTER)
async def test_the_better_key_stays(author: Person, again: dict[str, Any]) -> None:
    """Verified before unverified, then the lower index, then fewer forwards; whatever stays, the answer is 200."""
    version, other = await begin(author), again | {"session_data": "another"}
    await author("PUT", place(version, ROOM, "s"), BEFORE)
    told = await author("PUT", place(version, ROOM, "s"), other)
    kept = await author("GET", place(version, ROOM, "s"))
    assert (kept, told) == (
        (BEFORE, {"count": 1, "etag": "1"}) if again in WORSE else (other, {"count": 1, "etag": "2"})
    )


async def test_a_verified_key_stays(author: Person) -> None:
    """An unverified one never takes its place, however far back it reaches."""
    version = await begin(author)
    await author("PUT", place(version, ROOM, "s"), key(10, 5, True))
    for again in (key(0, 0), key(11, 5, True), key(10, 6, True)):
        await author("PUT", place(version, ROOM, "s"), again)
        assert await author("GET", place(version, ROOM, "s")) == key(10, 5, True)


async def test_keys_go_into_the_current_backup_only(author: Person) -> None:
    """For any other version the current one is named, and nothing is kept."""
    first, second = await begin(author), await begin(author)
    for wrong in (first, "77", "bogus", ""):
        for path, body in (
            (place(wrong, ROOM, "s"), key()),
            (place(wrong, ROOM), {"sessions": {}}),
            (place(wrong), {"rooms": {}}),
        ):
            answer = await author.ask("PUT", path, body)
            refused(answer, 403, "M_WRONG_ROOM_KEYS_VERSION")
            assert answer.json()["current_version"] == second
    assert await count(author.home.database, "backup_keys") == 0


async def test_keys_are_removed(author: Person) -> None:
    """One, a room's, or all; what is not there leaves count and etag alone. An older backup can be emptied too."""
    version = await begin(author)
    rooms = {
        ROOM: {"sessions": {name: key() for name in "abc"}},
        OTHER_ROOM: {"sessions": {name: key() for name in "de"}},
    }
    await author("PUT", place(version), {"rooms": rooms})
    assert await author("DELETE", place(version, ROOM, "a")) == {"count": 4, "etag": "2"}
    assert await author("DELETE", place(version, ROOM, "a")) == {"count": 4, "etag": "2"}
    assert await author("DELETE", place(version, ROOM)) == {"count": 2, "etag": "3"}
    await begin(author)
    assert await author("DELETE", place(version)) == {"count": 0, "etag": "4"}
    assert await author("GET", place(version)) == {"rooms": {}}


async def test_nobody_elses_backup_is_seen(author: Person) -> None:
    """Versions and keys are each person's own."""
    version = await begin(author)
    await author("PUT", place(version, ROOM, "s"), key())
    other = await author.home.person("other")
    refused(await other.ask("GET", "/room_keys/version"), 404, "M_NOT_FOUND")
    assert await begin(other) == version
    assert await other("GET", place(version)) == {"rooms": {}}
    assert await other("DELETE", place(version)) == {"count": 0, "etag": "0"}
    assert await author("GET", place(version, ROOM, "s")) == key()


async def test_the_end_of_an_account_ends_its_backups(author: Person) -> None:
    """Nothing of them is left."""
    await author("PUT", place(await begin(author), ROOM, "s"), key())
    await author.home.accounts.deactivate(author.user_id)
    assert await count(author.home.database, "backup_keys") == await count(author.home.database, "backup_versions") == 0


@pytest.mark.parametrize(
    ("change", "status", "errcode"),
    [
        ({"first_message_index": -1}, 400, "M_BAD_JSON"),
        ({"first_message_index": 2**53}, 400, "M_BAD_JSON"),
        ({"first_message_index": 1.5}, 400, "M_BAD_JSON"),
        ({"forwarded_count": "0"}, 400, "M_BAD_JSON"),
        ({"is_verified": 1}, 400, "M_BAD_JSON"),
        ({"session_data": "x" * 8192}, 413, "M_TOO_LARGE"),
    ],
)
async def test_bad_keys_are_refused(author: Person, change: dict[str, Any], status: int, errcode: str) -> None:
    """One bad key among good ones, and none is kept."""
    version = await begin(author)
    refused(await author.ask("PUT", place(version, ROOM, "s"), key() | change), status, errcode)
    room = {"sessions": {"good": key(), "bad": key() | change}}
    refused(await author.ask("PUT", place(version, ROOM), room), status, errcode)
    assert await author("GET", place(version)) == {"rooms": {}}
    for body in ({}, {"rooms": []}, {"rooms": {ROOM: {}}}, {"rooms": {ROOM: {"sessions": {"s": {}}}}}):
        refused(await author.ask("PUT", place(version), body), 400, "M_BAD_JSON")


async def test_a_backup_holds_so_much(author: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many keys, so much ciphertext, so many keys in one request, ids of so many characters; room made is room."""
    version = await begin(author)
    long = "i" * 256
    refused(await author.ask("PUT", place(version, long, "s"), key()), 400, "M_INVALID_PARAM")
    refused(await author.ask("PUT", place(version, ROOM, long), key()), 400, "M_INVALID_PARAM")
    monkeypatch.setattr(service, "MAX_KEYS_AT_ONCE", 3)
    room = {"sessions": {str(n): key() for n in range(4)}}
    refused(await author.ask("PUT", place(version, ROOM), room), 400, "M_INVALID_PARAM")
    monkeypatch.setattr(service, "MAX_KEYS", 2)
    for name in "ab":
        await author("PUT", place(version, ROOM, name), key())
    refused(await author.ask("PUT", place(version, ROOM, "c"), key()), 403, "M_FORBIDDEN")
    await author("PUT", place(version, ROOM, "a"), key(verified=True))
    await author("DELETE", place(version, ROOM, "a"))
    await author("PUT", place(version, ROOM, "c"), key())
    monkeypatch.setattr(service, "MAX_KEYS", 10)
    monkeypatch.setattr(service, "MAX_SIZE", 300)
    refused(await author.ask("PUT", place(version, ROOM, "d"), key(data="x" * 200)), 413, "M_TOO_LARGE")
    await author("DELETE", place(version))
    await author("PUT", place(version, ROOM, "d"), key(data="x" * 200))
    await author("PUT", place(version, ROOM, "d"), key(verified=True, data="y" * 290))


_keys = st.builds(BackedUpKey, st.integers(0, 3), st.integers(0, 3), st.booleans(), st.just(""))


@given(_keys, _keys, _keys)
def test_better_is_an_order(one: BackedUpKey, other: BackedUpKey, third: BackedUpKey) -> None:
    """No key is better than itself or than one that is better; and what is better than a better one is better."""
    assert not one.is_better_than(one)
    assert not (one.is_better_than(other) and other.is_better_than(one))
    if one.is_better_than(other) and other.is_better_than(third):
        assert one.is_better_than(third)
