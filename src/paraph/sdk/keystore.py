"""Where a device keeps its keys: sealed records on disk, or in memory, behind one interface.

A step of the engine changes records; `Records.commit` writes exactly the changed ones in one transaction, before any
request that depends on them leaves the device. The file is SQLite (WAL, `synchronous=FULL`); each value is sealed with
ChaCha20-Poly1305 (RFC 8439) under a random nonce, with the record's table and name as associated data, so that values
cannot be swapped. Names and sizes are readable to whoever holds the file, values are not; an old copy of the whole
file is not detected.
"""

import hmac
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import msgspec
from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from paraph.sdk.errors import StoreBusyError, StoreDamagedError, StoreError, WrongKeyError

KEY_BYTES = 32
NONCE_BYTES = 12
# OWASP's second argon2id profile, as the platform uses for passwords (memory in KiB).
ARGON2 = {"time_cost": 2, "memory_cost": 19456, "parallelism": 1}
FORMAT = 1
CACHE_RECORDS = 50_000
_CHECK = b"paraph key store"

Name = tuple[str, str]
Changes = Mapping[Name, bytes | None]
T = TypeVar("T")


class Store(Protocol):
    """Bytes by table and name. `pickle_key` (32 bytes) is for libraries that seal their own state again."""

    pickle_key: bytes

    def get(self, table: str, name: str) -> bytes | None:
        """The value, or None."""

    def names(self, table: str, prefix: str) -> list[str]:
        """The names in `table` that start with `prefix`, in order."""

    def commit(self, changes: Changes) -> None:
        """Apply all changes durably, or none; a None value deletes."""

    def close(self) -> None:
        """Release the store."""


class MemoryStore:
    """A store that lives as long as the object: for tests and for devices that are thrown away."""

    def __init__(self) -> None:
        self.pickle_key = os.urandom(KEY_BYTES)
        self._values: dict[Name, bytes] = {}

    def get(self, table: str, name: str) -> bytes | None:
        """The value, or None."""
        return self._values.get((table, name))

    def names(self, table: str, prefix: str) -> list[str]:
        """The names in `table` that start with `prefix`, in order."""
        return sorted(n for t, n in self._values if t == table and n.startswith(prefix))

    def commit(self, changes: Changes) -> None:
        """Apply all changes; a None value deletes."""
        for name, value in changes.items():
            if value is None:
                self._values.pop(name, None)
            else:
                self._values[name] = value

    def close(self) -> None:
        """Nothing to release."""


class SqliteStore:
    """The store on disk. Open it with `SqliteStore.open`; one process at a time."""

    def __init__(self, db: sqlite3.Connection, key: bytes) -> None:
        self._db = db
        self._cipher = ChaCha20Poly1305(_derive(key, "seal"))
        self.pickle_key = _derive(key, "pickle")

    @classmethod
    def open(cls, path: Path, *, key: bytes | None = None, passphrase: str | None = None) -> "SqliteStore":
        """Open or create the store at `path` with a 32-byte key, or with a passphrase (argon2id).

        Raises WrongKeyError, StoreBusyError, or StoreDamagedError when the file is no store of ours.
        """
        if (key is None) == (passphrase is None):
            raise ValueError("give either a key or a passphrase")
        db = _connect(path)
        try:
            header = _header(db, by_passphrase=passphrase is not None)
            store = cls(db, key if key is not None else _stretch(passphrase or "", header))
            store._check_key()
        except BaseException:
            db.close()
            raise
        return store

    def get(self, table: str, name: str) -> bytes | None:
        """The value, or None. Raises StoreDamagedError."""
        row = self._db.execute("SELECT value FROM records WHERE tab = ? AND name = ?", (table, name)).fetchone()
        return None if row is None else self._open(table, name, row[0])

    def names(self, table: str, prefix: str) -> list[str]:
        """The names in `table` that start with `prefix`, in order."""
        query = "SELECT name FROM records WHERE tab = ? AND name >= ? AND substr(name, 1, ?) = ? ORDER BY name"
        return [row[0] for row in self._db.execute(query, (table, prefix, len(prefix), prefix))]

    def commit(self, changes: Changes) -> None:
        """Apply all changes in one durable transaction; a None value deletes."""
        if not changes:
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for (table, name), value in changes.items():
                self._write(table, name, value)
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def _write(self, table: str, name: str, value: bytes | None) -> None:
        if value is None:
            self._db.execute("DELETE FROM records WHERE tab = ? AND name = ?", (table, name))
            return
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, value, _associated(table, name))
        self._db.execute("INSERT OR REPLACE INTO records VALUES (?, ?, ?)", (table, name, sealed))

    def _open(self, table: str, name: str, sealed: bytes) -> bytes:
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _associated(table, name))
        except (InvalidTag, ValueError) as error:
            raise StoreDamagedError(f"record {table}/{name} does not open under its own name") from error

    def _check_key(self) -> None:
        """A sealed constant tells a wrong key from a damaged record."""
        try:
            known = self.get("store", "check")
        except StoreDamagedError as error:
            raise WrongKeyError("this key does not open the key store") from error
        if known is None:
            self.commit({("store", "check"): _CHECK})
        elif known != _CHECK:
            raise StoreDamagedError("the key store's check record has foreign content")


