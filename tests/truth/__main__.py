"""`python -m tests.truth`: play the table and print what the keys opened. `--design`: print what they should,."""

import asyncio
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.truth.model import times
from tests.truth.play import Row, play
from tests.truth.table import LEGEND, cells, grouped, markdown

out = Console()


def main() -> int:
    """Play and print; 1 if a key opens what it should not, or does not what it should."""
    if sys.argv[1:] == ["--design"]:
        sys.stdout.write(f"{markdown()}\n")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(play(Path(folder) / "data"))
    for change in dict.fromkeys(row.change for row in found):
        _print(change, [row for row in found if row.change == change])
    out.print(LEGEND, markup=False)
    wrong = [row for row in found if row.found != row.expected]
    out.print(f"{len(found)} rows, {sum(len(row.said) for row in found)} cells, {len(wrong)} rows not as designed")
    return 1 if wrong else 0


def _print(change: str, rows: list[Row]) -> None:
    made = [cells(change, row.said, row.found) for row in rows]
    columns = grouped(made)
    table = Table("verb", *(name for name, _ in columns), "as designed", title=f"{change}: {' → '.join(times(change))}")
    for row, found in zip(rows, made, strict=True):
        table.add_row(row.verb, *(found[at] for _, at in columns), "yes" if row.found == row.expected else "NO")
    out.print(table)


if __name__ == "__main__":
    sys.exit(main())
