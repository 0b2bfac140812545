"""A person's complete history, collected over the API by one of her devices and held against the log.

The platform's list of entries is taken in, then the verifiable map is asked for every label and week, under one tree
that the pinned policy's quorum cosigned just now. What the platform left out or changed is then named and counted.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from paraph.audit.errors import LogError as AuditError
from paraph.audit.errors import MalformedEvidence
from paraph.audit.fork import Fork
from paraph.audit.history import History as Evidence
from paraph.audit.history import labels_wanted
from paraph.audit.history_report import Fault, HistoryReport, Problem
from paraph.audit.opened import OpenedEntry, granted
from paraph.audit.verdict import Outcome
from paraph.protocol.enrolment import key_hash
from paraph.protocol.entry import account_key, grant_key
from paraph.protocol.errors import ProtocolError
from paraph.protocol.limits import MERGE_DELAY_MS
from paraph.protocol.map_key import private_map_key
from paraph.sdk.errors import LogError, TransportError
from paraph.sdk.keystore import Records
from paraph.sdk.log.lateness import Lateness
from paraph.sdk.log.statements import Statements
from paraph.sdk.log.view import LogView
from paraph.sdk.transport import PARAPH, Transport
from paraph.tlog.policy import Policy

PAGE = 500
ASKS = 4
"""Times the map is asked again because the person's grants, or the week, changed meanwhile."""
_MEMBERS = ("entry", "o1", "o2", "label", "week")


@dataclass(frozen=True)
class History:
    """What is known about a person: `report` has the verdicts, `records` what happened, oldest first.

    `pending` are records of the last minute that are not in the log yet: promised, and not proven.
    """

    report: HistoryReport
    records: tuple[OpenedEntry, ...]
    pending: tuple[OpenedEntry, ...]
    proof: Evidence

    @property
    def complete(self) -> bool:
        """Whether the list is right and all there is."""
        return self.report.outcome is Outcome.COMPLETE

    def evidence(self) -> bytes:
        """The evidence file: whoever trusts the log's policy can verify it offline (`paraph log check`).

        It tells its reader everything that it proves, and the keys of the labels; see docs/evidence.md.
        """
        return self.proof.evidence


@dataclass(frozen=True)
class Self:
    """What a device knows of its person without asking: the account log key k, master key, and its own enrolment."""

    user_id: str
    log_key: bytes
    master_key: str
    enrolment: Mapping[str, object] | None


