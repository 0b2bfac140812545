"""The tables of pushers and of what their gateways have not taken yet. `memberships` is only read here."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec

from paraph.server.storage import Sql, Transaction, load_sql

sql = load_sql("paraph.server.messenger.push")


@cache
def _sql_of(dialect: str) -> Sql:
    return load_sql("paraph.server.messenger.push", dialect)


class Pusher(msgspec.Struct, frozen=True):
    """Where and how one app on one device of a person is told. `set_at` and `next_attempt` in ms."""

    user_id: str
    app_id: str
    pushkey: str
    device_id: str
    app_display_name: str
    device_display_name: str
    profile_tag: str
    lang: str
    data: bytes
    set_at: int
    since: int
    failures: int = 0
    next_attempt: int = 0

    @property
    def key(self) -> dict[str, str]:
        """What names it."""
        return {"user_id": self.user_id, "app_id": self.app_id, "pushkey": self.pushkey}

    @property
    def settings(self) -> dict[str, Any]:
        """`data`, parsed anew."""
        found: dict[str, Any] = msgspec.json.decode(self.data)
        return found


class Waiting(msgspec.Struct, frozen=True):
    """One event that a pusher is to be told of, with what the person's rules say about how."""

    pusher: Pusher
    position: int
    tweaks: dict[str, Any]


def put(tx: Transaction, pusher: Pusher) -> None:
    """Add a pusher, or replace the person's own with this key."""
    values = msgspec.structs.asdict(pusher)
    tx.run(sql.put_pusher, {name: value for name, value in values.items() if name not in ("failures", "next_attempt")})


def of(tx: Transaction, user_id: str) -> list[Pusher]:
    """A person's pushers, oldest first."""
    return [Pusher(*row) for row in tx.rows(sql.pushers_of, {"user_id": user_id})]


def remove(tx: Transaction, user_id: str, app_id: str, pushkey: str) -> None:
    """Forget a pusher, and what it was to be told."""
    key = {"user_id": user_id, "app_id": app_id, "pushkey": pushkey}
    tx.run(sql.remove_pusher, key)
    tx.run(sql.forget_pushes, key)


def others(tx: Transaction, user_id: str, app_id: str, pushkey: str) -> list[str]:
    """Other people with a pusher of the same app and key."""
    key = {"user_id": user_id, "app_id": app_id, "pushkey": pushkey}
    return [row[0] for row in tx.rows(sql.others_with_key, key)]


def exist(tx: Transaction) -> bool:
    """Whether anybody has a pusher."""
    return tx.row(sql.any_pusher) is not None


def in_rooms(tx: Transaction, dialect: str, rooms: Sequence[str]) -> dict[str, list[Pusher]]:
    """The pushers of joined members, by room; rooms without any are missing."""
    found: dict[str, list[Pusher]] = {}
    asked = {"rooms": msgspec.json.encode(rooms).decode()}
    for row in tx.rows(_sql_of(dialect).pushers_in_rooms, asked):
        found.setdefault(row[0], []).append(Pusher(*row[1:]))
    return found


def add(tx: Transaction, push: Waiting) -> None:
    """A pusher is to be told of an event."""
    tx.run(sql.put_push, push.pusher.key | {"position": push.position, "tweaks": msgspec.json.encode(push.tweaks)})


def waiting(tx: Transaction, limit: int) -> list[Waiting]:
    """Pushers that have something to be told, those to be tried first in front; of each what is oldest."""
    found = []
    for row in tx.rows(sql.waiting_pushers, {"limit": limit}):
        pusher = Pusher(*row)
        first = tx.row(sql.first_push, pusher.key)
        if first is not None:
            found.append(Waiting(pusher, first[0], msgspec.json.decode(first[1])))
    return found


def done(tx: Transaction, push: Waiting) -> None:
    """The pusher was told, or need not be any more."""
    tx.run(sql.pushed, push.pusher.key | {"position": push.position})


def tried(tx: Transaction, pusher: Pusher, failures: int, next_attempt: int) -> None:
    """Note how often in a row it failed, and when it is tried again."""
    tx.run(sql.pusher_tried, pusher.key | {"failures": failures, "next_attempt": next_attempt})


def progress(tx: Transaction) -> int | None:
    """Up to where events were looked at; None if none ever were."""
    row = tx.row(sql.push_progress)
    return row[0] if row else None


def set_progress(tx: Transaction, upto: int) -> None:
    """Events up to there were looked at."""
    tx.run(sql.set_push_progress, {"upto": upto})
