"""The list of one's own devices, and hearing of other people's."""

from __future__ import annotations

from typing import Any

import pytest

from paraph.server.storage import Transaction
from tests.server.accounts.house import PASSWORD, bearer, count, refused
from tests.server.devices.party import PARTNER, V3, Home, Person


def auth(password: str = PASSWORD) -> dict[str, Any]:
    """Authenticating again by password."""
    return {"type": "m.login.password", "password": password}


async def listed(person: Person) -> dict[str, dict[str, Any]]:
    """A person's own devices by id."""
    answer = await person("GET", "/devices")
    return {device["device_id"]: device for device in answer["devices"]}


async def test_devices_are_listed_with_all_their_fields(home: Home) -> None:
    """Own devices only, each with name, time and (never kept) address."""
    author = await home.person("author")
    answer = await home.inner.log_in("author", device_id="LAPTOP", initial_device_display_name="Laptop")
    assert answer.status_code == 200
    await home.person("other", "THEIRS")
    expected = {
        "user_id": author.user_id,
        "device_id": "LAPTOP",
        "display_name": "Laptop",
        "last_seen_ip": None,
        "last_seen_ts": home.inner.clock.now,
    }
    devices = await listed(author)
    assert set(devices) == {"PHONE", "LAPTOP"}
    assert devices["LAPTOP"] == expected
    assert devices["PHONE"]["display_name"] is None
    assert await author("GET", "/devices/LAPTOP") == expected


async def test_a_device_is_renamed(home: Home) -> None:
    """Its owner changes the name; a login or a change without a name keeps it; no other's devices are reached."""
    author, other = await home.person("author"), await home.person("other", "THEIRS")
    await author("PUT", "/devices/PHONE", {"display_name": "Pocket"})
    assert await author("PUT", "/devices/PHONE", {}) == {}
    refused(await author.ask("PUT", "/devices/THEIRS", {}), 404, "M_NOT_FOUND")
    again = await home.another(author, "PHONE")
    assert (await again("GET", "/devices/PHONE"))["display_name"] == "Pocket"
    for person, device_id in ((other, "PHONE"), (again, "THEIRS"), (again, "GONE")):
        refused(await person.ask("PUT", f"/devices/{device_id}", {"display_name": "x"}), 404, "M_NOT_FOUND")
        refused(await person.ask("GET", f"/devices/{device_id}"), 404, "M_NOT_FOUND")
    refused(await again.ask("PUT", "/devices/PHONE", {"display_name": "x" * 256}), 400, "M_INVALID_PARAM")
    refused(await again.ask("PUT", "/devices/PHONE", {"display_name": 7}), 400, "M_BAD_JSON")
    assert (await again("GET", "/devices/PHONE"))["display_name"] == "Pocket"


async def test_a_device_is_deleted_with_the_password_only(home: Home) -> None:
    """Without it 401, with another's 403, and nothing happens; with it token, keys and queue are gone."""
    author = await home.person("author")
    laptop = await home.another(author, "LAPTOP")
    await laptop.publish(["a"])
    for given, status in ((None, 401), (auth("wrong password"), 401), (auth() | {"user": "other"}, 403)):
        answer = await author.ask("DELETE", "/devices/LAPTOP", {"auth": given})
        assert (answer.status_code, "flows" in answer.json()) == (status, status == 401)
        assert (await laptop.ask("GET", "/account/whoami")).status_code == 200
    assert await author("DELETE", "/devices/LAPTOP", {"auth": auth()}) == {}
    refused(await laptop.ask("GET", "/account/whoami"), 401, "M_UNKNOWN_TOKEN")
    assert set(await listed(author)) == {"PHONE"}
    assert await count(home.database, "devices_one_time_keys") == 0


