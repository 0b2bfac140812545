"""Effective scope: it only ever narrows, and the order of what narrows it does not matter."""

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from paraph.protocol.agreement import Agreement
from paraph.protocol.documents import parse
from paraph.protocol.errors import ScopeError
from paraph.protocol.grant import Amendment, Grant
from paraph.protocol.limits import DAY_MS
from paraph.protocol.scope import Scope, check_amendment, check_within, effective_scope
from tests.protocol import examples
from tests.protocol.examples import NOW, ROOMS, amended, random_id

AGREEMENT = parse(Agreement, examples.agreement())
GRANT = parse(Grant, examples.grant())
OPEN = parse(Grant, examples.grant(rooms="all"))
LATER = NOW + 10 * DAY_MS


def scope(grant: Grant, *amendments: Amendment, **changes: Any) -> Scope | None:
    """The scope ten days in, under one agreement, unless changed."""
    given = {"own": AGREEMENT, "current": AGREEMENT, "at": LATER, "revoked": False, "ended": False, **changes}
    own, current = given.pop("own"), given.pop("current")
    return effective_scope(grant, amendments, own, current, **given)


def within(narrow: Scope | None, wide: Scope | None) -> bool:
    """Whether the first allows nothing that the second does not."""
    if narrow is None:
        return True
    return (
        wide is not None
        and narrow.verbs <= wide.verbs
        and narrow.purposes <= wide.purposes
        and narrow.until <= wide.until
        and narrow.retention_days <= wide.retention_days
        and all(wide.covers(room) for room in (*ROOMS, "!other:example.org") if narrow.covers(room))
    )


changes = st.one_of(
    st.lists(st.sampled_from(ROOMS), min_size=1, max_size=2, unique=True).map(
        lambda rooms: {"op": "drop_rooms", "rooms": rooms}
    ),
    st.integers(1, 61).map(lambda days: {"op": "shorten", "until": NOW + days * DAY_MS}),
    st.integers(1, 2).map(lambda number: {"op": "pause", "pause_id": random_id(number)}),
    st.integers(1, 2).map(lambda number: {"op": "resume", "pause_id": random_id(number)}),
)


@st.composite
def trees(draw: st.DrawFn, grant: Grant) -> list[Amendment]:
    """Amendments in branches: each follows the grant or any one before it."""
    made: list[Amendment] = []
    for change in draw(st.lists(changes, max_size=6)):
        before: list[Grant | Amendment] = [grant, *made]
        made.append(amended(change, draw(st.sampled_from(before)), created=NOW + len(made)))
    return made


@given(st.sampled_from([GRANT, OPEN]).flatmap(lambda grant: st.tuples(st.just(grant), trees(grant))), st.randoms())
def test_the_order_of_amendments_does_not_matter(drawn: tuple[Grant, list[Amendment]], random: Any) -> None:
    """All branches apply, whichever a verifier learns of first."""
    grant, made = drawn
    shuffled = list(made)
    random.shuffle(shuffled)
    assert scope(grant, *shuffled) == scope(grant, *made)


@given(st.sampled_from([GRANT, OPEN]).flatmap(lambda grant: st.tuples(st.just(grant), trees(grant))))
def test_an_amendment_only_narrows(drawn: tuple[Grant, list[Amendment]]) -> None:
    """Whatever is added, short of a resume, nothing new is allowed; a resume allows no more than no pause did."""
    grant, made = drawn
    for end in range(1, len(made) + 1):
        last = type(made[end - 1].change).__name__
        before = [one for one in made[: end - 1] if last != "Resume" or type(one.change).__name__ != "Pause"]
        assert within(scope(grant, *made[:end]), scope(grant, *before))


@given(st.integers(NOW - DAY_MS, NOW + 70 * DAY_MS), trees(GRANT))
def test_a_scope_never_exceeds_the_grant(at: int, made: list[Amendment]) -> None:
    """At any time the scope lies within what the person signed, and there is none outside its dates."""
    found = scope(GRANT, *made, at=at)
    whole = Scope(
        frozenset(GRANT.verbs), frozenset(ROOMS), frozenset(GRANT.purposes), GRANT.until, None, GRANT.retention_days
    )
    assert within(found, whole)
    assert found is None or GRANT.from_ <= at < found.until


def test_a_grant_gives_what_it_says() -> None:
    """Without amendments the scope is the grant's own, from its first instant to its last."""
    found = scope(GRANT)
    assert found == Scope(
        verbs=frozenset({"read"}),
        rooms=frozenset(ROOMS),
        purposes=frozenset({"recommendations"}),
        until=GRANT.until,
        history=None,
        retention_days=14,
    )
    assert found.allows("read", "recommendations", ROOMS[0])
    assert not found.allows("metadata", "recommendations", ROOMS[0])
    assert not found.allows("read", "statistics", ROOMS[0])
    assert not found.allows("read", "recommendations", "!other:example.org")
    times = (GRANT.from_ - 1, GRANT.from_, GRANT.until - 1, GRANT.until)
    assert [scope(GRANT, at=at) is None for at in times] == [True, False, False, True]


