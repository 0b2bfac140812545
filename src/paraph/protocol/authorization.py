"""What a partner asks of a person: authorization details (RFC 9396) of type `paraph_inbox`, and what fits them."""

from collections.abc import Sequence
from typing import Any, Literal

from paraph.protocol.agreement import Agreement
from paraph.protocol.canonical import decode
from paraph.protocol.documents import Part, parse, to_document
from paraph.protocol.errors import DocumentError, ScopeError
from paraph.protocol.fields import VERBS, Purposes, RetentionDays, Rooms, Time, Verbs, once
from paraph.protocol.grant import Grant
from paraph.protocol.limits import DAY_MS
from paraph.protocol.scope import Scope

TYPE = "paraph_inbox"


class InboxDetails(Part, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"from_": "from"}):
    """The most that a partner asks for; the person grants this or less.

    `rooms` are ids that the partner knows already, or `all`: then the person chooses. `from` is the earliest beginning
    (None: when the person answers), `until` the end, `history` how far back; all in milliseconds.
    """

    type: Literal["paraph_inbox"]
    verbs: Verbs
    purposes: Purposes
    until: Time
    rooms: Literal["all"] | Rooms = "all"
    from_: Time | None = None
    history: Time | None = None
    retention_days: RetentionDays = 0

    def __post_init__(self) -> None:
        once("verbs", self.verbs)
        once("purposes", self.purposes)
        if self.rooms != "all":
            once("rooms", self.rooms)

    @property
    def document(self) -> dict[str, Any]:
        """The details with every member."""
        return to_document(self)


def parse_details(text: str) -> InboxDetails:
    """The value of `authorization_details`: a JSON array with exactly one object of ours. Raises ProtocolError."""
    listed = decode(text.encode())
    if not isinstance(listed, list) or len(listed) != 1:
        raise DocumentError(f"expected a list with one object of type {TYPE}")
    return parse(InboxDetails, listed[0])


def check_asked(asked: InboxDetails, agreement: Agreement, at: int) -> None:
    """Check that a partner asks, at a time in ms, for no more than its agreement allows; raises ScopeError."""
    _refuse_wider("verbs", asked.verbs, agreement.verbs)
    _refuse_wider("purposes", asked.purposes, agreement.purposes)
    begin = max(at, asked.from_ or 0)
    if not begin < asked.until <= agreement.until:
        raise ScopeError("expected `until` to lie ahead, and within the agreement's time")
    if asked.until - begin > agreement.max_duration_days * DAY_MS:
        raise ScopeError(f"the agreement allows grants of at most {agreement.max_duration_days} days")
    if asked.retention_days > agreement.max_retention_days:
        raise ScopeError(f"the agreement allows a retention of at most {agreement.max_retention_days} days")
    if asked.history is not None and asked.history > begin:
        raise ScopeError("expected `history` no later than the beginning")


def check_granted(grant: Grant, asked: InboxDetails, partner: str) -> None:
    """Check that a grant is to this partner and gives no more than it asked for; raises ScopeError."""
    if grant.partner != partner:
        raise ScopeError(f"this is asked for by {partner}, not by {grant.partner}")
    _refuse_wider("verbs", grant.verbs, asked.verbs)
    _refuse_wider("purposes", grant.purposes, asked.purposes)
    if asked.rooms != "all":
        if grant.rooms == "all":
            raise ScopeError(f"{partner} asks for rooms that it names, and the grant is for all")
        _refuse_wider("rooms", grant.rooms, asked.rooms)
    if grant.until > asked.until or grant.from_ < (asked.from_ or 0):
        raise ScopeError("the grant is for a longer time than asked for")
    if grant.history is not None and (asked.history is None or grant.history < asked.history):
        raise ScopeError("the grant reaches further back than asked for")
    if grant.retention_days > asked.retention_days:
        raise ScopeError("the grant allows a longer retention than asked for")


def granted_details(grant: Grant, scope: Scope) -> dict[str, Any]:
    """What a grant gives now, in the form in which it was asked for; `except` are rooms taken out of all."""
    details: dict[str, Any] = {
        "type": TYPE,
        "verbs": [verb for verb in VERBS if verb in scope.verbs],
        "rooms": "all" if scope.rooms is None else sorted(scope.rooms),
        "purposes": sorted(scope.purposes),
        "from": grant.from_,
        "until": scope.until,
        "history": scope.history,
        "retention_days": scope.retention_days,
    }
    return details | ({"except": sorted(scope.excluded)} if scope.rooms is None and scope.excluded else {})


def _refuse_wider(name: str, asked: Sequence[str], allowed: Sequence[str]) -> None:
    wider = sorted(set(asked) - set(allowed))
    if wider:
        raise ScopeError(f"{name}: {wider[0]!r} goes beyond what is allowed here")
