"""A person's records with their openings, as the platform lists them, and what each one must say to be hers.

An entry and its two openings give the commitment, and with week and label the leaf: whoever holds them can tell which
leaf of the log they open. What the leaf then says is checked here: signatures, and that the parts fit one another.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from paraph.audit.errors import BadHistory, LogError, MalformedEvidence
from paraph.audit.statement import bytes_of, members_of, number_of
from paraph.protocol.base64 import b64url
from paraph.protocol.disposal import Disposal
from paraph.protocol.documents import parse
from paraph.protocol.enrolment import key_hash, verify_enrolment
from paraph.protocol.entry import (
    ACCESS_KINDS,
    LABEL_LENGTH,
    MAX_WEEK,
    OPENING_LENGTH,
    access_label,
    check_entry,
    commitment,
    private_leaf,
    week_of,
)
from paraph.protocol.errors import ProtocolError
from paraph.protocol.grant import Grant, Revocation, verify_amendment, verify_grant
from paraph.protocol.limits import DAY_MS
from paraph.tlog.merkle import leaf_hash

_MEMBERS = {"entry", "o1", "o2", "label", "week"}


@dataclass(frozen=True)
class OpenedEntry:
    """One recorded event (docs/protocol.md §3), its openings (32 bytes each), and the week and label of its leaf."""

    entry: Mapping[str, Any]
    o1: bytes
    o2: bytes
    label: bytes
    week: int

    @property
    def kind(self) -> str:
        """What happened: one of the private kinds."""
        return str(self.entry["kind"])

    @property
    def ts(self) -> int:
        """When, in milliseconds since 1970."""
        return int(self.entry["ts"])

    @property
    def partner(self) -> str | None:
        """The slug of the partner that it concerns."""
        found = self.entry["partner"]
        return None if found is None else str(found)

    @property
    def body(self) -> Mapping[str, Any]:
        """What is said of it, by kind."""
        found: Mapping[str, Any] = self.entry["body"]
        return found

    @property
    def grant_id(self) -> str | None:
        """The grant under whose label the entry lies; None for those under the account's."""
        return str(self.body.get("grant_id")) if self.kind in ACCESS_KINDS else None

    @property
    def right_week(self) -> int:
        """The week of the entry's time."""
        return week_of(self.ts)

    def is_in_place(self, label_key: bytes | None) -> bool:
        """Whether week and label are those of the entry's time under the account's or its grant's key (§4)."""
        if label_key is None or self.week != self.right_week:
            return False
        return self.label == _label(label_key, self.week)

    @cached_property
    def leaf(self) -> bytes:
        """Hash of the leaf that the entry opens, 32 bytes."""
        return leaf_hash(private_leaf(self.week, self.label, commitment(self.entry, self.o1, self.o2)))

    @property
    def rendered(self) -> dict[str, Any]:
        """The entry as JSON: `{entry, o1, o2, label, week}`, bytes as base64url."""
        shown = {"o1": b64url(self.o1), "o2": b64url(self.o2), "label": b64url(self.label)}
        return {"entry": dict(self.entry), "week": self.week, **shown}

    @classmethod
    def parse(cls, document: object) -> "OpenedEntry":
        """Read what `rendered` gives, and nothing else. Raises MalformedEvidence."""
        members = members_of(document, _MEMBERS, "a record")
        try:
            check_entry(members["entry"] if isinstance(members["entry"], dict) else {})
            number_of(week_of(members["entry"]["ts"]), MAX_WEEK, "the week of a record's time")
        except ProtocolError as error:
            raise MalformedEvidence("a record", "an entry of docs/protocol.md, section 3", str(error)) from error
        o1, o2 = (bytes_of(members[name], "an opening", OPENING_LENGTH) for name in ("o1", "o2"))
        label = bytes_of(members["label"], "a label", LABEL_LENGTH)
        return cls(members["entry"], o1, o2, label, number_of(members["week"], MAX_WEEK, "a week"))


