"""Names that a client makes up: of any length and with any character, the answer is the same on both databases."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.server.devices.test_damage import LONG
from tests.server.messenger.house import Device, House

NUL = "a\0b"


async def requests(device: Device, room: str, event_id: str, name: str) -> dict[str, Any]:
    """Everything in which a client gives something a name; the answers."""
    where, me, named = f"/rooms/{quote(room)}", quote(device.user_id), quote(name, safe="")
    bodies: list[tuple[str, str, Any]] = [
        ("PUT", f"{where}/send/{named}/t1", {}),
        ("PUT", f"{where}/send/m.room.encrypted/{named}", {"algorithm": "x", "ciphertext": "x"}),
        ("PUT", f"{where}/state/{named}/", {}),
        ("PUT", f"{where}/state/m.x/{named}", {}),
        ("POST", f"{where}/invite", {"user_id": name}),
        ("POST", f"{where}/invite", {"user_id": f"@{name}:paraph.test"}),
        ("POST", f"/join/{named}", {}),
        ("POST", f"{where}/receipt/m.read/{quote(event_id)}", {"thread_id": name}),
        ("POST", f"{where}/receipt/{named}/{quote(event_id)}", {}),
        ("POST", f"{where}/read_markers", {"m.fully_read": name, "m.read": name}),
        ("PUT", f"{where}/redact/{named}/t2", {"reason": name}),
        ("PUT", f"/user/{me}/account_data/{named}", {}),
        ("PUT", f"/user/{me}/account_data/m.x", {name: name}),
        ("PUT", f"/user/{me}/rooms/{quote(room)}/account_data/{named}", {}),
        ("PUT", f"/user/{me}/rooms/{named}/account_data/m.x", {}),
        ("PUT", f"/user/{me}/rooms/{quote(room)}/tags/{named}", {}),
        ("POST", f"/user/{me}/filter", {"room": {"timeline": {"types": [name]}}}),
        ("GET", f"/user/{me}/filter/{named}", None),
        ("PUT", f"/profile/{me}/displayname", {"displayname": name}),
        ("PUT", f"/profile/{me}/avatar_url", {"avatar_url": name}),
        ("POST", "/user_directory/search", {"search_term": name}),
        ("POST", "/createRoom", {"name": name, "topic": name, "room_alias_name": name}),
        ("GET", f"{where}/event/{named}", None),
        ("GET", f"/profile/{named}", None),
    ]
    answers = {f"{method} {path[:60]}": await device.call(method, path, body) for method, path, body in bodies}
    return answers | {
        "filter": await device.sync(filter=name),
        "since": await device.sync(since=name),
        "from": await device.call("GET", f"{where}/messages", dir="b", **{"from": name}),
    }


@pytest.mark.parametrize("name", [LONG, "é" * 256, "\U0010ffff", "'\"\\%_$1:x--"])
async def test_no_name_is_a_failure_of_the_server(home: House, name: str) -> None:
    """Too long, or of odd characters: kept or refused with a code, and never half of either."""
    author = home.device("author")
    room = await author.create()
    event_id = (await author.send(room))["event_id"]
    for what, answer in (await requests(author, room, event_id, name)).items():
        assert answer.status < 500, (what, answer)
        assert answer.status == 200 or answer["errcode"], (what, answer)


async def test_a_nul_character_is_refused_wherever_it_stands(home: House) -> None:
    """PostgreSQL could not keep it, so SQLite is not asked to either; a backslash before `u0000` is only a text."""
    author = home.device("author")
    room = await author.create()
    event_id = (await author.send(room))["event_id"]
    for what, answer in (await requests(author, room, event_id, NUL)).items():
        assert (answer.status, answer["errcode"]) == (400, "M_INVALID_PARAM"), (what, answer)
    kept = await author.call("PUT", f"/profile/{quote(author.user_id)}/displayname", {"displayname": "a\\u0000b"})
    assert kept.status == 200
    shown = await author.call("GET", f"/profile/{quote(author.user_id)}/displayname")
    assert shown["displayname"] == "a\\u0000b"
