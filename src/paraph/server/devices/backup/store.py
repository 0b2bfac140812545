"""The tables of key backups."""

from collections.abc import Iterable

import msgspec

from paraph.server.devices.backup.model import BackedUpKey, Place, Version
from paraph.server.storage import Row, Transaction, load_sql

sql = load_sql("paraph.server.devices.backup")

Found = tuple[str, str, BackedUpKey]
"""Room id, session id, key."""


def _version(row: Row | None) -> Version | None:
    if row is None:
        return None
    version, algorithm, auth_data, keys, changes, size = row
    return Version(version, algorithm, msgspec.Raw(auth_data.encode()), keys, changes, size)


def add_version(tx: Transaction, user_id: str, algorithm: str, auth_data: bytes) -> int:
    """Begin a backup; returns its number, which no backup of this person has had."""
    row = tx.row(sql.newest_number, {"user_id": user_id})
    version = 1 if row is None else int(row[0]) + 1
    described = {"algorithm": algorithm, "auth_data": auth_data.decode()}
    tx.run(sql.add_version, {"user_id": user_id, "version": version} | described)
    return version


def count_versions(tx: Transaction, user_id: str) -> int:
    """How many backups a person has."""
    row = tx.row(sql.count_versions, {"user_id": user_id})
    return 0 if row is None else int(row[0])


def current(tx: Transaction, user_id: str) -> Version | None:
    """A person's newest backup, or None."""
    return _version(tx.row(sql.current, {"user_id": user_id}))


def version(tx: Transaction, user_id: str, number: int) -> Version | None:
    """One of a person's backups, or None."""
    return _version(tx.row(sql.version, {"user_id": user_id, "version": number}))


def was_version(tx: Transaction, user_id: str, number: int) -> bool:
    """Whether there ever was this backup."""
    return tx.row(sql.was_version, {"user_id": user_id, "version": number}) is not None


def set_auth_data(tx: Transaction, user_id: str, number: int, auth_data: bytes) -> None:
    """Keep other `auth_data`."""
    tx.run(sql.set_auth_data, {"user_id": user_id, "version": number, "auth_data": auth_data.decode()})


def delete_version(tx: Transaction, user_id: str, number: int) -> None:
    """Forget a backup and all its keys; its number stays taken."""
    which = {"user_id": user_id, "version": number}
    tx.run(sql.drop_all, which)
    tx.run(sql.delete_version, which)


def count_changes(tx: Transaction, user_id: str, number: int, keys: int, size: int) -> None:
    """The keys changed: there are `keys` more than before, and their ciphertext is `size` characters longer."""
    tx.run(sql.count_changes, {"user_id": user_id, "version": number, "keys": keys, "size": size})


def _at(user_id: str, number: int, place: Place) -> tuple[int, dict[str, str | int]]:
    """Of three statements the one for a place (0: all keys, 1: a room's, 2: one), and its parameters."""
    which: dict[str, str | int] = {"user_id": user_id, "version": number}
    if place.room_id is None:
        return 0, which
    if place.session_id is None:
        return 1, which | {"room_id": place.room_id}
    return 2, which | {"room_id": place.room_id, "session_id": place.session_id}


def keys(tx: Transaction, user_id: str, number: int, place: Place) -> list[Found]:
    """The keys of a place, in order."""
    which, params = _at(user_id, number, place)
    return [_key(row) for row in tx.rows((sql.keys_of_version, sql.keys_of_room, sql.key)[which], params)]


def _key(row: Row) -> Found:
    room_id, session_id, index, forwarded, verified, data = row
    return room_id, session_id, BackedUpKey(index, forwarded, bool(verified), msgspec.Raw(data.encode()))


def put_keys(tx: Transaction, user_id: str, number: int, found: Iterable[Found]) -> None:
    """Keep keys, in place of those of the same names."""
    tx.run_many(
        sql.put_key,
        [
            {
                "user_id": user_id,
                "version": number,
                "room_id": room_id,
                "session_id": session_id,
                "first_message_index": key.first_message_index,
                "forwarded_count": key.forwarded_count,
                "is_verified": int(key.is_verified),
                "session_data": msgspec.json.encode(key.session_data).decode(),
            }
            for room_id, session_id, key in found
        ],
    )


def drop_keys(tx: Transaction, user_id: str, number: int, place: Place) -> tuple[int, int]:
    """Forget the keys of a place; how many there were, and how long their ciphertext was."""
    which, params = _at(user_id, number, place)
    row = tx.row((sql.extent_of_version, sql.extent_of_room, sql.extent_of_key)[which], params)
    tx.run((sql.drop_all, sql.drop_room, sql.drop_key)[which], params)
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


def forget(tx: Transaction, user_id: str) -> None:
    """Forget all backups of a person."""
    tx.run(sql.forget_keys, {"user_id": user_id})
    tx.run(sql.forget_versions, {"user_id": user_id})
