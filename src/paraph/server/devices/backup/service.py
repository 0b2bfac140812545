"""Backups of message keys. Each belongs to one person; keys go into her newest one only."""

import msgspec

from paraph.server.devices.backup import store
from paraph.server.devices.backup.errors import invalid, not_found, too_large, too_many, wrong_version
from paraph.server.devices.backup.model import BackedUpKey, Configuration, Keys, Place, Version
from paraph.server.storage import Database, Transaction

MAX_VERSIONS = 50
"""Backups of one person, deleted ones not counted."""
MAX_KEYS = 100_000
"""Keys in one backup."""
MAX_SIZE = 64 << 20
"""Characters of ciphertext in one backup: what one answer may have to hold."""
MAX_KEYS_AT_ONCE = 5_000
MAX_AUTH_DATA = 16_384
MAX_SESSION_DATA = 8_192
"""Bytes of one key's ciphertext; one by `m.megolm_backup.v1.curve25519-aes-sha2` has some 700."""
MAX_NAME = 255


class Backups:
    """Use cases of a person with her backups; raises MatrixError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- Backups

    async def create(self, user_id: str, body: Configuration) -> int:
        """Begin an empty backup, which is the current one from now on; returns its number."""
        auth_data = _encoded("auth_data", body.auth_data, MAX_AUTH_DATA)

        def write(tx: Transaction) -> int:
            if store.count_versions(tx, user_id) >= MAX_VERSIONS:
                raise too_many("backups", MAX_VERSIONS)
            return store.add_version(tx, user_id, body.algorithm, auth_data)

        return await self._database.write(write)

    async def version(self, user_id: str, version: str | None = None) -> Version:
        """A backup, or the current one."""
        return await self._database.read(lambda tx: _known(tx, user_id, version))

    async def update(self, user_id: str, version: str, body: Configuration) -> None:
        """Give a backup other `auth_data`; nothing else about it changes."""
        auth_data = _encoded("auth_data", body.auth_data, MAX_AUTH_DATA)
        if body.version is not None and body.version != version:
            raise invalid("expected the version of the path, or none, in the body")

        def write(tx: Transaction) -> None:
            found = _known(tx, user_id, version)
            if body.algorithm != found.algorithm:
                raise invalid(f"the algorithm of this backup is {found.algorithm}, and stays so")
            store.set_auth_data(tx, user_id, found.version, auth_data)

        await self._database.write(write)

    async def delete(self, user_id: str, version: str) -> None:
        """Delete a backup with its keys; one that was deleted before stays deleted."""
        number = _number(version)

        def write(tx: Transaction) -> None:
            if number is None or not store.was_version(tx, user_id, number):
                raise not_found("there is no such backup")
            store.delete_version(tx, user_id, number)

        await self._database.write(write)

    # --- Keys

    async def put(self, user_id: str, version: str, keys: Keys) -> Version:
        """Keep keys where there are none, or worse ones; returns the backup as it is then."""
        offered = _checked(keys)

        def write(tx: Transaction) -> Version:
            current = store.current(tx, user_id)
            if current is None:
                raise not_found("there is no backup")
            if _number(version) != current.version:
                raise wrong_version(current.version)
            better, new, longer = _better(tx, user_id, current.version, offered)
            if not better:
                return current
            if current.keys + new > MAX_KEYS:
                raise too_many("keys", MAX_KEYS)
            if current.size + longer > MAX_SIZE:
                raise too_large("a backup", MAX_SIZE)
            store.put_keys(tx, user_id, current.version, better)
            store.count_changes(tx, user_id, current.version, new, longer)
            return _known(tx, user_id, version)

        return await self._database.write(write)

    async def get(self, user_id: str, version: str, place: Place) -> list[store.Found]:
        """The keys of a place, in order."""

        def read(tx: Transaction) -> list[store.Found]:
            return store.keys(tx, user_id, _known(tx, user_id, version).version, place)

        return await self._database.read(read)

    async def remove(self, user_id: str, version: str, place: Place) -> Version:
        """Forget the keys of a place; returns the backup as it is then."""

        def write(tx: Transaction) -> Version:
            found = _known(tx, user_id, version)
            gone, shorter = store.drop_keys(tx, user_id, found.version, place)
            if gone:
                store.count_changes(tx, user_id, found.version, -gone, -shorter)
            return _known(tx, user_id, version)

        return await self._database.write(write)

    def on_deactivate(self, tx: Transaction, user_id: str) -> None:
        """An account ends: nobody could ask for its backups any more."""
        store.forget(tx, user_id)


def _known(tx: Transaction, user_id: str, version: str | None) -> Version:
    number = None if version is None else _number(version)
    if version is None:
        found = store.current(tx, user_id)
    else:
        found = None if number is None else store.version(tx, user_id, number)
    if found is None:
        raise not_found("there is no such backup" if version is not None else "there is no backup")
    return found


def _number(version: str) -> int | None:
    """The number that a version is; None for a text that is none's."""
    return int(version) if version.isascii() and version.isdigit() and len(version) <= 15 else None


def _checked(keys: Keys) -> list[store.Found]:
    offered = [
        (room_id, session_id, _kept(room_id, session_id, key))
        for room_id, room in keys.rooms.items()
        for session_id, key in room.sessions.items()
    ]
    if len(offered) > MAX_KEYS_AT_ONCE:
        raise invalid(f"expected at most {MAX_KEYS_AT_ONCE} keys in one request: send them in parts")
    return offered


def _kept(room_id: str, session_id: str, key: BackedUpKey) -> BackedUpKey:
    """A key as it is kept, its ciphertext as text."""
    if not 0 < len(room_id) <= MAX_NAME or not 0 < len(session_id) <= MAX_NAME:
        raise invalid(f"room and session ids have 1 to {MAX_NAME} characters")
    data = msgspec.Raw(_encoded("session_data", key.session_data, MAX_SESSION_DATA))
    return BackedUpKey(key.first_message_index, key.forwarded_count, key.is_verified, data)


def _encoded(what: str, value: object, most: int) -> bytes:
    data = msgspec.json.encode(value)
    if len(data) > most:
        raise too_large(what, most)
    return data


def _better(
    tx: Transaction, user_id: str, number: int, offered: list[store.Found]
) -> tuple[list[store.Found], int, int]:
    """Those that replace what is kept or stand where nothing is; how many of these; how much longer all gets."""
    better, new, longer = [], 0, 0
    for room_id, session_id, key in offered:
        kept = store.keys(tx, user_id, number, Place(room_id, session_id))
        if not kept or key.is_better_than(kept[0][2]):
            better.append((room_id, session_id, key))
            new += not kept
            longer += _characters(key) - sum(_characters(known) for _, _, known in kept)
    return better, new, longer


def _characters(key: BackedUpKey) -> int:
    return len(msgspec.json.encode(key.session_data).decode())
