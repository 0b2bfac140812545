"""The sandbox's folder: its own, and begun anew at each start, whatever became of the one before."""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paraph.sdk.clock import AHEAD

LOCK, STATE, CLOCK = "lock", "sandbox.json", "clock.json"
PARTS = ("platform", "witnesses", "people", "partners")
MARK = "this folder belongs to `paraph sandbox`, which clears it at each start\n"


class FolderTaken(Exception):
    """The folder is somebody else's: another sandbox runs on it, or it holds what is not a sandbox's."""


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold the folder, empty but for the lock; the lock goes with the process. Raises FolderTaken."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = folder / LOCK
    if any(folder.iterdir()) and not (lock.is_file() and lock.read_text(errors="replace") == MARK):
        raise FolderTaken(f"{folder} is not empty and no sandbox's: name another --data")
    with lock.open("a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FolderTaken(f"another sandbox runs on {folder}: stop it, or name another --data") from None
        lock.write_text(MARK, encoding="utf-8")
        (folder / STATE).unlink(missing_ok=True)
        for part in PARTS:
            shutil.rmtree(folder / part, ignore_errors=True)
            (folder / part).mkdir(mode=0o700, exist_ok=True)
        write(folder / CLOCK, {AHEAD: 0})
        try:
            yield
        finally:
            (folder / STATE).unlink(missing_ok=True)


def write(path: Path, value: Any) -> None:
    """Write JSON for its owner alone, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f"{path.name}.partial")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2)
        file.write("\n")
    partial.replace(path)
