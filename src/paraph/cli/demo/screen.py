"""What the demo prints: one act after the other, readable at a glance; nothing when JSON was asked for."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from paraph.cli.demo.evidence import (
    Attempt,
    Cheat,
    Control,
    Count,
    Evidence,
    Extension,
    Findings,
    Judgement,
    LogEvidence,
    Opened,
    Recorded,
    Revocation,
    Row,
    Witnessed,
)
from paraph.cli.demo.films import Line
from paraph.cli.demo.verdicts import COMPLETE, Verdict
from paraph.sdk import GrantState

GOOD, BAD, NEXT = "[green]kept[/]", "[bold red]BROKEN[/]", "[dim]next[/]"
_COUNTED = {"P5": "sent"} | dict.fromkeys(("P6", "P8", "P9"), "passed")
_LONGEST = 180
_LONG = re.compile(r"(?=[^ ]*[0-9])[A-Za-z0-9_+/=!@$:-]{25,}")


class Screen:
    """Prints the story as it happens and holds its evidence as a JSON document."""

    def __init__(self, *, quiet: bool, console: Console | None = None) -> None:
        self.document: dict[str, Any] = {}
        self._out = console or Console(highlight=False, quiet=quiet)
        self._act = 0

    def title(self) -> None:
        """The first lines."""
        self._out.print("[bold]Paraph[/]: two people talk, one lets a partner read her words, anyone can check.")

    def act(self, name: str, what: str) -> None:
        """A new act begins."""
        self._act += 1
        self._out.print(f"\n[bold]{self._act} {name}[/]  [dim]{what}[/]")

    def control(self, control: Control) -> None:
        """What a partner of the old kind gets."""
        self._say(f"The partner opens [bold red]{control.readable}[/] messages. Records of it: {control.records}.")
        self._say(f"It sends in her name, and is taken for her: [bold red]{control.sent_as_her}[/].")

    def attempts(self, attempts: Sequence[Attempt]) -> None:
        """What was tried and refused, or was not."""
        for attempt in attempts:
            mark = "[green]refused[/]" if attempt.refused else "[bold red]ACCEPTED[/]"
            self._item(mark, escape(attempt.what), _quiet(attempt.answer))

    def findings(self, found: Findings) -> None:
        """What an act found out."""
        for count in found.counts:
            self._count(count)
        self.attempts(found.attempts)

    def secret(self, found: Findings, extension: Extension) -> None:
        """What came of extending an agreement in secret, then openly."""
        self.attempts(found.attempts)
        self._extension(extension)
        for count in found.counts:
            self._count(count)

    def _count(self, count: Count) -> None:
        mark = "[green]counted[/]" if count.right else "[bold red]WRONG[/]"
        number = str(count.found) if count.tried == 1 else f"{count.found} of {count.tried}"
        number = f"[{'green' if count.right else 'bold red'}]{number}[/]"
        control = "" if count.control is None else f": {count.control}"
        beside = _quiet(f"({count.beside}{control})") if count.beside else ""
        self._item(mark, f"{escape(count.what)}: {number}", beside)

    def _extension(self, extension: Extension) -> None:
        """The version that was published openly."""
        state = extension.state.replace("_", " ")
        self._item(
            "[green]public[/]",
            f"version {extension.version}, with {extension.notice_days} days of notice: {state}",
            escape("; ".join(extension.changes)),
        )

    def grants(self, states: Sequence[GrantState], text: str, shown: Sequence[str]) -> None:
        """The grants, the text the person read, and what her correspondent sees."""
        for state in states:
            grant = state.grant
            verbs, purposes = ", ".join(grant.verbs), ", ".join(grant.purposes)
            self._item("[green]granted[/]", f"{grant.partner} may {verbs} in {len(grant.rooms)} room, for {purposes}")
        first = text.splitlines()[0]
        self._say(f"She read {len(text.split())} words first: [italic]{escape(first)}[/].")
        self._say(f"Her correspondent sees in the room who may read her: {', '.join(shown) or 'nobody'}.")

    def conversation(self, room: str, lines: Sequence[Line]) -> None:
        """A room's first lines."""
        self._say(f"{room}, {len(lines)} messages")
        for line in lines[:2]:
            self._item(f"[cyan]{line.speaker:<13}[/]", escape(line.text), indent=4)

    def heard(self, read: int, said: int) -> None:
        """How much of it the two could read of each other."""
        mark = "green" if read == said else "bold red"
        self._say(f"Each opens what the other wrote: [{mark}]{read} of {said}[/].")

    def table(self, rows: Sequence[Row], stranger: Opened) -> None:
        """The table: what each partner opens with the whole database and every key it ever received."""
        self.act("the table", "with the whole database and all its keys, each partner opens")
        table = Table(box=None, padding=(0, 3, 0, 2), header_style="bold")
        for column in ("", "author, granted", "author, other", "correspondent"):
            table.add_column(column, justify="left" if not column else "right")
        for row in rows:
            closed = [_closed(cell.opened, str(cell)) for cell in (row.other, row.correspondent)]
            whole = row.granted.opened == row.granted.tried
            table.add_row(row.partner, f"[{'green' if whole else 'red'}]{row.granted}[/]", *closed)
        self._out.print(table)
        served = ", ".join(f"{row.partner} {row.served}" for row in rows)
        self._say(f"Served and opened through the Inbox API: {served}.")
        for row in rows:
            if row.unreceipted is not None:
                self._item("[bold red]NO RECEIPT[/]", f"{row.partner} takes nothing", _quiet(row.unreceipted))
        opened = _closed(stranger.opened, str(stranger))
        self._say(f"A device that an impostor listed under her name opens {opened}, with the whole database.")

    def cheat(self, cheat: Cheat) -> None:
        """What came of one lie to get a key."""
        mark = "[bold red]FELL FOR IT[/]" if cheat.opened.opened else "[green]closed[/]"
        opened = _closed(cheat.opened.opened, str(cheat.opened))
        found = f"{cheat.reader} opens {opened} [dim]({escape(cheat.beside)}: {cheat.control})[/]"
        self._item(mark, escape(cheat.what), found, *([_quiet(cheat.said)] if cheat.said else []))

    def lies(self, lies: Sequence[Attempt]) -> None:
        """What came of the lies about reads."""
        for lie in lies:
            mark = "[green]noticed[/]" if lie.refused else "[bold red]UNNOTICED[/]"
            self._item(mark, lie.what, _short(lie.answer))

    def revocation(self, revocation: Revocation) -> None:
        """What happened after the revocation."""
        self.attempts([revocation.api])
        opened = _closed(revocation.opened, f"{revocation.opened} of {revocation.sent}")
        self._say(f"Of the messages sent since, with the whole database, Marquee opens {opened}.")

    def recorded(self, recorded: Recorded) -> None:
        """What the author finds recorded, beside what happened."""
        self._say(", ".join(f"{count} {kind}" for kind, count in sorted(recorded.entries.items())))
        keys = _closed(recorded.unrecorded_keys, f"{recorded.unrecorded_keys} of {recorded.keys}")
        reads = _closed(recorded.unrecorded_reads, f"{recorded.unrecorded_reads} of {recorded.reads}")
        self._say(f"Keys that partners hold without a record: {keys}.")
        self._say(f"Messages served without a record: {reads}.")

    def judgement(self, found: Judgement) -> None:
        """What a stranger made of the evidence."""
        for judged in (found.author, found.correspondent):
            mark = "green" if judged.outcome == COMPLETE else "bold red"
            self._item(f"[{mark}]{judged.outcome}[/]", f"the {judged.whose}'s history", _short(judged.summary))
        flipped, tried = found.flipped.opened, found.flipped.tried
        mark = "[bold red]TAKEN[/]" if flipped else "[green]REJECTED[/]"
        what = f"{tried - flipped} of {tried} copies of hers with one random bit flipped; of the first:"
        self._item(mark, what, _quiet(found.refusal))
        self._say("[dim]A record has a minute to get into the log: a list is proven complete up to a minute ago.[/]")

    def stopped(self, why: str) -> None:
        """The story could not go on."""
        self._out.print()
        self._item("[bold red]STOPPED[/]", escape(why))

    def witnessed(self, found: Witnessed | None) -> None:
        """Who vouches for the tree, and what that is worth here."""
        if found is None:
            self._item("[bold red]NOT COSIGNED[/]", "no quorum of the witnesses vouches for the newest tree")
            return
        auditor = "The auditor replayed every leaf and made the map again." if found.map_audited else ""
        who = f"{found.age} s ago by {', '.join(found.by)}, each a process of its own"
        self._item("[green]cosigned[/]", who, f"[dim]{auditor}[/]")
        self._say(
            "[dim]On one machine this shows that it works, and guards the operator against an own old backup. That"
            " nobody is shown another history it proves only where others run them: here one person has every key.[/]"
        )

    def log(self, log: LogEvidence, published: Attempt) -> None:
        """What the outsider found."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(log.kinds.items()))
        mark = "[green]verified[/]" if log.verified else "[bold red]NOT VERIFIED[/]"
        self._item(mark, f"{log.size} leaves: {kinds}")
        mark = "[green]found[/]" if log.tampering.refused else "[bold red]NOT FOUND[/]"
        # Where, and not what: hashes that are cut short may look alike.
        self._item(mark, log.tampering.what, _quiet(log.tampering.answer.partition(": expected")[0]))
        mark = "[green]audited[/]" if published.refused else "[bold red]FAILED[/]"
        self._item(mark, published.what, _quiet(published.answer))

    def verdicts(self, verdicts: Sequence[Verdict], evidence: Evidence) -> None:
        """The nine promises, then what is not protected."""
        self._out.print("\n[bold]The promises[/]")
        wide = max(len(verdict.title) for verdict in verdicts)
        for verdict in verdicts:
            mark = NEXT if verdict.kept is None else (GOOD if verdict.kept else BAD)
            found = _found(verdict)
            self._out.print(f"  {verdict.promise}  {mark}  {verdict.title:<{wide}}{found}".rstrip())
        opened = sum(row.granted.opened for row in evidence.rows)
        self._out.print("\n[bold]Not protected[/]")
        self._say("Who talks with whom, and when, is in the server's sight.")
        self._say(f"What was opened stays opened: the {opened} messages of the table, after the revocation too.")
        if evidence.cheats:
            self._say("A revocation can be hidden from a device for as long as a tree counts as fresh: ten minutes.")
        self._out.print(f"\n[dim]{evidence.seconds:.1f} s.[/]")
        self._commands(evidence)

    def _commands(self, evidence: Evidence) -> None:
        """What anybody can check again, in lines to be copied."""
        if evidence.judgement is not None:
            judgement = evidence.judgement
            files = Path(judgement.author.file).parent / "*.evidence"
            self._out.print("[dim]The evidence stays. Check it, with no network:[/]")
            self._out.print(f"  paraph log check {files} --policy {judgement.policy}", soft_wrap=True)
        if evidence.log is not None:
            self._out.print("[dim]The log stays. Verify it:[/]")
            command = f"  paraph log verify {evidence.log.directory} --key {evidence.log.vkey}"
            self._out.print(command, soft_wrap=True)

    def _say(self, text: str) -> None:
        self._out.print(Padding(text, (0, 0, 0, 2), expand=False))

    def _item(self, mark: str, *lines: str, indent: int = 2) -> None:
        """A mark, and lines beside it that wrap under themselves."""
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(no_wrap=True, min_width=10)
        grid.add_column(overflow="fold")
        for line in filter(None, lines):
            grid.add_row(mark, line)
            mark = ""
        self._out.print(Padding(grid, (0, 0, 0, indent), expand=False))

    async def stay(self, url: str, data: Path, log: LogEvidence) -> None:
        """Say what to try, and wait until interrupted."""
        self._out.print(f"\n[bold]The server stays up at {url}[/]; stop it with Ctrl-C. Try, in another terminal:")
        for command in (
            f"paraph partner list --data {data}",
            f"paraph agreement show marquee --data {data} --json",
            f"paraph user list --data {data}",
            f"paraph log verify {url}/log --key {log.vkey}",
        ):
            self._out.print(f"  {command}", soft_wrap=True)
        try:
            await asyncio.Event().wait()
        except (asyncio.CancelledError, KeyboardInterrupt):
            self._out.print("stopped")


def _closed(opened: int, text: str) -> str:
    return f"[bold red]{text}[/]" if opened else f"[green]{text}[/]"


def _quiet(text: str) -> str:
    """What was answered, as an aside."""
    return f"[dim]{_short(text)}[/]"


def _short(text: str) -> str:
    """A text of a few lines, its ids, keys and hashes cut short: the JSON document has it whole."""
    plain = _LONG.sub(lambda found: found[0][:10] + "...", text.replace("urn:paraph:problem:", ""))
    return escape(plain if len(plain) <= _LONGEST else f"{plain[:_LONGEST]} ...")


def _found(verdict: Verdict) -> str:
    evidence = verdict.evidence
    if not evidence:
        return ""
    what = _COUNTED.get(verdict.promise, "opened")
    return f"  [dim]tried {evidence['tried']}, {what} {evidence['opened']}, expected {evidence['expected']}[/]"
