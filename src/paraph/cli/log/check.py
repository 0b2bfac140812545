"""`paraph log check`: what evidence files show, offline, to whoever pins the log's policy."""

import time
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.markup import escape

from paraph.audit import disclosure, evidence
from paraph.audit.verdict import Outcome, Verdict
from paraph.cli.admin import AsJson
from paraph.cli.log.progress import leaf_progress
from paraph.cli.log.source import source_of
from paraph.cli.output import emit_json, fail, out
from paraph.tlog import note, policy
from paraph.tlog.errors import TlogError
from paraph.tlog.policy import Policy

INCOMPLETE = 3
"""Exit status where nothing is wrong and something is left out."""
_COLOURS = {Outcome.REJECTED: "bold red", Outcome.INCOMPLETE: "bold yellow"}

PolicyFile = Annotated[Path, typer.Option("--policy", help="The log's witness policy, as you were given it.")]
LogPlace = Annotated[str | None, typer.Option("--log", help="The log's folder (DATA/log) or its URL, for disclosures.")]
Key = Annotated[str | None, typer.Option("--key", help="The log's public key, if the policy does not name it.")]


def check(
    files: Annotated[list[Path], typer.Argument(help="Evidence files, any number of them.")],
    policy_file: PolicyFile,
    key: Key = None,
    log: LogPlace = None,
    as_json: AsJson = False,
) -> None:
    """Check evidence offline: one line each with the verdict and, where it does not hold, the reason.

    A disclosure of totals is checked against every leaf of the log, so it needs --log.

    Exit status 0: all is PROVEN or COMPLETE. 1: something is REJECTED. 3: nothing is, but a history is INCOMPLETE.

    Example: paraph log check author.evidence --policy policy.txt
    """
    trusted = read_policy(policy_file, key)
    verdicts = [(file, _verdict(file, trusted, log, hidden=as_json)) for file in files]
    if as_json:
        emit_json([_plain(file, verdict) for file, verdict in verdicts])
    else:
        for file, verdict in verdicts:
            _tell(file, verdict)
    outcomes = {verdict.outcome for _, verdict in verdicts}
    if Outcome.REJECTED in outcomes:
        raise typer.Exit(1)
    if Outcome.INCOMPLETE in outcomes:
        raise typer.Exit(INCOMPLETE)


def read_policy(file: Path, key: str | None) -> Policy:
    """The pinned policy, which names the log or is told of it; ends the command if there is none."""
    try:
        trusted = policy.parse(file.read_bytes())
        if key is not None:
            trusted = trusted.for_log(note.Verifier.from_vkey(key))
    except (OSError, TlogError) as error:
        fail(f"the policy {file} cannot be used: {error}")
    if not trusted.logs:
        fail(f"the policy {file} names no log; name its key with --key")
    return trusted


def _verdict(file: Path, trusted: Policy, log: str | None, *, hidden: bool) -> Verdict:
    try:
        with file.open("rb") as opened:
            if disclosure.is_disclosure(opened.readline(disclosure.MAX_LINE)):
                opened.seek(0)
                return _totals(opened, trusted, log, hidden=hidden)
        data = file.read_bytes()
    except OSError as error:
        return Verdict("evidence", Outcome.REJECTED, f"the file cannot be read: {error}")
    return evidence.check(data, trusted, int(time.time()))


def _totals(lines: BinaryIO, trusted: Policy, log: str | None, *, hidden: bool) -> Verdict:
    """A disclosure beside its log. Raises OSError."""
    if log is None:
        return Verdict(disclosure.KIND, Outcome.REJECTED, "a disclosure is checked beside its log: name it with --log")
    fetch, listing = source_of(log)
    limited = iter(lambda: lines.readline(disclosure.MAX_LINE + 1), b"")
    with leaf_progress("verifying", hidden=hidden) as told:
        return disclosure.check(limited, fetch, trusted, int(time.time()), listing=listing, progress=told)


def _plain(file: Path, verdict: Verdict) -> dict[str, object]:
    return {
        "file": str(file),
        "kind": verdict.kind,
        "outcome": str(verdict.outcome),
        "summary": verdict.summary,
        "details": dict(verdict.details),
    }


def _tell(file: Path, verdict: Verdict) -> None:
    colour = _COLOURS.get(verdict.outcome, "bold green")
    said = "".join(character if character.isprintable() else "\ufffd" for character in verdict.summary)
    out.print(f"[{colour}]{verdict.outcome:<10}[/] {escape(str(file))}: {escape(said)}")
