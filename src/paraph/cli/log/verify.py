"""`paraph log verify`: replay a published log without believing anybody."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from paraph.audit.errors import LogError
from paraph.audit.replay import ReplayReport, replay
from paraph.cli.admin import AsJson
from paraph.cli.log.progress import leaf_progress
from paraph.cli.log.source import source_of
from paraph.cli.output import emit_json, fail, out
from paraph.tlog.errors import TlogError


def verify(
    log: Annotated[str, typer.Argument(help="The log's folder (DATA/log) or its URL (https://…/log).")],
    vkey: Annotated[str, typer.Option("--key", help="The log's public key, as you were given it.")],
    older: Annotated[
        Path | None, typer.Option(help="A checkpoint kept from before: the log must begin with it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Replay a whole log against its key: every entry, every tile, every epoch, the signed root.

    Exit status 0: the log holds together. 1: it does not, and the first wrong file or leaf is named.

    Example: paraph log verify ./data/log --key "localhost/log+0a1b2c3d+AX…"
    """
    fetch, listing = source_of(log)
    try:
        kept = older.read_bytes() if older else None
        with leaf_progress("verifying", hidden=as_json) as told:
            report = replay(fetch, vkey, older=kept, listing=listing, progress=told)
    except (LogError, TlogError, OSError) as error:
        _refuse(error, as_json=as_json)
    _tell(report, as_json=as_json)


def _refuse(error: Exception, *, as_json: bool) -> None:
    message = error.diagnostics() if isinstance(error, LogError) else str(error)
    if as_json:
        emit_json({"verified": False, "kind": type(error).__name__, "error": message})
        raise typer.Exit(1)
    fail(f"[bold]NOT VERIFIED[/]: {message}")


def _tell(report: ReplayReport, *, as_json: bool) -> None:
    if as_json:
        emit_json(summary(report))
        return
    closed = datetime.fromtimestamp(report.last_epoch.time / 1000, UTC)
    out.print(f"[bold green]verified[/] {report.checkpoint.origin}: {report.checkpoint.size} records and epochs")
    for kind, count in sorted(report.kinds.items()):
        out.print(f"  {count:>8}  {kind}")
    out.print(f"  newest epoch {report.last_epoch.n}, closed {closed:%Y-%m-%d %H:%M:%S} UTC")
    if report.older is not None:
        out.print(f"  begins with the checkpoint of size {report.older.size} that you kept")
    for path in report.unchecked:
        out.print(f"  [yellow]not covered by this checkpoint:[/] {path}")


def summary(report: ReplayReport) -> dict[str, Any]:
    """What a replay found, as JSON-able values."""
    return {
        "verified": True,
        "origin": report.checkpoint.origin,
        "size": report.checkpoint.size,
        "root": report.checkpoint.root.hex(),
        "kinds": dict(report.kinds),
        "epoch": {"n": report.last_epoch.n, "time": report.last_epoch.time},
        "files_compared": report.compared,
        "begins_with": report.older.size if report.older else None,
        "not_covered": list(report.unchecked),
    }
