"""Sync answers from the tables: many rooms at once say what each says alone, in a handful of statements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from paraph.server.messenger.sync import service as sync
from paraph.server.storage import Transaction
from tests.server.messenger.house import Device, House


async def _post(device: Device, room: str, action: str, **body: Any) -> None:
    answer = await device.call("POST", f"/rooms/{quote(room)}/{action}", body)
    assert answer.status == 200, answer


async def _say(author: Device, room: str, count: int) -> None:
    for _ in range(count):
        assert (await author.send(room)).status == 200


async def _rename(author: Device, room: str, name: str) -> None:
    answer = await author.call("PUT", f"/rooms/{quote(room)}/state/m.room.name/", {"name": name})
    assert answer.status == 200, answer


async def _read(device: Device, room: str, kind: str) -> None:
    newest = (await device.call("GET", f"/rooms/{quote(room)}/messages", dir="b", limit=1))["chunk"][0]
    await _post(device, room, f"receipt/{kind}/{quote(newest['event_id'])}")


_SINCE_JOINED: list[dict[str, Any]] = [
    {"type": "m.room.history_visibility", "state_key": "", "content": {"history_visibility": "joined"}}
]


async def _history(home: House) -> list[str | None]:
    """A friend's life in rooms of every kind; returns tokens from different times of it, None among them."""
    author, friend, third = home.device("author"), home.device("friend"), home.device("third")
    tokens: list[str | None] = [None, (await friend.next())["next_batch"]]
    stayed, quiet, gone, banned, back = [await author.create(friend, third) for _ in range(5)]
    invited = await author.create(third, name="invited")
    turned_down = await author.create()
    late = await author.create(third, initial_state=_SINCE_JOINED)
    for room in (stayed, gone, banned, back, late):
        await _say(author, room, 3)
    tokens.append((await friend.next())["next_batch"])
    await _post(friend, gone, "leave")
    await _post(friend, back, "leave")
    for room in (turned_down, late, invited):
        await _post(author, room, "invite", user_id=friend.user_id)
    await _rename(author, back, "unseen")
    await _say(author, back, 2)
    tokens.append((await friend.next())["next_batch"])
    await _post(author, banned, "ban", user_id=friend.user_id)
    await _post(friend, turned_down, "leave")
    await _post(author, back, "invite", user_id=friend.user_id)
    await _post(friend, back, "join")
    await _post(friend, late, "join")
    await _rename(author, stayed, "gap")
    for room in (stayed, gone, banned, late):
        await _say(author, room, 4)
    await _read(author, stayed, "m.read")
    await _read(third, stayed, "m.read.private")
    await _read(friend, late, "m.read.private")
    tokens.append((await friend.next())["next_batch"])
    await _post(third, stayed, "leave")
    await _read(third, quiet, "m.read")
    return [*tokens, (await friend.next())["next_batch"]]


async def _answers(home: House, tokens: list[str | None]) -> list[dict[str, Any]]:
    """What the friend's sync says for each of these tokens, with and without a gap, memory having forgotten her."""
    friend, found = home.device("friend"), []
    for limit in (3, 50):
        for full in ("false", "true"):
            for since in tokens:
                home.messenger.core.views.clear()
                definition = f'{{"room":{{"timeline":{{"limit":{limit}}}}}}}'
                answer = await friend.sync(since, filter=definition, full_state=full, timeout=0)
                assert answer.status == 200, answer
                found.append(dict(answer))
    return found


async def test_rooms_read_together_answer_as_each_alone(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Joined, left, banned, invited, refused, rejoined, quiet: no room's answer depends on which are read with it."""
    tokens = await _history(home)
    together = await _answers(home, tokens)
    monkeypatch.setattr(sync, "ROOMS_PER_READ", 1)
    alone = await _answers(home, tokens)
    assert together == alone
    sections = [answer.get("rooms", {}) for answer in together]
    assert {kind for rooms in sections for kind, inside in rooms.items() if inside} == {"join", "invite", "leave"}
    assert any(room["state"]["events"] and room["timeline"]["limited"] for room in sections[3]["join"].values())


async def test_a_quiet_room_is_left_out(home: House) -> None:
    """From the tables too: a room without anything new is not mentioned, one with a receipt is."""
    author, friend = home.device("author"), home.device("friend")
    await author.create(friend)
    read = await author.create(friend)
    await _say(author, read, 1)
    since = (await friend.next())["next_batch"]
    await _read(author, read, "m.read")
    home.messenger.core.views.clear()
    answer = await friend.sync(since)
    assert list(answer["rooms"]["join"]) == [read]
    assert answer["rooms"]["join"][read]["timeline"]["events"] == []


async def _statements(home: House, device: Device, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many statements a first sync of this device asks for."""
    counted = 0

    async def read(fn: Callable[[Transaction], Any]) -> Any:
        def counting(tx: Transaction) -> Any:
            return fn(_Counting(tx))  # type: ignore[arg-type]  # what sync does not use is not there

        return await original(counting)

    class _Counting:
        def __init__(self, tx: Transaction) -> None:
            self._tx = tx

        def rows(self, sql: str, params: Any) -> Any:
            nonlocal counted
            counted += 1
            return self._tx.rows(sql, params)

        def row(self, sql: str, params: Any) -> Any:
            nonlocal counted
            counted += 1
            return self._tx.row(sql, params)

    database = home.messenger.core.database
    original = database.read
    with monkeypatch.context() as patch:
        patch.setattr(database, "read", read)
        assert (await device.sync()).status == 200
    return counted


async def test_more_rooms_need_no_more_statements(home: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rooms that are read together share every statement."""
    author, friend = home.device("author"), home.device("friend")
    await author.create(friend)
    few = await _statements(home, friend, monkeypatch)
    for _ in range(6):
        await author.create(friend)
    assert await _statements(home, friend, monkeypatch) <= few
    assert few <= 14
