"""`paraph log history`: everything that was recorded about a person, proven to be all, from her own key store."""

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.markup import escape

from paraph.audit.history_report import HistoryReport, counted, moment
from paraph.audit.history_words import event, verdicts
from paraph.audit.verdict import Outcome
from paraph.cli.admin import AsJson
from paraph.cli.output import emit_json, fail, out

if TYPE_CHECKING:
    from paraph.sdk import SqliteStore
    from paraph.sdk.person.history import History

PASSPHRASE = "PARAPH_PASSPHRASE"  # noqa: S105 -- the variable's name


def history(
    store: Annotated[Path, typer.Option(help="The key store of one of your devices; nothing else may have it open.")],
    out_file: Annotated[Path | None, typer.Option("--out", help="Write the evidence file here.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show every record that concerns you, proven to be all there is, and what each partner could and did open.

    The store's passphrase is read from PARAPH_PASSPHRASE, or asked for. Exit status 0: complete. 1: something does not
    fit, and it is named.

    Example: paraph log history --store author.store --out author.evidence
    """
    if not store.is_file():
        fail(f"there is no key store {store}")
    found, fork = _collect(store, _passphrase())
    if found is None:
        _tell_fork(fork or b"", out_file)
    if out_file is not None:
        _write(out_file, found.evidence())
    if as_json:
        emit_json(_plain(found))
    else:
        _tell(found, out_file)
    if not found.complete:
        raise typer.Exit(1)


def _passphrase() -> str:
    given = os.environ.get(PASSPHRASE)
    return typer.prompt("Passphrase", hide_input=True, err=True) if given is None else given


def _collect(store: Path, passphrase: str) -> tuple["History | None", bytes | None]:
    from paraph.sdk import SdkError, SqliteStore  # the other commands of `paraph log` need none of it

    try:
        return asyncio.run(_ask(SqliteStore.open(store, passphrase=passphrase)))
    except SdkError as error:
        fail(f"no history: {error}")


async def _ask(store: "SqliteStore") -> tuple["History | None", bytes | None]:
    """The history; or, from a log that has shown two of them, the evidence of that."""
    from paraph.sdk import ForkDetectedError, Person

    person = await Person.open(store)
    try:
        return await person.history(), None
    except ForkDetectedError:
        return None, await person.fork()
    finally:
        await person.close()


def _tell_fork(evidence: bytes, out_file: Path | None) -> NoReturn:
    kept = "name a file with --out to get the evidence"
    if out_file is not None:
        _write(out_file, evidence)
        kept = f"the evidence is in {out_file}: publish it"
    fail(f"the log has signed two histories that exclude each other, so it proves nothing; {kept}")


def _write(file: Path, data: bytes) -> None:
    """Write the evidence, readable by its owner alone: it tells whom a person lets read what."""
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as opened:
            opened.write(data)
    except OSError as error:
        fail(f"{file} cannot be written: {error}")


def _plain(found: "History") -> dict[str, Any]:
    records = [{"ts": one.ts, "kind": one.kind, "partner": one.partner, "text": event(one)} for one in found.records]
    pending = [{"ts": one.ts, "kind": one.kind, "partner": one.partner, "text": event(one)} for one in found.pending]
    return {**found.report.rendered, "events": records, "pending": pending}


def _tell(found: "History", out_file: Path | None) -> None:
    report = found.report
    late = {one.record: one for one in report.late}
    for number, one in enumerate(found.records, start=1):
        came = f" [yellow](came into the log at {moment(late[number].integrated)})[/]" if number in late else ""
        out.print(f"{moment(one.ts)}  {escape(event(one))}{came}")
    for one in found.pending:
        out.print(f"{moment(one.ts)}  {escape(event(one))} [dim](not in the log yet)[/]")
    for partner in report.partners:
        out.print(f"\n[bold]{escape(partner.partner)}[/]")
        for name, text in verdicts(partner, report):
            out.print(f"  {name:<11}{escape(text)}")
    _conclude(report)
    if out_file is not None:
        out.print(
            f"evidence written to {escape(str(out_file))}; paraph log check {escape(str(out_file))} --policy POLICY"
        )


def _conclude(report: HistoryReport) -> None:
    colour = "bold green" if report.outcome is Outcome.COMPLETE else "bold red"
    out.print(f"\n[{colour}]{report.outcome}[/] {escape(report.summary)}")
    for problem in report.problems:
        out.print(f"  [red]{escape(problem.text)}[/]")
    tree = report.tree
    by = ", ".join(sorted(tree.cosigned.times))
    out.print(f"held against the log of size {tree.size}, epoch of {moment(tree.epoch.time)}, cosigned by {escape(by)}")
    if report.map_audited:
        out.print("a map auditor is in the quorum: that the map leaves no record out was checked before it was signed")
    else:
        out.print("[yellow]no map auditor is in the quorum:[/] only a replay shows whether the map leaves one out")
    if report.late:
        out.print(f"[yellow]{counted(len(report.late), 'record')} came into the log later than promised[/]")
