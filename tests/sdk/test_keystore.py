"""The key store: sealed, atomic, one owner, and nothing of it in clear."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from paraph.sdk.errors import StoreBusyError, StoreDamagedError, WrongKeyError
from paraph.sdk.keystore import MemoryStore, Records, SqliteStore

KEY = bytes(range(32))


def test_values_come_back(tmp_path: Path) -> None:
    """What a step committed is there when the store is opened again with the same key."""
    store = SqliteStore.open(tmp_path / "keys", key=KEY)
    store.commit({("a", "1"): b"one", ("a", "2"): b"two", ("b", "1"): b"other"})
    store.commit({("a", "2"): None})
    store.close()
    again = SqliteStore.open(tmp_path / "keys", key=KEY)
    assert again.get("a", "1") == b"one"
    assert again.get("a", "2") is None
    assert again.names("a", "") == ["1"]
    assert again.names("a", "x") == []


def test_wrong_key_is_named(tmp_path: Path) -> None:
    """Another key is refused as such, not as damage."""
    SqliteStore.open(tmp_path / "keys", key=KEY).close()
    with pytest.raises(WrongKeyError):
        SqliteStore.open(tmp_path / "keys", key=bytes(32))
    with pytest.raises(WrongKeyError):
        SqliteStore.open(tmp_path / "keys", passphrase="secret")


def test_passphrase(tmp_path: Path) -> None:
    """A passphrase opens the store it made, another one does not."""
    SqliteStore.open(tmp_path / "keys", passphrase="right").close()
    SqliteStore.open(tmp_path / "keys", passphrase="right").close()
    with pytest.raises(WrongKeyError):
        SqliteStore.open(tmp_path / "keys", passphrase="wrong")


def test_one_owner(tmp_path: Path) -> None:
    """A second opener is refused while the first has the store."""
    store = SqliteStore.open(tmp_path / "keys", key=KEY)
    with pytest.raises(StoreBusyError):
        SqliteStore.open(tmp_path / "keys", key=KEY)
    store.close()
    SqliteStore.open(tmp_path / "keys", key=KEY).close()


def test_nothing_in_clear_and_only_for_the_owner(tmp_path: Path) -> None:
    """No file of the store holds a value in clear, and others may not read it."""
    store = SqliteStore.open(tmp_path / "keys", key=KEY)
    store.commit({("a", "1"): b"a very secret ratchet"})
    data = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    store.close()
    assert b"very secret" not in data
    assert (tmp_path / "keys").stat().st_mode & 0o077 == 0


def test_swapped_and_changed_records_are_refused(tmp_path: Path) -> None:
    """A value moved to another name, or changed by one bit, does not open."""
    store = SqliteStore.open(tmp_path / "keys", key=KEY)
    store.commit({("a", "1"): b"one", ("a", "2"): b"two"})
    store.close()
    db = sqlite3.connect(tmp_path / "keys")
    (value,) = db.execute("SELECT value FROM records WHERE tab = 'a' AND name = '1'").fetchone()
    db.execute("UPDATE records SET value = ? WHERE tab = 'a' AND name = '2'", (value,))
    db.execute("UPDATE records SET value = ? WHERE tab = 'a' AND name = '1'", (bytes([value[0] ^ 1]) + value[1:],))
    db.commit()
    db.close()
    store = SqliteStore.open(tmp_path / "keys", key=KEY)
    for name in "12":
        with pytest.raises(StoreDamagedError):
            store.get("a", name)


def test_foreign_file_is_refused(tmp_path: Path) -> None:
    """A file that is no database is not taken for a store."""
    (tmp_path / "keys").write_bytes(b"something else entirely, long enough to be looked at" * 40)
    with pytest.raises(StoreDamagedError):
        SqliteStore.open(tmp_path / "keys", key=KEY)


def test_step_writes_changes_only_and_all_or_nothing() -> None:
    """A step writes exactly what changed; one that raises writes nothing and forgets what it built."""
    store = MemoryStore()
    written: list[set[tuple[str, str]]] = []
    commit = store.commit
    store.commit = lambda changes: (written.append(set(changes)), commit(changes))[1]  # type: ignore[method-assign]
    records = Records(store)
    with records.step():
        records.put("a", "1", [1])
        records.put("a", "2", [2])
    with records.step():
        records.put("a", "1", [1])
        records.put("a", "2", [3])
    assert written == [{("a", "1"), ("a", "2")}, {("a", "2")}]
    records.live["a", "1"] = object()
    with pytest.raises(ValueError, match="delete"), records.step():
        _put(records, [9], None)
    assert records.get("a", "1", list[int]) == [1]
    assert not records.live


def _put(records: Records, *values: object) -> None:
    for value in values:
        records.put("a", "1", value)


WRITER = """
import sys
from pathlib import Path
from paraph.sdk.keystore import Records, SqliteStore
records = Records(SqliteStore.open(Path(sys.argv[1]), key=bytes(range(32))))
number = records.get("n", "a", int) or 0
while True:
    number += 1
    with records.step():
        records.put("n", "a", number)
        records.put("n", "b", number)
    print(number, flush=True)
"""


@pytest.mark.slow
def test_kill_loses_nothing_and_tears_nothing(tmp_path: Path) -> None:
    """After kill -9 in the middle of steps, every acknowledged step is there and no step is there by half."""
    acknowledged = 0
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "keys")], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        for _ in range(20):
            acknowledged = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        rest = process.stdout.read().split()
        process.wait()
        process.stdout.close()
        acknowledged = int(rest[-1]) if rest else acknowledged
        records = Records(SqliteStore.open(tmp_path / "keys", key=KEY))
        number = records.get("n", "a", int)
        assert number == records.get("n", "b", int)
        assert number is not None
        assert number - acknowledged in (0, 1)
        records.close()
