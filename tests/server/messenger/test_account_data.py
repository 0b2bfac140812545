"""What a person keeps for herself, and what is kept from being set."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.server.messenger.house import House


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize("room", ["", "nonsense", "@author:paraph.test"])
async def test_data_for_a_room_names_a_room(home: House, method: str, room: str) -> None:
    """What is no room id is refused, and never taken for global data."""
    author = home.device("author")
    path = f"/user/{author.user_id}/rooms/{quote(room)}/account_data/m.x"
    answer = await author.call(method, path, {"a": 1} if method == "PUT" else None)
    assert (answer.status, answer["errcode"]) == (400, "M_INVALID_PARAM")
    assert (await author.call("GET", f"/user/{author.user_id}/account_data/m.x")).status == 404


@pytest.mark.parametrize("kind", ["m.fully_read", "m.push_rules"])
async def test_what_the_server_keeps_is_not_set_as_data(home: House, kind: str) -> None:
    """Markers and push rules have endpoints of their own, for the account and for a room."""
    author = home.device("author")
    room = await author.create()
    for path in (f"/user/{author.user_id}", f"/user/{author.user_id}/rooms/{quote(room)}"):
        answer = await author.call("PUT", f"{path}/account_data/{kind}", {"event_id": "$x"})
        assert (answer.status, answer["errcode"]) == (405, "M_BAD_JSON")


@pytest.mark.parametrize("content", [[], "text", 7, None])
async def test_data_is_an_object(home: House, content: Any) -> None:
    """Anything else is refused, and nothing is kept."""
    author = home.device("author")
    path = f"/user/{author.user_id}/account_data/m.x"
    answer = await home.client.put(
        f"/_matrix/client/v3{path}",
        content=json.dumps(content),
        headers={"authorization": f"Bearer {author.user_id}|A"},
    )
    assert (answer.status_code, answer.json()["errcode"]) == (400, "M_BAD_JSON")
    assert (await author.call("GET", path)).status == 404


async def test_the_end_of_an_account_ends_her_data(home: House) -> None:
    """What she kept for herself, for a room too, and her filters are gone."""
    author = home.device("author")
    room = await author.create()
    kept = (await author.call("POST", f"/user/{author.user_id}/filter", {}))["filter_id"]
    paths = [f"/user/{author.user_id}", f"/user/{author.user_id}/rooms/{quote(room)}"]
    for path in paths:
        await author.call("PUT", f"{path}/account_data/m.x", {"a": 1})
    await home.messenger.core.database.write(lambda tx: home.messenger.personal.on_deactivate(tx, author.user_id))
    for path in (*(f"{path}/account_data/m.x" for path in paths), f"/user/{author.user_id}/filter/{kept}"):
        assert (await author.call("GET", path)).status == 404