class Content:
    """What a person's records say, held against each other: one identity, and nothing without its grant."""

    def __init__(self, person: str, entries: Sequence[OpenedEntry], grant_keys: Mapping[str, bytes]) -> None:
        """`grant_keys` are k_grant by grant id."""
        self._person = person
        self._keys = grant_keys
        enrolments = sorted((e for e in entries if e.kind == "device"), key=lambda e: e.ts)
        self.master_key = _named_master_key(enrolments[0]) if enrolments else None
        """The master key that the first enrolment names, unpadded base64; None without one."""
        self._granted = {str(_part(e, "grant").get("grant_id")): e for e in entries if e.kind == "grant"}
        self._grants: dict[str, Grant] = {}
        self._faults: dict[bytes, str | None] = {}

    def fault(self, opened: OpenedEntry) -> str | None:
        """What is wrong with a record of the log; None if nothing is. Each is looked at once."""
        if opened.leaf not in self._faults:
            try:
                self.check(opened)
                self._faults[opened.leaf] = None
            except LogError as error:
                self._faults[opened.leaf] = str(error)
        return self._faults[opened.leaf]

    def fits(self, opened: OpenedEntry) -> bool:
        """Whether a record of the log says what it must."""
        return self.fault(opened) is None

    def check(self, opened: OpenedEntry) -> None:
        """Check one record's signatures and that it fits the others. Raises BadHistory, which says what does not."""
        checks = {"device": self._device, "grant": self._grant, "amend": self._amend, "revoke": self._revoke}
        try:
            if opened.entry["person"] != self._person:
                raise BadHistory("the record", f"one of {self._person}", str(opened.entry["person"]))
            if opened.kind in checks:
                checks[opened.kind](opened)
            elif opened.kind in ACCESS_KINDS or opened.kind == "key-share":
                self._partner_is_that_of(str(opened.body.get("grant_id")), opened)
            _check_body(opened)
        except ProtocolError as error:
            raise BadHistory("the record", "documents that the person signed", str(error)) from error

    def _device(self, opened: OpenedEntry) -> None:
        enrolment = verify_enrolment(_part(opened, "enrolment"), master_key=self.master_key or "")
        if enrolment.user_id != self._person or opened.partner is not None:
            raise BadHistory("the enrolment", f"a device of {self._person}", f"one of {enrolment.user_id}")

    def _grant(self, opened: OpenedEntry) -> None:
        grant = self._verified(opened)
        self._partner_is(grant.partner, opened)

    def _verified(self, opened: OpenedEntry) -> Grant:
        grant = verify_grant(_part(opened, "grant"), _part(opened, "chain"), master_key=self.master_key or "")
        if grant.person != self._person:
            raise BadHistory("the grant", f"one by {self._person}", f"one by {grant.person}")
        known = self._keys.get(grant.grant_id)
        if known is None or key_hash(known) != grant.grant_key_hash:
            found = "none" if known is None else "another"
            raise BadHistory(f"the key of {grant.grant_id}", "the one whose hash the grant names", found)
        return grant

    def _amend(self, opened: OpenedEntry) -> None:
        document = _part(opened, "amendment")
        grant = self._grant_of(str(document.get("grant_id")))
        verify_amendment(document, _part(opened, "chain"), grant=grant, master_key=self.master_key or "")
        self._partner_is(grant.partner, opened)

    def _revoke(self, opened: OpenedEntry) -> None:
        revocation = parse(Revocation, _part(opened, "revocation"))
        if revocation.person != self._person:
            raise BadHistory("the revocation", f"one by {self._person}", f"one by {revocation.person}")
        self._partner_is_that_of(revocation.grant_id, opened)

    def _grant_of(self, grant_id: str) -> Grant:
        """A grant that is among the records, verified once."""
        if grant_id not in self._grants:
            recorded = self._granted.get(grant_id)
            if recorded is None:
                raise BadHistory("the record", "a grant that is recorded", f"{grant_id[:40]!r}, which is not")
            self._grants[grant_id] = self._verified(recorded)
        return self._grants[grant_id]

    def _partner_is_that_of(self, grant_id: str, opened: OpenedEntry) -> None:
        self._partner_is(self._grant_of(grant_id).partner, opened)

    def _partner_is(self, partner: str, opened: OpenedEntry) -> None:
        if opened.partner != partner:
            raise BadHistory("the record", f"{partner}, to whom its grant was given", str(opened.partner))


@dataclass(frozen=True, slots=True)
class Granted:
    """A recorded grant: the week from which on its accesses have to be shown, and to whom it was given."""

    week: int
    partner: str


def granted(entries: Iterable[OpenedEntry]) -> dict[str, Granted]:
    """The grants that are among the records, by grant id; of two under one id, the older."""
    found: dict[str, Granted] = {}
    for opened in sorted((e for e in entries if e.kind == "grant"), key=lambda e: e.ts):
        grant_id = str(_part(opened, "grant").get("grant_id"))
        found.setdefault(grant_id, Granted(opened.right_week, str(opened.partner)))
    return found


@lru_cache(maxsize=1024)
def _label(label_key: bytes, week: int) -> bytes:
    """A label; account and grant keys make theirs in the same way (§4), and many records have one label."""
    return access_label(label_key, week)


def _named_master_key(opened: OpenedEntry) -> str:
    return str(_part(opened, "enrolment").get("master_key"))


def _part(opened: OpenedEntry, name: str) -> Mapping[str, Any]:
    """A document in an entry's body; what is no object fits no document."""
    found = opened.body.get(name)
    return found if isinstance(found, dict) else {}


def _check_body(opened: OpenedEntry) -> None:
    """The members that are counted and shown have the types that docs/protocol.md gives them."""
    body = opened.body
    if opened.kind == "access":
        fits = _is_text(body["purpose"], body.get("room_id", "")) and all(map(_is_list, _listed(body)))
    elif opened.kind == "key-share":
        session = body["session"]
        fits = _is_text(body["device_id"], body["partner_device_id"]) and (session is None or _is_session(session))
    elif opened.kind == "draft":
        fits = _is_text(body["draft_id"], body["status"]) and _is_text_or_none(body["room_id"], body["event_id"])
    elif opened.kind == "delete":
        fits = _is_text(*(body[name] for name in ("purpose", "verb", "room_id", "event_id", "redaction_id")))
        fits = fits and _is_text_or_none(body["reason"])
    elif opened.kind == "disposal":
        made = parse(Disposal, _part(opened, "disposal"))
        fits = (made.grant_id, made.partner) == (
            body["grant_id"],
            opened.partner,
        ) and made.created <= opened.ts + DAY_MS
    else:
        return
    if not fits:
        raise BadHistory("the record", f"the body of an entry of kind {opened.kind}", "members of other types")


def _listed(body: Mapping[str, Any]) -> list[object]:
    """What an access entry lists: messages, attachments, rooms or friends."""
    return [body[name] for name in ("event_ids", "media_ids", "room_ids", "friends") if name in body]


def _is_list(value: object) -> bool:
    return isinstance(value, list) and _is_text(*value)


def _is_session(session: object) -> bool:
    if not isinstance(session, dict) or session.keys() != {"room_id", "session_id", "first_index"}:
        return False
    return _is_text(session["room_id"], session["session_id"]) and type(session["first_index"]) is int


def _is_text(*values: object) -> bool:
    return all(isinstance(value, str) for value in values)


def _is_text_or_none(*values: object) -> bool:
    return all(value is None or isinstance(value, str) for value in values)