async def test_several_devices_are_deleted_at_once(home: Home) -> None:
    """One password for all; those that do not exist, or are not hers, are passed over."""
    author, other = await home.person("author"), await home.person("other", "THEIRS")
    laptop, tablet = await home.another(author, "LAPTOP"), await home.another(author, "TABLET")
    body = {"devices": ["LAPTOP", "TABLET", "GONE", "THEIRS"], "auth": auth()}
    assert await author("POST", "/delete_devices", body) == {}
    for gone in (laptop, tablet):
        refused(await gone.ask("GET", "/devices"), 401, "M_UNKNOWN_TOKEN")
    assert set(await listed(author)) == {"PHONE"}
    assert set(await listed(other)) == {"THEIRS"}
    refused(await author.ask("POST", "/delete_devices", {"devices": "PHONE"}), 400, "M_BAD_JSON")


async def test_every_endpoint_wants_a_token(home: Home) -> None:
    """Nothing here answers without a live one."""
    author = await home.person("author")
    await author("POST", "/logout")
    paths = [("GET", "/devices"), ("POST", "/keys/query"), ("POST", "/keys/claim"), ("PUT", "/sendToDevice/m.x/t")]
    for method, path in paths:
        refused(await author.ask(method, path, {}), 401, "M_UNKNOWN_TOKEN")
        refused(await home.client.request(method, f"{V3}{path}"), 401, "M_MISSING_TOKEN")
        headers = bearer("the-operator")
        refused(await home.client.request(method, f"{V3}{path}", headers=headers), 401, "M_UNKNOWN_TOKEN")


# --- Device lists


async def test_those_who_share_a_room_hear_of_changes(home: Home) -> None:
    """New keys, a new name, an identity and a logout each show once, to room mates and to the person herself."""
    author, mate, stranger = [await home.person(name) for name in ("author", "mate", "stranger")]
    home.rooms = [{author.user_id, mate.user_id}]
    laptop = await home.another(author, "LAPTOP")
    steps: list[tuple[str, str, Any]] = [
        ("POST", "/keys/upload", {"device_keys": laptop.device_keys()}),
        ("PUT", "/devices/LAPTOP", {"display_name": "Laptop"}),
        ("POST", "/keys/device_signing/upload", laptop.identity()),
        ("POST", "/logout", {}),
    ]
    for method, path, body in steps:
        since = home.position
        home.woken.clear()
        await laptop(method, path, body)
        assert home.woken == [{author.user_id, mate.user_id}], path
        upto = home.position
        for person, expected in ((author, [author.user_id]), (mate, [author.user_id]), (stranger, [])):
            assert (await person.part(since)).changed == expected, path
            assert (await person.part(upto)).changed == [], path


async def test_a_device_without_keys_changes_nothing(home: Home) -> None:
    """A login alone is no news to others: there is nobody to encrypt to yet."""
    author = await home.person("author")
    since = home.position
    keyless = await home.another(author, "LAPTOP")
    await keyless("POST", "/logout")
    assert (await author.part(since)).changed == []


async def test_a_change_beyond_the_window_comes_later(home: Home) -> None:
    """A sync shows what lies in its window; what happened since then is in the next one, not lost."""
    author, mate = await home.person("author"), await home.person("mate")
    home.rooms = [{author.user_id, mate.user_id}]
    since = home.position
    await author.publish()
    middle = home.position
    await author("PUT", "/devices/PHONE", {"display_name": "new"})

    async def changed(after: int, upto: int) -> list[str]:
        return (await home.devices.changes(mate.user_id, after, upto))[0]

    assert await changed(since, home.position) == [author.user_id]
    assert await changed(middle, home.position) == [author.user_id]
    assert await changed(home.position, home.position) == []


