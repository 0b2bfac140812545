"""What a grant allows at a time, after everything that narrows it (docs/protocol.md §2, "Effective scope")."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from paraph.protocol.agreement import Agreement
from paraph.protocol.errors import ScopeError
from paraph.protocol.grant import Amendment, DropRooms, Grant, Pause, Resume, Shorten
from paraph.protocol.limits import DAY_MS, MAX_AMENDMENTS


@dataclass(frozen=True, slots=True)
class Scope:
    """What a partner may do under one grant at one time.

    `rooms` None means all rooms but the `excluded`; `until` and `history` are times in milliseconds.
    """

    verbs: frozenset[str]
    rooms: frozenset[str] | None
    purposes: frozenset[str]
    until: int
    history: int | None
    retention_days: int
    excluded: frozenset[str] = frozenset()

    def covers(self, room_id: str) -> bool:
        """Whether the room is within the scope."""
        return room_id not in self.excluded and (self.rooms is None or room_id in self.rooms)

    def allows(self, verb: str, purpose: str, room_id: str) -> bool:
        """Whether this may be done for this purpose in this room."""
        return verb in self.verbs and purpose in self.purposes and self.covers(room_id)


def effective_scope(
    grant: Grant,
    amendments: Sequence[Amendment],
    agreement_of_grant: Agreement,
    current_agreement: Agreement | None,
    *,
    at: int,
    revoked: bool,
    ended: bool,
) -> Scope | None:
    """Scope of a grant at a time in milliseconds, or None if it gives nothing then.

    The order of the amendments does not matter: all branches apply. `agreement_of_grant` is the version the
    grant names, `current_agreement` the one in force (None if there is none), `ended` whether the partner's
    agreement was ended. Raises ScopeError if amendments or agreements belong to something else.
    """
    _check_belonging(grant, amendments, agreement_of_grant, current_agreement)
    if revoked or ended or current_agreement is None or _paused(amendments):
        return None
    ceilings = (agreement_of_grant, current_agreement)
    until = _until(grant, amendments, ceilings)
    if not max(grant.from_, *(ceiling.from_ for ceiling in ceilings)) <= at < until:
        return None
    verbs = frozenset(grant.verbs).intersection(*(ceiling.verbs for ceiling in ceilings))
    purposes = frozenset(grant.purposes).intersection(*(ceiling.purposes for ceiling in ceilings))
    rooms, excluded = _rooms(grant, amendments)
    if not verbs or not purposes or rooms == frozenset():
        return None
    retention = min(grant.retention_days, *(ceiling.max_retention_days for ceiling in ceilings))
    return Scope(verbs, rooms, purposes, until, grant.history, retention, excluded)


def runs_until(
    grant: Grant, amendments: Sequence[Amendment], agreement_of_grant: Agreement, current_agreement: Agreement | None
) -> int:
    """When a grant runs out by itself, in milliseconds: the earliest that it, its amendments or agreements say."""
    ceilings = (agreement_of_grant,) if current_agreement is None else (agreement_of_grant, current_agreement)
    return _until(grant, amendments, ceilings)


def check_within(grant: Grant, agreement: Agreement) -> None:
    """Check that a new grant names this agreement and asks for no more than it allows; raises ScopeError."""
    if grant.partner != agreement.partner or grant.agreement.version != agreement.version:
        raise ScopeError(f"expected a grant under version {agreement.version} of {agreement.partner}'s agreement")
    if grant.agreement.hash != agreement.hash:
        raise ScopeError(f"expected the agreement with hash {agreement.hash}, found {grant.agreement.hash}")
    _refuse_wider("verbs", grant.verbs, agreement.verbs)
    _refuse_wider("purposes", grant.purposes, agreement.purposes)
    if grant.until - grant.from_ > agreement.max_duration_days * DAY_MS:
        raise ScopeError(f"the agreement allows grants of at most {agreement.max_duration_days} days")
    if grant.retention_days > agreement.max_retention_days:
        raise ScopeError(f"the agreement allows a retention of at most {agreement.max_retention_days} days")
    if grant.from_ < agreement.from_ or grant.until > agreement.until:
        raise ScopeError("the grant begins before its agreement does, or ends after it")


def _refuse_wider(name: str, asked: Iterable[str], allowed: Iterable[str]) -> None:
    wider = set(asked) - set(allowed)
    if wider:
        raise ScopeError(f"the agreement does not allow the {name} {sorted(wider)}")


def check_amendment(grant: Grant, amendments: Sequence[Amendment], new: Amendment) -> None:
    """Check that a new amendment follows on from what there is and changes something; raises ScopeError.

    `previous` must be the grant or one of the amendments (any: two devices may amend at the same moment).
    """
    _check_belonging_amendments(grant, (*amendments, new))
    hashes = {amendment.hash: amendment for amendment in amendments}
    if new.hash in hashes or new.previous not in {grant.hash, *hashes}:
        raise ScopeError("expected an amendment that follows the grant or one of its amendments")
    change = new.change
    if isinstance(change, Shorten) and change.until >= grant.until:
        raise ScopeError("expected an earlier `until` than the grant's")
    if isinstance(change, DropRooms) and grant.rooms != "all" and not set(change.rooms) <= set(grant.rooms):
        raise ScopeError("expected rooms of the grant")
    pauses = {made.change.pause_id for made in amendments if isinstance(made.change, Pause)}
    if isinstance(change, Pause) and change.pause_id in pauses:
        raise ScopeError("expected a fresh `pause_id`")
    if isinstance(change, Resume) and not _resumed(new, hashes):
        raise ScopeError("expected a pause of this id before the resume, on the same branch")


def _check_belonging(grant: Grant, amendments: Sequence[Amendment], own: Agreement, current: Agreement | None) -> None:
    _check_belonging_amendments(grant, amendments)
    if grant.partner != own.partner or grant.agreement.version != own.version:
        raise ScopeError(f"expected version {grant.agreement.version} of {grant.partner}'s agreement")
    if current is not None and current.partner != grant.partner:
        raise ScopeError(f"expected {grant.partner}'s current agreement, found {current.partner}'s")


def _check_belonging_amendments(grant: Grant, amendments: Sequence[Amendment]) -> None:
    if len(amendments) > MAX_AMENDMENTS:
        raise ScopeError(f"expected at most {MAX_AMENDMENTS} amendments of a grant")
    for amendment in amendments:
        if (amendment.grant_id, amendment.person) != (grant.grant_id, grant.person):
            raise ScopeError(f"expected amendments of {grant.grant_id}, found one of {amendment.grant_id}")


def _paused(amendments: Sequence[Amendment]) -> bool:
    """Whether a pause holds: one that no resume of its id, made after it on its own branch, takes back.

    Looking only at ids would let a resume that was made earlier, or on another branch, undo a later pause.
    """
    pauses = [amendment for amendment in amendments if isinstance(amendment.change, Pause)]
    if not pauses:
        return False
    by_hash = {amendment.hash: amendment for amendment in amendments}
    resumed = {pause.hash for amendment in amendments for pause in _resumed(amendment, by_hash)}
    return any(pause.hash not in resumed for pause in pauses)


def _resumed(amendment: Amendment, by_hash: dict[str, Amendment]) -> list[Amendment]:
    """The pauses that this amendment takes back: none unless it is a resume."""
    change = amendment.change
    if not isinstance(change, Resume):
        return []
    return [
        before
        for before in _before(amendment, by_hash)
        if isinstance(before.change, Pause) and before.change.pause_id == change.pause_id
    ]


def _before(amendment: Amendment, by_hash: dict[str, Amendment]) -> list[Amendment]:
    """The amendments that `previous` leads back to, newest first."""
    found: list[Amendment] = []
    current = by_hash.get(amendment.previous)
    while current is not None and len(found) < len(by_hash):
        found.append(current)
        current = by_hash.get(current.previous)
    return found


def _until(grant: Grant, amendments: Sequence[Amendment], ceilings: Sequence[Agreement]) -> int:
    shortened = [made.change.until for made in amendments if isinstance(made.change, Shorten)]
    ceilings_until = [min(ceiling.until, grant.from_ + ceiling.max_duration_days * DAY_MS) for ceiling in ceilings]
    return min(grant.until, *shortened, *ceilings_until)


def _rooms(grant: Grant, amendments: Sequence[Amendment]) -> tuple[frozenset[str] | None, frozenset[str]]:
    changes = [made.change for made in amendments if isinstance(made.change, DropRooms)]
    dropped = frozenset(room for change in changes for room in change.rooms)
    if grant.rooms == "all":
        return None, dropped
    return frozenset(grant.rooms) - dropped, frozenset()
