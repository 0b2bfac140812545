"""The tables of aliases and of listed rooms. Nothing else reads or writes them."""

from typing import NamedTuple

from paraph.server.storage import Transaction, load_sql

_sql = load_sql("paraph.server.messenger.directory")


class Listed(NamedTuple):
    """A row of the public list; `entry` is the JSON that the list shows."""

    members: int
    room_id: str
    kind: str
    folded: str
    entry: bytes


def add_alias(tx: Transaction, alias: str, room_id: str, creator: str) -> bool:
    """Let an alias lead to a room; False if it leads somewhere already."""
    return tx.add(_sql.add_alias, {"alias": alias, "room_id": room_id, "creator": creator})


def find_alias(tx: Transaction, alias: str) -> tuple[str, str] | None:
    """The room that an alias leads to, and who made it."""
    row = tx.row(_sql.alias, {"alias": alias})
    return (row[0], row[1]) if row else None


def aliases_of(tx: Transaction, room_id: str) -> list[str]:
    """A room's aliases, sorted."""
    return [row[0] for row in tx.rows(_sql.aliases_of, {"room_id": room_id})]


def remove_alias(tx: Transaction, alias: str) -> None:
    """Let an alias lead nowhere."""
    tx.run(_sql.remove_alias, {"alias": alias})


def move_aliases(tx: Transaction, room_id: str, new_room_id: str) -> None:
    """Let all of a room's aliases lead to another one."""
    tx.run(_sql.move_aliases, {"room_id": room_id, "new_room_id": new_room_id})


def put_listed(tx: Transaction, row: Listed) -> None:
    """List a room, or renew what the list says of it."""
    tx.run(_sql.put_listed, row._asdict())


def remove_listed(tx: Transaction, room_id: str) -> None:
    """List a room no more."""
    tx.run(_sql.remove_listed, {"room_id": room_id})


def is_listed(tx: Transaction, room_id: str) -> bool:
    """Whether a room is in the list."""
    return tx.row(_sql.listed, {"room_id": room_id}) is not None


def listed(tx: Transaction, members: int, room_id: str, limit: int, *, backwards: bool) -> list[Listed]:
    """Rows that follow this place in the list, the largest room first; or `backwards`, those before it."""
    query = _sql.listed_above if backwards else _sql.listed_below
    rows = tx.rows(query, {"members": members, "room_id": room_id, "limit": limit})
    return [Listed(row[0], row[1], row[2], row[3], bytes(row[4])) for row in rows]


def count_listed(tx: Transaction, limit: int) -> int:
    """How many rooms are listed, counted up to `limit`."""
    row = tx.row(_sql.count_listed, {"limit": limit})
    return int(row[0]) if row else 0
