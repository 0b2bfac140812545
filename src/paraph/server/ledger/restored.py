"""A data folder that came out of a backup signs nothing before it is clear that the original does not go on.

Backup and original may know the same newest tree: then no witness objects to either, and each would sign a next tree of
its own. A log that runs shows its witnesses a new tree at least every heartbeat. So a restored folder has its newest
tree cosigned, keeps quiet for longer than that, and has it cosigned again: had the original gone on meanwhile, the
witnesses would know more by then. Without witnesses only the operator can know.
"""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path

from paraph.server.ledger.errors import StartRefused
from paraph.server.ledger.files import sync_directory, write_secret

MARK = "restored.json"
"""The file that says so, until the log goes on."""
MARGIN = 60.0
"""Seconds beyond the heartbeat that a running log may need to have its newest tree cosigned."""


class Restored:
    """The quiet time of a restored folder; over at once in any other."""

    def __init__(self, data: Path, heartbeat: float, now: Callable[[], float] = time.monotonic) -> None:
        """`heartbeat`: seconds between two epochs of an idle log; `now` gives seconds."""
        self._mark = data / MARK
        self._now = now
        self._quiet = heartbeat + MARGIN
        self._until: float | None = None

    @property
    def pending(self) -> bool:
        """Whether the folder was restored, and the log has not gone on since."""
        return self._mark.exists()

    @property
    def asked(self) -> bool:
        """Whether a quorum has agreed once, and the quiet time runs."""
        return self._until is not None

    @property
    def seconds_left(self) -> int:
        """How long to keep quiet still."""
        return math.ceil(self._quiet if self._until is None else max(0.0, self._until - self._now()))

    def begin(self) -> None:
        """A quorum has agreed: the quiet time runs from now on."""
        self._until = self._now() + self._quiet

    def end(self) -> None:
        """The original did not go on: this folder's log is the log. Durable."""
        self._mark.unlink(missing_ok=True)
        sync_directory(self._mark.parent)

    def refuse_without_witnesses(self) -> None:
        """Raises StartRefused in a restored folder."""
        if self.pending:
            raise StartRefused(
                "this data folder was restored from a backup, and without witnesses nobody can tell whether the log"
                " went on since. If it did, going on here would fork it: restore again with --log and the newest log/"
                f" there is. If nothing newer was ever published and the original never runs again, remove {self._mark}"
            )


def mark_restored(data: Path, source: Path) -> None:
    """Say that a folder came out of a backup, before anything can start on it."""
    write_secret(data / MARK, json.dumps({"from": str(source), "restored": int(time.time() * 1000)}) + "\n")
