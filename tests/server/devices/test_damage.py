"""Every body of accounts and devices, damaged at every place: an error with a code, never a failure of the server."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from tests.server.accounts.house import DUMMY, PASSWORD
from tests.server.devices.party import Home, Person

Path = tuple[str | int, ...]

LONG = "".join(chr(0x4E00 + number * 7919 % 20_000) for number in range(3000))
"""9,000 bytes that compress badly: more than PostgreSQL takes into an index."""

VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    1.5,
    2**70,
    "",
    "x",
    "\u0000",
    "ü" * 300,
    LONG,
    [],
    ["x"],
    {},
    {"x": {"x": "x"}},
)

NAMES = ("", "x", "\u0000", "@app-films:test", "ü" * 300, LONG)


def places(value: Any, at: Path = ()) -> Iterator[Path]:
    """The path of everything inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in items:
        yield (*at, key)
        yield from places(member, (*at, key))


def damaged(body: Any) -> Iterator[Any]:
    """The body with each value replaced by each of VALUES, removed, or put under other names."""
    for path in places(body):
        for value in VALUES:
            copied, holder = inside(body, path)
            holder[path[-1]] = value
            yield copied
        for name in (None, *NAMES):
            copied, holder = inside(body, path)
            value = holder.pop(path[-1])
            if name is not None and isinstance(holder, dict):
                holder[name] = value
            yield copied


def inside(body: Any, path: Path) -> tuple[Any, Any]:
    """A copy of the body, and in it the object or list that the path ends in."""
    copied = copy.deepcopy(body)
    holder = copied
    for key in path[:-1]:
        holder = holder[key]
    return copied, holder


def bodies(author: Person, other: Person) -> dict[tuple[str, str], Any]:
    """A good body for each endpoint."""
    identity = author.identity()
    return {
        ("POST", "/login"): {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": "author"},
            "password": PASSWORD,
            "device_id": "OTHER",
            "initial_device_display_name": "Other",
        },
        ("POST", "/register"): {"username": "author", "password": PASSWORD, "auth": DUMMY, "device_id": "X"},
        ("PUT", "/devices/PHONE"): {"display_name": "Pocket"},
        ("DELETE", "/devices/OTHER"): {"auth": {"type": "m.login.password", "password": PASSWORD, "user": "author"}},
        ("POST", "/keys/upload"): {
            "device_keys": author.device_keys(),
            "one_time_keys": author.one_time(["a"]),
            "fallback_keys": author.one_time(["f"]),
        },
        ("POST", "/keys/query"): {"device_keys": {other.user_id: ["PHONE"]}},
        ("POST", "/keys/claim"): {"one_time_keys": {other.user_id: {"PHONE": "signed_curve25519"}}},
        ("POST", "/keys/device_signing/upload"): identity,
        ("POST", "/keys/signatures/upload"): {
            author.user_id: {
                "PHONE": author.device_keys(),
                author.master().public_key: identity["master_key"],
            },
            other.user_id: {other.master().public_key: other.identity()["master_key"]},
        },
        ("PUT", "/sendToDevice/m.x/t"): {"messages": {other.user_id: {"*": {"n": 1}, "PHONE": {"n": [2]}}}},
    }


@pytest.mark.parametrize("number", range(10))
async def test_damage_is_answered_with_an_error(home: Home, number: int) -> None:
    """Whatever stands where, the answer is 200, or a client error with code and sentence."""
    author, other = await home.person("author"), await home.person("correspondent")
    for person in (author, other):
        await person.publish(["z"])
        await person("POST", "/keys/device_signing/upload", person.identity())
    (method, path), good = list(bodies(author, other).items())[number]
    refusals = 0
    for n, body in enumerate(damaged(good)):
        where = f"{path}{n}" if path.endswith("/t") else path
        answer = await author.ask(method, where, body)
        assert answer.status_code < 500, (path, body, answer.text)
        if answer.status_code != 200:
            refusals += 1
            assert "errcode" in answer.json() or "flows" in answer.json(), (path, body, answer.text)
    assert refusals > 0 or path == "/keys/signatures/upload"
    assert (await author.ask("GET", "/account/whoami")).status_code == 200
