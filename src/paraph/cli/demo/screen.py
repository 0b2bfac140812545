"""What the demo prints: one act after the other, readable at a glance; nothing when JSON was asked for."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from paraph.cli.demo.evidence import (
    Attempt,
    Control,
    Evidence,
    LogEvidence,
    Opened,
    Recorded,
    Revocation,
    Row,
    Verdict,
    Witnessed,
)
from paraph.cli.demo.films import Line
from paraph.sdk import GrantState

GOOD, BAD, NEXT = "[green]kept[/]", "[bold red]BROKEN[/]", "[dim]next[/]"


class Screen:
    """Prints the story as it happens and holds its evidence as a JSON document."""

    def __init__(self, *, quiet: bool, console: Console | None = None) -> None:
        self.document: dict[str, Any] = {}
        self._out = console or Console(highlight=False, quiet=quiet, soft_wrap=True)
        self._act = 0

    def title(self) -> None:
        """The first lines."""
        self._out.print("[bold]Paraph[/]: two people talk, one lets a partner read her own words, anyone can check.\n")

    def act(self, name: str, what: str) -> None:
        """A new act begins."""
        self._act += 1
        self._out.print(f"\n[bold]{self._act} {name}[/]  [dim]{what}[/]")

    def control(self, control: Control) -> None:
        """What a partner of the old kind gets."""
        self._out.print(
            f"  the partner opens [bold red]{control.readable}[/] messages; records of it: {control.records}"
        )

    def attempts(self, attempts: Sequence[Attempt]) -> None:
        """What was tried and refused, or was not."""
        for attempt in attempts:
            mark = "[green]refused[/]" if attempt.refused else "[bold red]ACCEPTED[/]"
            self._out.print(f"  {mark}  {attempt.what}: [dim]{attempt.answer}[/]")

    def grants(self, states: Sequence[GrantState], text: str, shown: Sequence[str]) -> None:
        """The grants, the text the person read, and what her correspondent sees."""
        for state in states:
            grant = state.grant
            self._out.print(
                f"  {grant.partner}: {', '.join(grant.verbs)} in {len(grant.rooms)} room, "
                f"for {', '.join(grant.purposes)} [dim]({grant.grant_id})[/]"
            )
        first = text.splitlines()[0]
        self._out.print(f"  she read {len(text.split())} words first: [italic]{first}[/]")
        self._out.print(f"  her correspondent sees in the room who may read her: {', '.join(shown) or 'nobody'}")

    def conversation(self, room: str, lines: Sequence[Line]) -> None:
        """A room's first lines."""
        self._out.print(f"  {room} ({len(lines)} messages)")
        for line in lines[:2]:
            self._out.print(f"    [cyan]{line.speaker:<13}[/] {line.text}")

    def heard(self, read: int, said: int) -> None:
        """How much of it the two could read of each other."""
        mark = "green" if read == said else "bold red"
        self._out.print(f"  each opens what the other wrote: [{mark}]{read} of {said}[/]")

    def table(self, rows: Sequence[Row], stranger: Opened) -> None:
        """The table: what each partner opens with the whole database and every key it ever received."""
        self.act("the table", "each partner is handed the whole database and every key it ever received; it opens")
        table = Table(box=None, padding=(0, 3, 0, 2), header_style="bold")
        for column in ("", "author, granted", "author, other", "correspondent"):
            table.add_column(column, justify="left" if not column else "right")
        for row in rows:
            closed = [_closed(cell.opened, str(cell)) for cell in (row.other, row.correspondent)]
            whole = row.granted.opened == row.granted.tried
            table.add_row(row.partner, f"[{'green' if whole else 'red'}]{row.granted}[/]", *closed)
        self._out.print(table)
        served = ", ".join(f"{row.partner} {row.served}" for row in rows)
        self._out.print(f"  served and opened through the Inbox API: {served}")
        for row in rows:
            if row.unreceipted is not None:
                self._out.print(f"  [bold red]NO RECEIPT[/]  {row.partner} takes nothing: {row.unreceipted}")
        opened = _closed(stranger.opened, str(stranger))
        self._out.print(f"  a device that a stranger listed under her name opens, with the whole database, {opened}")

    def revocation(self, revocation: Revocation) -> None:
        """What happened after the revocation."""
        self.attempts([revocation.api])
        opened = _closed(revocation.opened, f"{revocation.opened} of {revocation.sent}")
        self._out.print(f"  of the messages sent since, with the whole database, Marquee opens {opened}")

    def recorded(self, recorded: Recorded) -> None:
        """What the author finds recorded, beside what happened."""
        self.act("the record", "what the author's device finds recorded, each entry proven to be in the log")
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(recorded.entries.items()))
        self._out.print(f"  {kinds}")
        keys = _closed(recorded.unrecorded_keys, f"{recorded.unrecorded_keys} of {recorded.keys}")
        reads = _closed(recorded.unrecorded_reads, f"{recorded.unrecorded_reads} of {recorded.reads}")
        self._out.print(f"  keys that partners hold without a record: {keys}; messages served without one: {reads}")

    def stopped(self, why: str) -> None:
        """The story could not go on."""
        self._out.print(f"\n  [bold red]STOPPED[/]  {why}")

    def witnessed(self, found: Witnessed | None) -> None:
        """Who vouches for the tree, and what that is worth here."""
        if found is None:
            self._out.print("  [bold red]NOT COSIGNED[/]  no quorum of the witnesses vouches for the newest tree")
            return
        auditor = "; the auditor replayed every leaf and made the map again" if found.map_audited else ""
        self._out.print(f"  cosigned {found.age} s ago by {', '.join(found.by)}, each a process of its own{auditor}")
        self._out.print(
            "  [dim]On one machine this shows that it works, and guards the operator against an own old backup. That"
            " nobody is shown another history it proves only where others run them: here one person has every key.[/]"
        )

    def log(self, log: LogEvidence, published: Attempt) -> None:
        """What the outsider found."""
        mark = "[green]verified[/]" if log.verified else "[bold red]NOT VERIFIED[/]"
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(log.kinds.items()))
        self._out.print(f"  {mark}  {log.size} leaves: {kinds}")
        found = "[green]found[/]" if log.tampering.refused else "[bold red]NOT FOUND[/]"
        self._out.print(f"  {found}  {log.tampering.what}: [dim]{log.tampering.answer}[/]")
        mark = "[green]audited[/]" if published.refused else "[bold red]FAILED[/]"
        self._out.print(f"  {mark}  {published.what}: [dim]{published.answer}[/]")

    def verdicts(self, verdicts: Sequence[Verdict], evidence: Evidence) -> None:
        """The nine promises, then what is not protected."""
        self._out.print("\n[bold]The promises[/]")
        for verdict in verdicts:
            mark = NEXT if verdict.kept is None else (GOOD if verdict.kept else BAD)
            found = _found(verdict)
            self._out.print(f"  {verdict.promise}  {mark}  {verdict.title}{found}")
        self._out.print("\n[bold]Not protected[/]  who talks with whom, and when, is in the server's sight;")
        opened = sum(row.granted.opened for row in evidence.rows)
        self._out.print(f"  and what was opened stays opened: the {opened} messages above, after the revocation too.")
        log = evidence.log
        if log is not None:
            self._out.print(f"\n[dim]{evidence.seconds:.1f} s; the log stays in {log.directory}; check it with[/]")
            self._out.print(f"  paraph log verify {log.directory} --key {log.vkey}")

    async def stay(self, url: str, data: Path, log: LogEvidence) -> None:
        """Say what to try, and wait until interrupted."""
        self._out.print(f"\n[bold]The server stays up at {url}[/]; stop it with Ctrl-C. Try, in another terminal:")
        for command in (
            f"paraph partner list --data {data}",
            f"paraph agreement show marquee --data {data} --json",
            f"paraph user list --data {data}",
            f"paraph log verify {url}/log --key {log.vkey}",
        ):
            self._out.print(f"  {command}")
        try:
            await asyncio.Event().wait()
        except (asyncio.CancelledError, KeyboardInterrupt):
            self._out.print("stopped")


def _closed(opened: int, text: str) -> str:
    return f"[bold red]{text}[/]" if opened else f"[green]{text}[/]"


def _found(verdict: Verdict) -> str:
    evidence = verdict.evidence
    if not evidence:
        return ""
    return f"  [dim]tried {evidence['tried']}, opened {evidence['opened']}, expected {evidence['expected']}[/]"
