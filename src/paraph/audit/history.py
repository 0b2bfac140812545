"""A person's complete history: every record that concerns her, and proof that the log holds no other (P3).

Under the account's label and under that of each grant, week by week, a statement of the verifiable map says exactly
which leaves there are. The listed records must open these leaves, each one of them, and no other. So what was withheld
is counted, what was edited is named, and that a partner read nothing is proven as well.

Nothing here fetches: `labels_wanted` says what to ask the log, `History.verify` what it comes to.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paraph.audit.envelope import write
from paraph.audit.errors import BadHistory, BadStatement, MalformedEvidence
from paraph.audit.history_match import Match, Place
from paraph.audit.history_report import Fault, HistoryReport, Late, Problem, partner_histories
from paraph.audit.integration import Integration
from paraph.audit.opened import Content, OpenedEntry, granted
from paraph.audit.statement import KeyStatement, ProvenTree, TreeProof, bytes_of, list_of, members_of, text_of
from paraph.audit.verdict import Verdict
from paraph.protocol.base64 import b64url
from paraph.protocol.entry import access_label, week_of
from paraph.protocol.errors import ProtocolError
from paraph.protocol.identifiers import check_grant_id, check_user_id
from paraph.protocol.limits import MERGE_DELAY_MS
from paraph.tlog.policy import Policy

KIND = "history"
MAX_RECORDS = 200_000
"""Records in one history."""
MAX_STATEMENTS = 50_000
"""Statements in one history: 100 grants for nine years."""
MAX_GRANTS = 10_000
_MEMBERS = {"type", "kind", "person", "tree", "account_key", "grant_keys", "entries", "statements", "late"}


def labels_wanted(
    entries: Sequence[OpenedEntry], account_key: bytes, grant_keys: Mapping[str, bytes], until: int
) -> list[Place]:
    """Every place that must be shown up to the week of `until` (milliseconds), for a list to be a complete one.

    The account's label from the week of the first enrolment, each grant's from the week of the grant. Raises
    BadHistory if no device ever enrolled, or for more places than a history may have.
    """
    enrolled = [opened.right_week for opened in entries if opened.kind == "device"]
    if not enrolled:
        raise BadHistory("the records", "the enrolment of a device", "none: nobody can tell when the history begins")
    starts: list[tuple[str | None, bytes, int]] = [(None, account_key, min(enrolled))]
    starts += [(id_, grant_keys[id_], one.week) for id_, one in granted(entries).items() if id_ in grant_keys]
    last = week_of(until)
    if sum(max(last - week + 1, 0) for _, _, week in starts) > MAX_STATEMENTS:
        raise BadHistory("the records", f"at most {MAX_STATEMENTS} weeks and labels", "more")
    # Account and grant keys make their labels in the same way (§4).
    return [
        Place(week, access_label(key, week), grant_id)
        for grant_id, key, start in starts
        for week in range(start, last + 1)
    ]


@dataclass(frozen=True)
class History:
    """A person's records and what proves that they are all; all of it is in the evidence file.

    `account_key` and `grant_keys` make the labels (§4); k, which makes them all, is not among them.
    """

    person: str
    tree: TreeProof
    account_key: bytes
    grant_keys: Mapping[str, bytes]
    entries: tuple[OpenedEntry, ...]
    statements: tuple[KeyStatement, ...]
    late: tuple[Integration, ...] = ()

    def verify(self, policy: Policy, now: int) -> HistoryReport:
        """What the history shows, at `now` (seconds since 1970), to whoever trusts `policy`.

        Raises LogError where nothing can be said: a tree that no quorum cosigned, a statement that its map does not
        bear out, no enrolment. All else is named in the report.
        """
        self.tree.refuse_strangers(policy)
        tree = self.tree.verify(policy, now)
        places = {p.key: p for p in labels_wanted(self.entries, self.account_key, self.grant_keys, tree.epoch.time)}
        under = self._proven(tree, places)
        match = Match(self.entries, places, under, self._label_keys())
        content = Content(self.person, self.entries, self.grant_keys)
        logged = [opened for number, opened in enumerate(self.entries, start=1) if match.is_logged(number)]
        return HistoryReport(
            person=self.person,
            master_key=content.master_key,
            tree=tree,
            map_audited=policy.map_audited,
            records=len(self.entries),
            partners=partner_histories(
                [opened for opened in logged if content.fits(opened)], match.by_partner(), tree.epoch.time
            ),
            late=tuple(self._late(tree, match)),
            problems=(*self._strange_keys(), *match.wrong_records(content), *match.omissions()),
        )

    def _label_keys(self) -> dict[str | None, bytes]:
        keys: dict[str | None, bytes] = {None: self.account_key}
        keys.update(self.grant_keys)
        return keys

    def _strange_keys(self) -> Iterator[Problem]:
        for grant_id in sorted(self.grant_keys.keys() - granted(self.entries).keys()):
            yield Problem(Fault.CONTENT, f"there is a key of {grant_id}, and no record of such a grant")

    def _late(self, tree: ProvenTree, match: Match) -> Iterator[Late]:
        """The records that are shown to have come late. Raises BadStatement for what does not show it."""
        before = 0
        for shown in self.late:
            if not before < shown.record <= len(self.entries) or not match.is_logged(shown.record):
                raise BadStatement("the late records", "each once, in the order of the list", f"record {shown.record}")
            before, opened = shown.record, self.entries[shown.record - 1]
            epoch = shown.verify(opened.leaf, tree)
            if epoch.time - opened.ts <= MERGE_DELAY_MS:
                raise BadStatement(f"record {shown.record}", "a time after its deadline", "one before")
            yield Late(shown.record, opened.ts, epoch.time)

    def _proven(self, tree: ProvenTree, places: Mapping[bytes, Place]) -> dict[bytes, tuple[bytes, ...]]:
        """The leaves under each key for which there is a statement. Raises BadStatement."""
        under: dict[bytes, tuple[bytes, ...]] = {}
        for statement in self.statements:
            if statement.key not in places or statement.key in under:
                raise BadStatement(
                    f"the map at {statement.key.hex()}", "one statement for each place wanted", "another"
                )
            statement.verify(tree.map_root)
            under[statement.key] = statement.leaves
        return under

    @property
    def evidence(self) -> bytes:
        """The evidence file: canonical JSON."""
        return write(
            KIND,
            {
                "person": self.person,
                "tree": self.tree.rendered,
                "account_key": b64url(self.account_key),
                "grant_keys": {grant: b64url(key) for grant, key in self.grant_keys.items()},
                "entries": [opened.rendered for opened in self.entries],
                "statements": [statement.rendered for statement in self.statements],
                "late": [integration.rendered for integration in self.late],
            },
        )

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "History":
        """Read the document of an evidence file. Raises MalformedEvidence."""
        members = members_of(document, _MEMBERS, "a history")
        return cls(
            _checked(check_user_id, text_of(members["person"], 255, "a person")),
            TreeProof.parse(members["tree"]),
            bytes_of(members["account_key"], "an account key", 32),
            _parse_grant_keys(members["grant_keys"]),
            tuple(OpenedEntry.parse(item) for item in list_of(members["entries"], MAX_RECORDS, "records")),
            tuple(KeyStatement.parse(item) for item in list_of(members["statements"], MAX_STATEMENTS, "statements")),
            tuple(Integration.parse(item) for item in list_of(members["late"], MAX_RECORDS, "late records")),
        )


def check(document: Mapping[str, Any], policy: Policy, now: int) -> Verdict:
    """The verdict on a history in an evidence file. Raises LogError."""
    report = History.parse(document).verify(policy, now)
    return Verdict(KIND, report.outcome, report.summary, report.rendered)


def _parse_grant_keys(document: object) -> dict[str, bytes]:
    if not isinstance(document, dict) or len(document) > MAX_GRANTS:
        raise MalformedEvidence("the grant keys", f"an object of at most {MAX_GRANTS} members", type(document).__name__)
    return {_checked(check_grant_id, grant_id): bytes_of(key, "a grant key", 32) for grant_id, key in document.items()}


def _checked(check_form: Callable[[str], str], text: str) -> str:
    try:
        return check_form(text)
    except ProtocolError as error:
        raise MalformedEvidence("a history", "well-formed identifiers", str(error)) from error
