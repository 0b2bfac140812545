"""A bar for whatever walks over the leaves of a log."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from paraph.cli.output import err


@contextmanager
def leaf_progress(what: str, *, hidden: bool) -> Iterator[Callable[[int, int], None]]:
    """Show a bar while the block runs, on a terminal; gives what is to be told how many leaves of how many are done."""
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=hidden or not err.is_terminal) as bar:
        task = bar.add_task("leaves", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
