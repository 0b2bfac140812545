"""The demo's platform: a real server process, with a look at what it stores."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from paraph.cli import processes
from paraph.cli.demo.attack import Stored
from paraph.cli.processes import SERVE, ServerFailed, free_port

__all__ = ["SERVE", "ServerFailed", "ServerProcess", "free_port"]


class ServerProcess(processes.ServerProcess):
    """`paraph serve`, and all that it has stored."""

    def __init__(
        self,
        data: Path,
        *,
        command: Sequence[str] = SERVE,
        database: str = "sqlite",
        settings: Mapping[str, str] | None = None,
        port: int = 0,
    ) -> None:
        """`port` 0 takes a free one."""
        super().__init__(data, command=command, database=database, settings=settings, port=port)
        self.stored = Stored(data, database)

    def __enter__(self) -> "ServerProcess":
        """Start and wait until it answers."""
        super().__enter__()
        return self
