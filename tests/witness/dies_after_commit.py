"""`paraph witness serve`, except that the process is killed between the commit of a step and its answer."""

import os
import signal
import sys
from collections.abc import Callable

from paraph.cli.main import app
from paraph.witness.store import Cosigned, WitnessStore

_advance = WitnessStore.advance


def advance(self: WitnessStore, origin: str, decide: Callable[[Cosigned | None], Cosigned]) -> Cosigned:
    """Persist, and die."""
    _advance(self, origin, decide)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("still alive")


if __name__ == "__main__":
    WitnessStore.advance = advance  # type: ignore[method-assign]
    app(sys.argv[1:])
