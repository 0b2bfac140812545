"""The table of profile fields, and whom the directory of people may name."""

from typing import Any

import msgspec

from paraph.server.storage import Transaction, load_sql

sql = load_sql("paraph.server.messenger.profiles")

_END = "\U0010ffff"


class _Entry(msgspec.Struct):
    content: dict[str, Any] = msgspec.field(default_factory=dict)


_entry = msgspec.json.Decoder(_Entry)


def fields(tx: Transaction, user_id: str) -> dict[str, msgspec.Raw]:
    """A person's fields as JSON, by name."""
    return {row[0]: msgspec.Raw(row[1].encode()) for row in tx.rows(sql.fields, {"user_id": user_id})}


def put_field(tx: Transaction, user_id: str, name: str, value: bytes) -> None:
    """Keep a field."""
    tx.run(sql.put_field, {"user_id": user_id, "name": name, "value": value.decode()})


def drop_field(tx: Transaction, user_id: str, name: str) -> None:
    """Forget a field, if there is one."""
    tx.run(sql.drop_field, {"user_id": user_id, "name": name})


def forget(tx: Transaction, user_id: str) -> None:
    """Forget all that a person said of herself."""
    tx.run(sql.forget_fields, {"user_id": user_id})
    tx.run(sql.forget_profile, {"user_id": user_id})


def named(tx: Transaction, term: str, limit: int) -> list[str]:
    """People whose display name begins with `term`, whatever its case."""
    low = term.casefold()
    return [row[0] for row in tx.rows(sql.named, {"low": low, "high": low + _END, "limit": limit})]


def called(tx: Transaction, term: str, limit: int) -> list[str]:
    """Whoever was ever in a room and has a user id that begins with `term`, with or without its @."""
    low = "@" + term.lower().removeprefix("@")
    return [row[0] for row in tx.rows(sql.called, {"low": low, "high": low + _END, "limit": limit})]


def mutual_rooms(tx: Transaction, user_id: str, other: str, after: str, limit: int) -> tuple[list[str], int]:
    """Rooms that both are joined to, by id from after one on; and how many there are in all."""
    who = {"user_id": user_id, "other": other}
    rows = tx.rows(sql.mutual_rooms, who | {"after": after, "limit": limit})
    counted = tx.row(sql.count_mutual_rooms, who)
    return [row[0] for row in rows], 0 if counted is None else int(counted[0])


def is_in_the_open(tx: Transaction, user_id: str, rooms: int) -> bool:
    """Whether one of the first `rooms` rooms of a person can be joined, or read, by anybody."""
    for rules, seen in tx.rows(sql.entries_to, {"user_id": user_id, "limit": rooms}):
        if _content(rules).get("join_rule") == "public" or _content(seen).get("history_visibility") == "world_readable":
            return True
    return False


def _content(event: bytes | None) -> dict[str, Any]:
    return {} if event is None else _entry.decode(event).content
