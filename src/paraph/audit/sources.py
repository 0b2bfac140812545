"""Where a log's files come from: anything that gives the bytes of a path below the log's prefix."""

from collections.abc import Callable, Iterator
from pathlib import Path

Fetch = Callable[[str], bytes]
"""Gives the bytes of a path such as `checkpoint` or `tile/0/000`; raises FileNotFoundError if there is no such file."""


class DirectorySource:
    """A log's files in a directory, as they are published; usable as a Fetch."""

    def __init__(self, root: Path) -> None:
        """Read below `root`, which holds `checkpoint` and `tile/`."""
        self._root = root

    def __call__(self, path: str) -> bytes:
        """Bytes of one file. Raises FileNotFoundError, also where a directory stands in a file's place."""
        try:
            return (self._root / path).read_bytes()
        except (IsADirectoryError, NotADirectoryError) as error:
            raise FileNotFoundError(path) from error

    def paths(self) -> Iterator[str]:
        """Every file that is there, so that a replay can check those that the signed tree no longer needs."""
        for file in sorted(self._root.rglob("*")):
            if file.is_file():
                yield file.relative_to(self._root).as_posix()


def directory_source(path: str | Path) -> DirectorySource:
    """A source that reads a log's published files from a directory."""
    return DirectorySource(Path(path))