class Collector:
    """Collects one history."""

    def __init__(self, transport: Transport, records: Records, log_view: LogView, known: Self) -> None:
        self._transport = transport
        self._records = records
        self._log = log_view
        self._known = known
        self._account_key = account_key(known.log_key)
        self._entries: list[OpenedEntry] = []
        self._next = 0
        self._unread: list[Problem] = []

    async def collect(self, now: int) -> History:
        """The person's history as the log has it at `now` (milliseconds). Raises LogError, SdkError."""
        await self._log.refresh()
        policy = self._log.policy
        if policy is None:
            raise LogError("this platform's log has no witness policy, so nothing in it is proven")
        await self._fetch()
        try:
            proven = await self._proven()
            logged, pending = self._parted(proven)
            proof = await self._proof(logged, proven, policy)
            report = proof.verify(policy, now // 1000)
        except (AuditError, ProtocolError) as error:
            raise LogError(f"no history can be made of what the platform shows: {error}") from error
        problems = (*report.problems, *self._own_problems(report), *self._unread)
        return History(replace(report, problems=problems), tuple(logged), tuple(pending), proof)

    async def _fetch(self) -> None:
        """Take in the entries that are new since the last time."""
        while True:
            params = {"from": self._next, "limit": PAGE}
            answer = await self._transport.json("GET", f"{PARAPH}/entries", params=params)
            page, following = answer.get("entries"), answer.get("next")
            if not isinstance(page, list) or not isinstance(following, int):
                raise TransportError("the platform lists no entries")
            for rendered in page:
                self._take(rendered)
            if following <= self._next:
                return
            self._next = following
            if len(page) < PAGE:
                return

    def _take(self, rendered: object) -> None:
        members = rendered if isinstance(rendered, dict) else {}
        try:
            self._entries.append(OpenedEntry.parse({name: members.get(name) for name in _MEMBERS}))
        except MalformedEvidence as error:
            name = f"an entry that the platform lists (seq {str(members.get('seq'))[:20]})"
            self._unread.append(Problem(Fault.DIFFERS, f"{name} cannot be read: {error}"))

    def _grant_keys(self, entries: Sequence[OpenedEntry]) -> dict[str, bytes]:
        """The keys of the recorded grants; one whose id is none has no key, and its record is named for it."""
        keys = {}
        for grant_id in granted(entries):
            with contextlib.suppress(ProtocolError):
                keys[grant_id] = grant_key(self._known.log_key, grant_id)
        return keys

    def _wanted(self, entries: Sequence[OpenedEntry], until: int) -> list[bytes]:
        places = labels_wanted(entries, self._account_key, self._grant_keys(entries), until)
        return [place.key for place in places]

    async def _proven(self) -> Statements:
        """What the map holds at every place that the person's own records lead to, all under one tree.

        The list is fetched after the tree was made: what came in between is listed and not yet in the tree, and not
        the other way round.
        """
        tree = await self._log.refresh()
        for _ in range(ASKS):
            proven = await self._log.statements(self._wanted(self._entries, tree.epoch.time))
            await self._fetch()
            tree = proven.tree
            if proven.found.keys() >= set(self._wanted(self._entries, tree.epoch.time)):
                return proven
        raise LogError("the person's grants change faster than they can be proven; try again")

    def _parted(self, proven: Statements) -> tuple[list[OpenedEntry], list[OpenedEntry]]:
        """The records that are, or should be, in the tree; and those of its last minute that are still on their way.

        Where the log holds leaves that no listed record opens, a record that opens none is no newcomer: it was edited.
        """
        since = proven.tree.epoch.time - MERGE_DELAY_MS
        opened = {one.leaf for one in self._entries}
        keys: dict[str | None, bytes] = {None: self._account_key}
        keys.update(self._grant_keys(self._entries))
        unopened = {key: len(set(it.leaves) - opened) for key, it in proven.found.items()}
        in_log = {leaf for statement in proven.found.values() for leaf in statement.leaves}
        logged, pending = [], []
        for one in self._entries:
            key = private_map_key(one.week, one.label)
            is_new = one.ts > since and one.leaf not in in_log and one.is_in_place(keys.get(one.grant_id))
            if is_new and not unopened.get(key):
                pending.append(one)
                continue
            if is_new:
                unopened[key] -= 1
            logged.append(one)
        return logged, pending

    async def _proof(self, logged: Sequence[OpenedEntry], proven: Statements, policy: Policy) -> Evidence:
        keys = self._wanted(logged, proven.tree.epoch.time)
        proof = Evidence(
            self._known.user_id,
            proven.proof.without_strangers(policy),
            self._account_key,
            self._grant_keys(logged),
            tuple(logged),
            tuple(proven.found[key] for key in keys),
        )
        lateness = Lateness(self._transport, self._records, proven.tree)
        came = await lateness.came({key: proven.leaves(key) for key in keys})
        late = [
            await lateness.integration(number, came[one.leaf])
            for number, one in enumerate(logged, start=1)
            if one.leaf in came and came[one.leaf].time - one.ts > MERGE_DELAY_MS
        ]
        return replace(proof, late=tuple(late))

    def _own_problems(self, report: HistoryReport) -> list[Problem]:
        """What only this device can tell: its own enrolment, its person's identity, the key that she committed to."""
        problems = []
        enrolments = [one.body["enrolment"] for one in self._entries if one.kind == "device"]
        if self._known.enrolment is not None and self._known.enrolment not in enrolments:
            problems.append(Problem(Fault.MISSING, "this device's own enrolment is missing"))
        if report.master_key != self._known.master_key:
            problems.append(Problem(Fault.CONTENT, "the first enrolment is under another identity than this person's"))
        committed = key_hash(self._known.log_key)
        if any(isinstance(made, dict) and made.get("log_key_hash") != committed for made in enrolments):
            problems.append(Problem(Fault.CONTENT, "an enrolment commits to another account log key than this one"))
        return problems


def fork_evidence(log_view: LogView) -> bytes | None:
    """The evidence file of the fork that this device has seen, for anyone with the policy; None if it has seen none."""
    seen, policy = log_view.fork, log_view.policy
    if seen is None or policy is None:
        return None
    return Fork(seen.older, seen.newer, seen.root, seen.proof).for_policy(policy).evidence
