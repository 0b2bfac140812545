"""Tables of the inbox: the partners' streams, when grants run out, and secrets."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from paraph.server.storage import Sql, Transaction, load_sql

sql = load_sql("paraph.server.inbox.feed")


@lru_cache(maxsize=2)
def _dialect(name: str) -> Sql:
    return load_sql("paraph.server.inbox.feed", name)


@dataclass(frozen=True, slots=True)
class Row:
    """One thing in a partner's stream under one grant; `about` is what its kind says of it."""

    position: int
    grant_id: str
    kind: str
    person: str
    room_id: str | None
    about: dict[str, Any] | None


def add(tx: Transaction, partner: str, row: Row) -> None:
    """Put something into a partner's stream."""
    about = None if row.about is None else msgspec.json.encode(row.about).decode()
    tx.add(
        sql.add_feed,
        {
            "partner": partner,
            "position": row.position,
            "grant_id": row.grant_id,
            "kind": row.kind,
            "person": row.person,
            "room_id": row.room_id,
            "about": about,
        },
    )


def rows(tx: Transaction, partner: str, after: int, upto: int, limit: int, only: str | None) -> list[Row]:
    """The stream in (after, upto], in order, at most `limit` rows; `only` those under one grant."""
    params: dict[str, Any] = {"partner": partner, "after": after, "upto": upto, "limit": limit}
    if only is None:
        return [_row(*found) for found in tx.rows(sql.feed, params)]
    return [_row(*found) for found in tx.rows(sql.feed_of_grant, {**params, "grant_id": only})]


def row(tx: Transaction, partner: str, position: int, grant_id: str) -> Row | None:
    """One row of the stream."""
    found = tx.row(sql.feed_row, {"partner": partner, "position": position, "grant_id": grant_id})
    return None if found is None else _row(*found)


def newest(tx: Transaction, partner: str) -> int:
    """Where the stream ends; 0 for one that has nothing."""
    found = tx.row(sql.newest_feed, {"partner": partner})
    return 0 if found is None else int(found[0])


def covered(tx: Transaction, dialect: str, partner: str, positions: Iterable[int]) -> set[tuple[int, str]]:
    """Under which grants the messages at these positions were covered when they were sent."""
    asked = msgspec.json.encode(list(positions)).decode()
    found = tx.rows(_dialect(dialect).covered, {"partner": partner, "positions": asked})
    return {(position, grant_id) for position, grant_id in found}


def put_running(tx: Transaction, partner: str, person: str, grant_id: str, until: int) -> None:
    """Note when a grant runs out (ms)."""
    tx.run(sql.put_running, {"grant_id": grant_id, "partner": partner, "person": person, "until": until})


def drop_running(tx: Transaction, grant_id: str) -> None:
    """A grant has ended."""
    tx.run(sql.drop_running, {"grant_id": grant_id})


def run_out(tx: Transaction, partner: str, at: int, limit: int) -> list[tuple[str, str]]:
    """Grants that have run out and of which the stream does not say so yet, with their authors."""
    found = tx.rows(sql.run_out, {"partner": partner, "at": at, "limit": limit})
    return [(grant_id, person) for grant_id, person in found]


def next_to_run_out(tx: Transaction, partner: str) -> int | None:
    """When the next of a partner's grants runs out (ms), or has."""
    found = tx.row(sql.next_to_run_out, {"partner": partner})
    return None if found is None else int(found[0])


def add_secret(tx: Transaction, name: str, value: bytes) -> None:
    """Keep a secret, unless there is one of that name."""
    tx.run(sql.add_secret, {"name": name, "value": value})


def secret(tx: Transaction, name: str) -> bytes:
    """The secret of that name; LookupError without one."""
    found = tx.row(sql.secret, {"name": name})
    if found is None:
        raise LookupError(f"there is no secret {name}")
    return bytes(found[0])


def _row(position: int, grant_id: str, kind: str, person: str, room_id: str | None, about: str | None) -> Row:
    return Row(position, grant_id, kind, person, room_id, None if about is None else msgspec.json.decode(about))