async def test_long_device_lists_come_in_parts(home: Home) -> None:
    """With a limit the window ends where there are enough people; from its end on come the others, none twice."""
    author = await home.person("author")
    mates = [await home.person(f"mate{number}") for number in range(5)]
    home.rooms = [{author.user_id, *(mate.user_id for mate in mates)}]
    since = home.position
    for mate in mates[:3]:
        await mate.publish()

    def meet(tx: Transaction) -> None:
        home.devices.lists.note_shared(tx, author.user_id, mates[3].user_id)
        home.devices.lists.note_left(tx, author.user_id, mates[4].user_id)

    await home.database.write(meet)
    names = [mate.user_id for mate in mates]
    told: list[tuple[list[str], list[str]]] = []
    reached = since
    while reached < home.position:
        part = await author.part(since, lists_since=reached, lists_limit=2)
        told.append((part.changed, part.left))
        assert part.lists_upto > reached
        reached = part.lists_upto
    assert told == [(names[:2], []), (names[2:4], []), ([], names[4:])]
    whole = await author.part(since, lists_limit=5)
    assert (whole.changed, whole.left, whole.lists_upto) == (names[:4], names[4:], home.position)


async def test_joining_and_leaving_show_on_both_sides(home: Home) -> None:
    """Who meets in a room looks at each other's devices; who shares no room any more is left."""
    author, mate, third = [await home.person(name) for name in ("author", "mate", "third")]
    everybody = {author.user_id, mate.user_id, third.user_id}

    async def member(user_id: str, members: set[str], membership: str) -> None:
        def write(tx: Transaction) -> None:
            home.devices.lists.on_membership(tx, user_id, members, membership)

        await home.database.write(write)

    since = home.position
    home.rooms = [everybody]
    await member(author.user_id, everybody, "join")
    assert (await author.part(since)).changed == [mate.user_id, third.user_id]
    assert (await mate.part(since)).changed == [author.user_id]

    since = home.position
    home.rooms = [{mate.user_id, third.user_id}, {author.user_id, third.user_id}]
    await member(author.user_id, everybody, "leave")
    assert (await author.part(since)).left == [mate.user_id]
    assert (await mate.part(since)).left == [author.user_id]
    assert not (await third.part(since)).has_news

    home.rooms.append({author.user_id, mate.user_id})
    await member(mate.user_id, {author.user_id}, "join")
    part = await author.part(since)
    assert (part.changed, part.left) == ([mate.user_id], [])


@pytest.mark.parametrize("membership", ["invite", "knock"])
async def test_other_memberships_say_nothing(home: Home, membership: str) -> None:
    """An invited person gets no keys yet."""
    author, mate = await home.person("author"), await home.person("mate")
    since = home.position
    await home.database.write(
        lambda tx: home.devices.lists.on_membership(tx, author.user_id, [mate.user_id], membership)
    )
    assert not (await mate.part(since)).has_news


async def test_a_partner_shows_to_its_grantors_alone(home: Home) -> None:
    """A change of a partner's devices is told person by person."""
    author, mate = await home.person("author"), await home.person("mate")
    home.rooms = [{author.user_id, mate.user_id}]
    since = home.position
    home.woken.clear()
    await home.database.write(lambda tx: home.devices.lists.note_shared(tx, author.user_id, PARTNER))
    assert home.woken == [{author.user_id}]
    assert (await author.part(since)).changed == [PARTNER]
    assert (await mate.part(since)).changed == []


async def test_changes_between_two_tokens(home: Home) -> None:
    """The endpoint answers the same as the syncs between its tokens; bad and absent tokens are refused."""
    author, mate = await home.person("author"), await home.person("mate")
    home.rooms = [{author.user_id, mate.user_id}]
    since = home.position
    await author.publish()
    await home.database.write(lambda tx: home.devices.lists.note_left(tx, mate.user_id, "@gone:test"))
    answer = await mate("GET", f"/keys/changes?from={since}&to={home.position}")
    assert answer == {"changed": [author.user_id], "left": ["@gone:test"]}
    answer = await mate("GET", f"/keys/changes?from={home.position}&to={home.position}")
    assert answer == {"changed": [], "left": []}
    refused(await mate.ask("GET", f"/keys/changes?from={since}"), 400, "M_MISSING_PARAM")
    refused(await mate.ask("GET", "/keys/changes?from=x&to=y"), 400, "M_INVALID_PARAM")
