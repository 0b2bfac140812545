"""What is recorded of partners' reads, and an operator that lies about it (P3), to the author and to a partner."""

import secrets
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from paraph.audit.history_report import Fault, HistoryReport
from paraph.cli.demo import liar
from paraph.cli.demo.evidence import Attempt, Recorded
from paraph.cli.demo.liar import Hands, Lie
from paraph.cli.demo.people import Cast
from paraph.sdk import LedgerEntry, Partner, Person, ReceiptError, SdkError

READS = 3


@dataclass
class Records:
    """The act. `hands` are between the partner and the platform; `served` collects what the partner was given."""

    cast: Cast
    reader: Partner
    hands: Hands
    room_id: str
    purpose: str
    served: set[str]

    async def play(self) -> list[Attempt]:
        """The partner reads until it has read three times; one read is withheld from her, then one is made smaller."""
        reads = await self._reads()
        if not reads:
            return [Attempt("a read that she could be lied to about", False, "her list has none")]
        return [await self._hidden(reads), await self._edited(reads), await self._no_receipt()]

    async def _reads(self) -> list[int]:
        """The partner's reads on her list, all proven to be in the log, by their `seq`."""
        reads: list[int] = []
        while len(reads) < READS:
            try:
                page = await self.reader.messages(self.room_id, self.purpose)
            except SdkError:
                break
            self.served.update(message.event_id for message in page.messages)
            listed = await self._listed()
            found = [entry.seq for entry in listed if (entry.kind, entry.partner) == ("access", self.reader.slug)]
            if len(found) == len(reads):
                break  # what is read is not recorded
            reads = found
        return reads

    async def _listed(self) -> list[LedgerEntry]:
        return await self.cast.author.entries(prove=True)

    async def _hidden(self, reads: list[int]) -> Attempt:
        what = f"one of {len(reads)} reads is left out of her list"
        report = await self._history(liar.hides_an_entry(secrets.choice(reads)))
        if isinstance(report, str):
            return Attempt(what, False, report)
        did = [partner.did_open for partner in report.partners if partner.partner == self.reader.slug]
        noticed = [(it.missing, it.recorded) for it in did] == [(1, len(reads))]
        return Attempt(what, noticed, _said(report, Fault.MISSING))

    async def _edited(self, reads: list[int]) -> Attempt:
        what, seq = "one read is made to look smaller than it was", secrets.choice(reads)
        record = 1 + [entry.seq for entry in await self._listed()].index(seq)
        report = await self._history(liar.edits_an_entry(seq))
        if isinstance(report, str):
            return Attempt(what, False, report)
        differs = [problem.record for problem in report.problems if problem.fault is Fault.DIFFERS]
        return Attempt(what, differs == [record], _said(report, Fault.DIFFERS))

    async def _history(self, lie: Lie) -> HistoryReport | str:
        """Her history, collected under a lie; or why there is none."""
        self.cast.hands.lie = lie
        try:
            return (await self.cast.author.history()).report
        except SdkError as error:
            return f"no history: {error}"
        finally:
            self.cast.hands.lie = liar.honest

    async def _no_receipt(self) -> Attempt:
        what = "a partner is answered without the platform's receipts"
        self.hands.lie = liar.strips_the_receipts
        try:
            page = await self.reader.messages(self.room_id, self.purpose)
        except SdkError as error:
            return Attempt(what, isinstance(error, ReceiptError), str(error))
        finally:
            self.hands.lie = liar.honest
        return Attempt(what, False, f"it took {len(page.messages)} messages")


def _said(report: HistoryReport, fault: Fault) -> str:
    """What the history says of a fault; or of whatever else does not fit."""
    named = [problem for problem in report.problems if problem.fault is fault] or report.problems
    return named[0].text if named else report.outcome


async def recorded(author: Person, partners: Iterable[Partner], served: set[str]) -> Recorded:
    """The author's own list, every entry proven to be in the log, beside what partners hold and were `served`."""
    entries = await author.entries(prove=True)
    shared = {_session(entry.body) for entry in entries if entry.kind == "key-share"}
    held = {
        (reader.device_id, session.session_id)
        for reader in partners
        for session in reader.engine.inbound.all()
        if session.owner == author.user_id
    }
    listed = {event_id for entry in entries if entry.kind == "access" for event_id in entry.body.get("event_ids", ())}
    kinds = dict(Counter(entry.kind for entry in entries))
    return Recorded(kinds, len(held), len(held - shared), len(served), len(served - listed))


def _session(key_share: dict[str, Any]) -> tuple[str, str]:
    session = key_share["session"] or {}
    return str(key_share["partner_device_id"]), str(session.get("session_id"))