@pytest.mark.parametrize("changes", [{"revoked": True}, {"ended": True}, {"current": None}])
def test_an_end_leaves_nothing(changes: dict[str, Any]) -> None:
    """Revoked, ended, or without an agreement in force: no scope."""
    assert scope(GRANT, **changes) is None


def test_both_agreements_are_ceilings() -> None:
    """A later version narrows older grants; a wider one does not widen them."""
    wide = parse(Grant, examples.grant(verbs=["read", "metadata"], purposes=["recommendations", "statistics"]))
    narrow = {"verbs": ["metadata"], "purposes": ["statistics"], "max_retention_days": 7, "max_duration_days": 20}
    second = {"version": 2, "predecessor": AGREEMENT.hash}
    found = scope(wide, current=parse(Agreement, examples.agreement(**second, **narrow)))
    assert found is not None
    assert (found.verbs, found.purposes, found.retention_days, found.until) == (
        frozenset({"metadata"}),
        frozenset({"statistics"}),
        7,
        NOW + 20 * DAY_MS,
    )
    wider = parse(Agreement, examples.agreement(**second, verbs=["read", "metadata", "friends"]))
    assert scope(wide, current=wider) == scope(wide)
    assert scope(wide, own=parse(Agreement, examples.agreement(verbs=["friends"]))) is None
    assert scope(wide, current=parse(Agreement, examples.agreement(**second, purposes=["advertising"]))) is None


@pytest.mark.parametrize("which", ["own", "current"])
def test_an_agreements_dates_bound_the_scope(which: str) -> None:
    """Nothing is granted before either agreement begins or after it ends."""
    dated = parse(Agreement, examples.agreement(**{"from": NOW + DAY_MS, "until": NOW + 5 * DAY_MS}))
    times = (NOW + DAY_MS - 1, NOW + DAY_MS, NOW + 5 * DAY_MS - 1, NOW + 5 * DAY_MS)
    found = [scope(GRANT, at=at, **{which: dated}) for at in times]
    assert [one is None for one in found] == [True, False, False, True]
    assert found[1] is not None
    assert found[1].until == NOW + 5 * DAY_MS


def test_dropped_rooms_and_shortened_dates_intersect_over_branches() -> None:
    """Two devices that amend at the same moment both have their way."""
    one = amended({"op": "drop_rooms", "rooms": [ROOMS[0]]}, GRANT)
    two = amended({"op": "drop_rooms", "rooms": [ROOMS[1]]}, GRANT)
    three = amended({"op": "shorten", "until": NOW + 20 * DAY_MS}, two)
    found = scope(GRANT, one, two, three)
    assert found is not None
    assert (found.rooms, found.until) == (frozenset({ROOMS[2]}), NOW + 20 * DAY_MS)
    assert scope(GRANT, amended({"op": "drop_rooms", "rooms": list(ROOMS)}, GRANT)) is None


def test_a_room_can_be_dropped_from_all() -> None:
    """A grant for all rooms without some covers every room but those."""
    found = scope(OPEN, amended({"op": "drop_rooms", "rooms": [ROOMS[0]]}, OPEN))
    assert found is not None
    assert (found.rooms, found.covers(ROOMS[0]), found.covers(ROOMS[1])) == (None, False, True)


def pause(number: int, previous: Any = GRANT, **changes: Any) -> Amendment:
    """A pause."""
    return amended({"op": "pause", "pause_id": random_id(number)}, previous, **changes)


def resume(number: int, previous: Any, **changes: Any) -> Amendment:
    """The end of a pause."""
    return amended({"op": "resume", "pause_id": random_id(number)}, previous, **changes)


def test_a_pause_holds_until_its_own_id_is_resumed() -> None:
    """One resume takes back one pause, and another pause holds on."""
    one = pause(1)
    two = pause(2, one)
    assert scope(GRANT, one) is None
    assert scope(GRANT, one, resume(2, one)) is None
    assert scope(GRANT, one, resume(1, one)) == scope(GRANT)
    assert scope(GRANT, one, two, resume(1, two)) is None
    first = resume(1, two)
    assert scope(GRANT, one, two, first, resume(2, first)) == scope(GRANT)