class Records:
    """The unit of work over a store: typed reads through a cache, writes collected until `commit`.

    Values are msgspec structs or JSON values and are treated as immutable. `live` holds objects built from records
    (ratchets), and is emptied by `rollback` so that memory never runs ahead of the disk.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cache: dict[Name, Any] = {}
        self._changes: dict[Name, bytes | None] = {}
        self.live: dict[Name, Any] = {}
        self.pickle_key = store.pickle_key

    def get(self, table: str, name: str, kind: type[T]) -> T | None:
        """The record as `kind`, or None."""
        if (table, name) in self._cache:
            return cast("T | None", self._cache[table, name])
        data = self._store.get(table, name)
        value = None if data is None else msgspec.json.decode(data, type=kind)
        self._cache[table, name] = value
        return value

    def put(self, table: str, name: str, value: Any) -> None:
        """Set the record; an equal value is no change."""
        if value is None:
            raise ValueError("use delete")
        if self._cache.get((table, name)) == value:
            return
        self._cache[table, name] = value
        self._changes[table, name] = msgspec.json.encode(value)

    def delete(self, table: str, name: str) -> None:
        """Remove the record, if there."""
        self._cache[table, name] = None
        self._changes[table, name] = None
        self.live.pop((table, name), None)

    def names(self, table: str, prefix: str = "") -> list[str]:
        """The names of a table in order, changes of this step included; nothing is read."""
        found = set(self._store.names(table, prefix))
        for (where, name), value in self._changes.items():
            if where == table and name.startswith(prefix):
                (found.discard if value is None else found.add)(name)
        return sorted(found)

    def items(self, table: str, kind: type[T], prefix: str = "") -> list[tuple[str, T]]:
        """All records of a table by name, changes of this step included."""
        names = set(self._store.names(table, prefix))
        names |= {n for t, n in self._changes if t == table and n.startswith(prefix)}
        found = ((name, self.get(table, name, kind)) for name in sorted(names))
        return [(name, value) for name, value in found if value is not None]

    @property
    def dirty(self) -> bool:
        """Whether this step has changes that are not written yet."""
        return bool(self._changes)

    def commit(self) -> None:
        """Write the changes of this step durably, in one transaction."""
        self._store.commit(self._changes)
        self._changes = {}
        if len(self._cache) > CACHE_RECORDS:
            self._cache.clear()
            self.live.clear()

    def rollback(self) -> None:
        """Forget the changes of this step, and every object built from records."""
        self._changes = {}
        self._cache.clear()
        self.live.clear()

    @contextmanager
    def step(self) -> Iterator[None]:
        """Commit what the block did, or nothing of it when it raises. The block must not await."""
        try:
            yield
            self.commit()
        except BaseException:
            self.rollback()
            raise

    def close(self) -> None:
        """Release the store."""
        self._store.close()


def _derive(key: bytes, purpose: str) -> bytes:
    if len(key) != KEY_BYTES:
        raise ValueError(f"a store key is {KEY_BYTES} bytes, not {len(key)}")
    return hmac.digest(key, b"paraph/key-store/v1/" + purpose.encode(), "sha256")


def _associated(table: str, name: str) -> bytes:
    return table.encode() + b"\x00" + name.encode()


def _connect(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    # Steps are serialised by their owner; the owner may live on another thread than the opener.
    db = sqlite3.connect(path, isolation_level=None, timeout=0.2, check_same_thread=False)
    try:
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("BEGIN IMMEDIATE")
        db.execute("CREATE TABLE IF NOT EXISTS header (data TEXT NOT NULL)")
        db.execute(
            "CREATE TABLE IF NOT EXISTS records"
            " (tab TEXT, name TEXT, value BLOB NOT NULL, PRIMARY KEY (tab, name)) WITHOUT ROWID"
        )
        db.execute("COMMIT")
    except sqlite3.OperationalError as error:
        db.close()
        raise StoreBusyError(f"the key store {path} is in use by another process") from error
    except sqlite3.DatabaseError as error:
        db.close()
        raise StoreDamagedError(f"{path} is not a key store") from error
    return db


def _header(db: sqlite3.Connection, *, by_passphrase: bool) -> dict[str, Any]:
    row = db.execute("SELECT data FROM header").fetchone()
    if row is None:
        header: dict[str, Any] = {"format": FORMAT, "kdf": None}
        if by_passphrase:
            header["kdf"] = {"name": "argon2id", "salt": os.urandom(16).hex(), **ARGON2}
        db.execute("INSERT INTO header VALUES (?)", (json.dumps(header),))
        return header
    header = json.loads(row[0])
    if header.get("format") != FORMAT:
        raise StoreError(f"key store format {header.get('format')!r} is not known to this version")
    if (header["kdf"] is not None) != by_passphrase:
        raise WrongKeyError("this key store opens with a " + ("passphrase" if header["kdf"] else "key"))
    return header


def _stretch(passphrase: str, header: dict[str, Any]) -> bytes:
    kdf = header["kdf"]
    return hash_secret_raw(
        passphrase.encode(),
        bytes.fromhex(kdf["salt"]),
        time_cost=kdf["time_cost"],
        memory_cost=kdf["memory_cost"],
        parallelism=kdf["parallelism"],
        hash_len=KEY_BYTES,
        type=Type.ID,
    )
