"""`paraph log fsck`: everything that can be checked of a data folder by whoever runs the server."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from paraph.cli.admin import AsJson, Data
from paraph.cli.output import emit_json, err, fail, out

if TYPE_CHECKING:
    from paraph.server.ledger.fsck import Finding

Told = Callable[[str, int, int | None], None]


def fsck(
    data: Data,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Drop leftovers: files never renamed, replaced partial tiles. Nothing else."),
    ] = False,
    config: Annotated[Path | None, typer.Option(help="Settings file [default: paraph.toml if there].")] = None,
    as_json: AsJson = False,
) -> None:
    """Check a server's data folder: log, keys, signed head, database, openings, map.

    Reads safely beside a running server, whose newest batch it then leaves out; --repair needs the server stopped.

    Exit status 0: nothing is wrong. 1: something is, and the check that found it says what. 2: it could not be checked.

    Example: paraph log fsck --data ./data
    """
    from paraph.server.config import SettingsError, load

    try:
        settings = load(config, data=data)
    except SettingsError as error:
        fail(str(error), status=2)
    if not (data / "checkpoints.db").is_file():
        fail(f"{data} is no data folder: it has no checkpoints.db", status=2)
    with _bar(hidden=as_json) as told:
        findings, alone = examine(data, settings.database, repair=repair, told=told)
    tell(findings, alone=alone, as_json=as_json)
    if any(finding.outcome == "wrong" for finding in findings):
        raise typer.Exit(1)


def examine(
    data: Path, database: str, *, repair: bool = False, told: Told | None = None
) -> "tuple[list[Finding], bool]":
    """All findings, and whether no server wrote the log meanwhile; ends the command where nothing can be checked."""
    from paraph.server.ledger.fsck import Fsck, quiet

    with quiet(data) as alone:
        if repair and not alone:
            fail("a server writes this log now; stop it before --repair", status=2)
        made = Fsck(data, alone=alone, repair=repair, progress=told or (lambda *_: None))
        asyncio.run(_read(data, database, made.run))
        return made.findings, alone


async def _read(data: Path, database: str, run: Callable[[Any], None]) -> None:
    from paraph.server.app import reading_database
    from paraph.server.storage import StorageError

    try:
        opened = reading_database(data, database)
    except (StorageError, OSError) as error:
        fail(str(error), status=2)
    try:
        await opened.read(run)
    finally:
        await opened.close()


@contextmanager
def _bar(*, hidden: bool) -> Iterator[Told]:
    columns = (TextColumn("{task.description:>12}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=hidden or not err.is_terminal) as bar:
        task = bar.add_task("log", total=None)
        yield lambda check, done, total: bar.update(task, description=check, completed=done, total=total)


def tell(findings: "list[Finding]", *, alone: bool, as_json: bool) -> None:
    """Each check by name, and a last line."""
    wrong = sum(finding.outcome == "wrong" for finding in findings)
    if as_json:
        rows = [{"check": one.check, "outcome": str(one.outcome), "found": one.found} for one in findings]
        emit_json({"good": not wrong, "beside_a_server": not alone, "checks": rows})
        return
    colors = {"ok": "green", "wrong": "bold red", "skipped": "yellow"}
    for finding in findings:
        out.print(f"[{colors[finding.outcome]}]{finding.outcome:>8}[/]  {finding.check:<13} ", end="")
        out.print(finding.found, markup=False)
    beside = "" if alone else ", beside a running server"
    out.print(f"[bold red]{wrong} checks failed[/]{beside}" if wrong else f"[bold green]nothing is wrong[/]{beside}")