def test_a_resume_takes_back_nothing_but_what_came_before_it() -> None:
    """Neither a resume made earlier, nor one on another branch, nor one out of nowhere undoes a pause."""
    early = resume(1, GRANT)
    late = pause(1, early)
    assert scope(GRANT, early, late) is None
    one = pause(1)
    assert scope(GRANT, one, resume(1, GRANT)) is None
    assert scope(GRANT, one, amended({"op": "resume", "pause_id": random_id(1)})) is None
    done = resume(1, one)
    assert scope(GRANT, one, done, pause(1, done)) is None
    assert scope(GRANT, one, done, pause(1, GRANT, created=NOW + 9)) is None


def test_what_belongs_elsewhere_is_refused() -> None:
    """Amendments of another grant, or agreements of another partner or version, are an error and not ignored."""
    foreign = amended({"op": "shorten", "until": NOW}, GRANT, grant_id="gr_" + "A" * 22)
    other = parse(Agreement, examples.agreement(partner="other"))
    second = parse(Agreement, examples.agreement(version=2, predecessor=random_id(1)))
    for wrong in ({"own": other}, {"own": second}, {"current": other}):
        with pytest.raises(ScopeError):
            scope(GRANT, **wrong)
    for revoked in (False, True):
        with pytest.raises(ScopeError):
            scope(GRANT, foreign, revoked=revoked)


@pytest.mark.parametrize(
    ("grant", "agreement"),
    [
        ({"verbs": ["read", "friends"]}, {}),
        ({"purposes": ["advertising"]}, {}),
        ({"verbs": ["read"], "purposes": ["metadata"]}, {}),
        ({"until": NOW + 90 * DAY_MS + 1}, {}),
        ({"retention_days": 31}, {}),
        ({"from": NOW - 101 * DAY_MS, "until": NOW - 50 * DAY_MS}, {}),
        ({"until": NOW + 80 * DAY_MS}, {"until": NOW + 79 * DAY_MS}),
        ({}, {"partner": "other"}),
        ({"agreement": {"version": 2, "hash": AGREEMENT.hash}}, {}),
        ({"agreement": {"version": 1, "hash": random_id(1)}}, {}),
    ],
)
def test_a_grant_wider_than_its_agreement_is_refused(grant: dict[str, Any], agreement: dict[str, Any]) -> None:
    """A new grant asks for no more than the agreement it names allows, and names it by version and hash."""
    ceiling = parse(Agreement, examples.agreement(**agreement))
    fields = {"agreement": {"version": 1, "hash": ceiling.hash}, "history": None, **grant}
    with pytest.raises(ScopeError):
        check_within(parse(Grant, examples.grant(**fields)), ceiling)


def test_a_grant_within_its_agreement_is_accepted() -> None:
    """The example grant lies within the example agreement, as does one at every bound of it."""
    check_within(GRANT, AGREEMENT)
    widest = {"verbs": ["metadata", "read"], "retention_days": 30, "until": NOW + 90 * DAY_MS}
    check_within(parse(Grant, examples.grant(**widest)), AGREEMENT)


def test_a_new_amendment_follows_on_and_changes_something() -> None:
    """What follows nothing known, repeats, widens or takes back no pause is refused; all else is accepted."""
    one = pause(1)
    check_amendment(GRANT, [], one)
    check_amendment(GRANT, [one], resume(1, one))
    check_amendment(GRANT, [one], amended({"op": "shorten", "until": GRANT.until - 1}, GRANT))
    check_amendment(GRANT, [one], amended({"op": "drop_rooms", "rooms": [ROOMS[0]]}, one))
    for wrong in (
        one,
        pause(1, one, created=NOW + 5),
        resume(1, GRANT),
        resume(2, one),
        pause(2, amended({"op": "shorten", "until": NOW})),
        amended({"op": "shorten", "until": GRANT.until}, GRANT),
        amended({"op": "drop_rooms", "rooms": ["!other:example.org"]}, GRANT),
        amended({"op": "shorten", "until": NOW}, GRANT, grant_id="gr_" + "A" * 22),
    ):
        with pytest.raises(ScopeError):
            check_amendment(GRANT, [one], wrong)


@given(trees(GRANT))
def test_what_is_accepted_one_by_one_is_accepted_in_scope(made: list[Amendment]) -> None:
    """Amendments that pass the check as they come give a scope that a pause alone can empty or a drop exhaust."""
    accepted: list[Amendment] = []
    for amendment in made:
        try:
            check_amendment(GRANT, accepted, amendment)
        except ScopeError:
            continue
        accepted.append(amendment)
    assume(not any(type(one.change).__name__ in ("Pause", "Shorten") for one in accepted))
    dropped = {room for one in accepted for room in getattr(one.change, "rooms", ())}
    assert (scope(GRANT, *accepted) is None) == (dropped == set(ROOMS))
