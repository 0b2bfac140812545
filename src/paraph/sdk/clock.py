"""The time that a device goes by: the machine's, unless it is given another. A sandbox has one that can be turned."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from paraph.sdk.errors import SdkError

CLOCK = "clock"
AHEAD = "ahead_ms"


def system_time() -> int:
    """Milliseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000_000


def clock_of(needs: Mapping[str, str]) -> Callable[[], int]:
    """The clock for a partner's program: the sandbox's that its `partner.json` names, else the machine's."""
    return sandbox_clock(Path(needs[CLOCK])) if CLOCK in needs else system_time


def sandbox_clock(file: Path) -> Callable[[], int]:
    """The clock that a sandbox turns: as far ahead of the machine's as its file says, at every look.

    It goes on as it was when the file is gone. Raises SdkError where there is none, or another file.
    """
    return _SandboxClock(file)


class _SandboxClock:
    """Looks at the file's time before it reads it again."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read: tuple[int, int] | None = None
        self._ahead = 0
        if not self._look():
            raise SdkError(f"there is no sandbox's clock at {file}")

    def __call__(self) -> int:
        """Milliseconds since 1970-01-01 UTC, as they are in the sandbox."""
        self._look()
        return system_time() + self._ahead

    def _look(self) -> bool:
        try:
            found = self._file.stat()
            if (found.st_ino, found.st_mtime_ns) != self._read:
                self._ahead = ahead(self._file)
                self._read = (found.st_ino, found.st_mtime_ns)
        except FileNotFoundError:
            return False
        return True


def ahead(file: Path) -> int:
    """By how many milliseconds a sandbox's clock is ahead. Raises SdkError, FileNotFoundError."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))[AHEAD]
    except (ValueError, KeyError, TypeError) as error:
        raise SdkError(f"{file} is no sandbox's clock: {error}") from error
    if type(found) is not int or found < 0:
        raise SdkError(f"{file} is no sandbox's clock: {AHEAD} is {found!r}")
    return found
