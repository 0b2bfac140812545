"""Documents: strict parsing, every bound, and signatures that cover every member."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraph.protocol import limits
from paraph.protocol.agreement import (
    Agreement,
    AgreementEnded,
    agreement_in_force,
    begins,
    check_notice,
    check_successor,
    extensions,
    verify_agreement,
    verify_agreement_ended,
)
from paraph.protocol.canonical import encode
from paraph.protocol.consent import ConsentTemplate
from paraph.protocol.documents import Document, parse, to_document
from paraph.protocol.enrolment import Enrolment, verify_enrolment
from paraph.protocol.errors import DocumentError, ProtocolError, SignatureError
from paraph.protocol.grant import Amendment, Grant, Revocation, verify_amendment, verify_grant
from paraph.protocol.limits import DAY_MS
from paraph.protocol.partner_device import (
    PartnerDevice,
    PartnerDeviceEnded,
    verify_partner_device,
    verify_partner_device_ended,
)
from paraph.protocol.signing import document_hash, sign
from tests.protocol import examples
from tests.protocol.examples import ADDRESS, AUTHOR, KEYS, KNOWN, NOW, ROOMS, SERVER, random_id

MASTER = KEYS.master.public_key
PARTNER_KEYS = {"server_name": SERVER, "master_key": KEYS.partner.public_key}
Verify = Callable[[dict[str, Any]], Document]

SIGNED: dict[str, tuple[dict[str, Any], type[Document], Verify]] = {
    "agreement": (examples.agreement(), Agreement, lambda d: verify_agreement(d, **KNOWN)),
    "agreement_ended": (
        examples.by_operator(examples.agreement_ended()),
        AgreementEnded,
        lambda d: verify_agreement_ended(d, **KNOWN),
    ),
    "partner_device": (examples.partner_device(), PartnerDevice, lambda d: verify_partner_device(d, **PARTNER_KEYS)),
    "partner_device_ended": (
        examples.by_partner(examples.partner_device_ended()),
        PartnerDeviceEnded,
        lambda d: verify_partner_device_ended(d, **KNOWN),
    ),
    "enrolment": (examples.enrolment(), Enrolment, lambda d: verify_enrolment(d, master_key=MASTER)),
    "grant": (examples.grant(), Grant, lambda d: verify_grant(d, examples.chain(), master_key=MASTER)),
    "amendment": (
        examples.amendment({"op": "drop_rooms", "rooms": [ROOMS[0]]}),
        Amendment,
        lambda d: verify_amendment(d, examples.chain(), grant=parse(Grant, examples.grant()), master_key=MASTER),
    ),
}
PARSED: dict[str, tuple[dict[str, Any], type[Document]]] = {
    **{name: (document, kind) for name, (document, kind, _) in SIGNED.items()},
    "revocation": (examples.revocation(), Revocation),
    "consent_template": (examples.consent_template(), ConsentTemplate),
}


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document, without its own top-level signatures."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        if (*path, key) != ("signatures",):
            yield (*path, key)
            yield from paths(child, (*path, key))


def at(document: dict[str, Any], path: tuple[Any, ...]) -> tuple[Any, Any]:
    """The container and the key of a place in the document."""
    container: Any = document
    for key in path[:-1]:
        container = container[key]
    return container, path[-1]


def other_than(value: Any) -> st.SearchStrategy[Any]:
    """Values near the one that stands there: another of its type, or of another type."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return st.sampled_from([None, 0, "x", [], {}, True]).filter(lambda other: other != value)
    if isinstance(value, int):
        return st.sampled_from([value + 1, max(value - 1, 0), str(value), None, -1]).filter(lambda new: new != value)
    near = [value + "a", value[:-1], "A" + value[1:], value.upper() + "B", None, 1]
    return st.sampled_from([new for new in near if new != value])


@pytest.mark.parametrize("name", SIGNED)
def test_a_signed_document_verifies(name: str) -> None:
    """Each example verifies under the right keys and gives its struct."""
    document, kind, verify = SIGNED[name]
    assert verify(document) == parse(kind, document)


@pytest.mark.parametrize("name", SIGNED)
@given(data=st.data())
def test_any_change_breaks_verification(name: str, data: st.DataObject) -> None:
    """Whatever member is changed, removed or added, at any depth, the document no longer verifies."""
    original, _, verify = SIGNED[name]
    document = copy.deepcopy(original)
    container, key = at(document, data.draw(st.sampled_from(sorted(paths(original), key=repr))))
    match data.draw(st.sampled_from(["change", "remove", "add"])):
        case "change":
            container[key] = data.draw(other_than(container[key]))
        case "remove":
            del container[key]
        case "add" if isinstance(container, dict):
            container["extra"] = "x"
        case "add":
            container.append(container[-1])
    with pytest.raises(ProtocolError):
        verify(document)


@pytest.mark.parametrize("name", SIGNED)
def test_every_signature_is_needed(name: str) -> None:
    """A document verifies without signatures nobody asked for, and not without one that is needed."""
    document, _, verify = SIGNED[name]
    stranger = sign(document, "@stranger:example.org", "ed25519:X", KEYS.stranger.sign)
    verify(stranger)
    for entity, made in document["signatures"].items():
        for key_id in made:
            lacking = copy.deepcopy(stranger)
            del lacking["signatures"][entity][key_id]
            with pytest.raises(SignatureError):
                verify(lacking)
            forged = sign(document, entity, key_id, KEYS.stranger.sign)
            with pytest.raises(SignatureError):
                verify(forged)


@pytest.mark.parametrize("name", PARSED)
def test_a_document_and_its_struct_are_the_same_thing(name: str) -> None:
    """Struct and JSON give each other back with the same hash, from an object or from bytes."""
    document, kind = PARSED[name]
    struct = parse(kind, document)
    assert to_document(struct) == document
    assert parse(kind, encode(document)) == parse(kind, json.dumps(document).encode()) == struct
    assert struct.hash == document_hash(document)


@pytest.mark.parametrize("name", PARSED)
def test_unknown_and_missing_members_are_refused(name: str) -> None:
    """No document takes a member it does not know, `unsigned` least of all, or does without one of its own."""
    document, kind = PARSED[name]
    for extra in ("unsigned", "extra", "from_", "Type"):
        with pytest.raises(DocumentError):
            parse(kind, {**document, extra: {}})
    for member in set(document) - {"signatures"}:
        with pytest.raises(DocumentError):
            parse(kind, {key: value for key, value in document.items() if key != member})


@pytest.mark.parametrize("name", PARSED)
def test_one_kind_is_not_taken_for_another(name: str) -> None:
    """A document parses as its own kind only."""
    document, kind = PARSED[name]
    for _, other in PARSED.values():
        if other is not kind:
            with pytest.raises(DocumentError):
                parse(other, document)


@pytest.mark.parametrize("text", [b"[]", b'"x"', b"1", b"{", b'{"type":"a","type":"b"}', b"{}" + b" " * 65_000])
def test_what_is_no_object_is_refused(text: bytes) -> None:
    """A text that is no JSON object, or too long, is no document."""
    with pytest.raises(ProtocolError):
        parse(Grant, text)


def test_a_document_over_the_limit_is_refused_however_it_comes() -> None:
    """Signatures count towards the size, since the document must fit a leaf with them."""
    rooms = [f"!{number:0200d}:example.org" for number in range(400)]
    with pytest.raises(DocumentError, match="bytes"):
        parse(Grant, examples.grant(rooms=rooms))


LONG = "x" * 5_000
BAD_GRANTS: list[dict[str, Any]] = [
    {"grant_id": "gr_" + "A" * 21},
    {"grant_id": "gr_" + "A" * 21 + "B"},
    {"grant_id": "g__" + "A" * 22},
    {"person": ADDRESS},
    {"person": "author"},
    {"person": "@Author:example.org"},
    {"person": "@" + "a" * 250 + ":example.org"},
    {"person": AUTHOR + "\n"},
    {"device_id": ""},
    {"device_id": "two words"},
    {"device_id": "D" * 256},
    {"master_key": "A" * 42},
    {"master_key": "A" * 42 + "B"},
    {"partner": "platform"},
    {"partner": "x"},
    {"partner": "Film"},
    {"agreement": {"version": 0, "hash": random_id(1)}},
    {"agreement": {"version": 1, "hash": "x"}},
    {"agreement": {"version": True, "hash": random_id(1)}},
    {"verbs": []},
    {"verbs": ["read", "read"]},
    {"verbs": ["write"]},
    {"verbs": "read"},
    {"rooms": []},
    {"rooms": "some"},
    {"rooms": [ROOMS[0], ROOMS[0]]},
    {"rooms": ["#alias:example.org"]},
    {"rooms": [f"!r{number}" for number in range(limits.MAX_ROOMS + 1)]},
    {"purposes": []},
    {"purposes": ["Recommendations"]},
    {"purposes": ["p" * 65]},
    {"purposes": ["recommendations\n"]},
    {"purposes": [f"p{number}" for number in range(limits.MAX_PURPOSES + 1)]},
    {"until": NOW},
    {"until": NOW - 1},
    {"until": NOW + 180 * DAY_MS + 1},
    {"from": -1},
    {"from": 2**53},
    {"from": None},
    {"history": NOW + 1},
    {"history": -1},
    {"retention_days": -1},
    {"retention_days": limits.MAX_RETENTION_DAYS + 1},
    {"grant_key_hash": "+" * 43},
    {"consent": {"template": "t", "locale": "en"}},
    {"consent": {"template": "t", "locale": "EN", "text_hash": random_id(1)}},
    {"consent": {"template": "t", "locale": "en", "text_hash": random_id(1), "extra": 1}},
]


@pytest.mark.parametrize("changes", BAD_GRANTS, ids=lambda changes: json.dumps(changes)[:60])
def test_a_grant_out_of_bounds_is_refused(changes: dict[str, Any]) -> None:
    """Each bound of a grant holds even where the device signed."""
    consent = examples.grant()["consent"]
    with pytest.raises(ProtocolError):
        parse(Grant, {**examples.grant(consent=consent), **changes})


@pytest.mark.parametrize(
    "changes",
    [{"until": NOW + 180 * DAY_MS}, {"history": NOW}, {"history": 0}, {"retention_days": 0}, {"rooms": "all"}],
)
def test_a_grant_at_its_bounds_is_accepted(changes: dict[str, Any]) -> None:
    """The bounds themselves are inside."""
    assert to_document(parse(Grant, examples.grant(**changes)))["type"] == "org.paraph.grant"


BAD_AGREEMENTS: list[dict[str, Any]] = [
    {"name": ""},
    {"name": "x" * 101},
    {"name": "Film\nClub"},
    {"name": "Film\u202eClub"},
    {"name": "Film\u200bClub"},
    {"version": 0},
    {"version": 2},
    {"version": 1, "predecessor": random_id(1)},
    {"signatories": []},
    {"signatories": [{"party": "operator", "name": "a", "role": "b"}] * 2},
    {"signatories": [{"party": "partner", "name": "a", "role": "b"}] * 2},
    {"signatories": [{"party": "witness", "name": "a", "role": "b"}] * 2},
    {"consideration": {"operator": "x"}},
    {"consideration": {"operator": "x", "partner": LONG}},
    {"ties": [LONG]},
    {"ties": ["tie"] * (limits.MAX_TIES + 1)},
    {"purposes": ["statistics", "statistics"]},
    {"verbs": ["read", "read"]},
    {"max_duration_days": 0},
    {"max_duration_days": 181},
    {"max_retention_days": -1},
    {"report": {"interfaces": [], "initiation_surfaces": []}},
    {"report": {"interfaces": ["a", "a"], "initiation_surfaces": [], "variants": []}},
    {"limits": {"Requests": 1}},
    {"limits": {"requests": -1}},
    {"limits": {"requests": True}},
    {"limits": {f"l{number}": 1 for number in range(limits.MAX_PUBLISHED_LIMITS + 1)}},
    {"from": NOW, "until": NOW},
    {"notice_days": -1},
    {"reason": ""},
    {"reason": "\u0000"},
]


@pytest.mark.parametrize("changes", BAD_AGREEMENTS, ids=lambda changes: json.dumps(changes)[:60])
def test_an_agreement_out_of_bounds_is_refused(changes: dict[str, Any]) -> None:
    """Each bound of an agreement holds even where both sides signed."""
    with pytest.raises(DocumentError):
        parse(Agreement, examples.agreement(**changes))


@pytest.mark.parametrize(
    "change",
    [
        {"op": "widen"},
        {"op": "drop_rooms"},
        {"op": "drop_rooms", "rooms": []},
        {"op": "drop_rooms", "rooms": [ROOMS[0], ROOMS[0]]},
        {"op": "drop_rooms", "rooms": [ROOMS[0]], "until": NOW},
        {"op": "shorten"},
        {"op": "shorten", "until": "soon"},
        {"op": "pause", "pause_id": "p1"},
        {"op": "resume"},
        {"rooms": [ROOMS[0]]},
        {},
        None,
    ],
)
def test_an_unknown_change_is_refused(change: Any) -> None:
    """An amendment makes one of the four changes, with that change's members and no others."""
    with pytest.raises(DocumentError):
        parse(Amendment, examples.amendment(change))


def test_a_partner_device_has_its_partners_address_and_its_own_signature() -> None:
    """Device keys of another partner, another server or a person, or not signed by the device, are refused."""
    for user_id in ("@app-other:example.org", "@app-film-club:other.example", AUTHOR):
        keys = examples.device_keys(user_id, "PARTNERDEV", KEYS.partner_device)
        with pytest.raises(DocumentError):
            verify_partner_device(examples.partner_device(device_keys=keys), **PARTNER_KEYS)
    keys = examples.device_keys(ADDRESS, "PARTNERDEV", KEYS.partner_device)
    keys = sign(keys, ADDRESS, "ed25519:PARTNERDEV", KEYS.stranger.sign)
    with pytest.raises(SignatureError):
        verify_partner_device(examples.partner_device(device_keys=keys), **PARTNER_KEYS)
    with pytest.raises(DocumentError):
        parse(PartnerDevice, examples.partner_device(expires=NOW))


def test_a_partner_device_lives_from_created_until_expires() -> None:
    """The first instant is inside, the last is not."""
    device = parse(PartnerDevice, examples.partner_device())
    assert [device.live(time) for time in (device.created - 1, device.created, device.expires - 1, device.expires)] == [
        False,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("by", [examples.by_operator, examples.by_partner])
def test_either_side_may_end(by: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """An agreement or partner device is ended by the operator or by the partner, but by no one else."""
    verify_agreement_ended(by(examples.agreement_ended()), **KNOWN)
    verify_partner_device_ended(by(examples.partner_device_ended()), **KNOWN)
    for document, verify in (
        (examples.by_device(examples.agreement_ended()), verify_agreement_ended),
        (examples.by_device(examples.partner_device_ended()), verify_partner_device_ended),
    ):
        with pytest.raises(SignatureError):
            verify(document, **KNOWN)


def test_keys_named_in_a_document_must_be_the_pinned_ones() -> None:
    """A document that brings its own keys, rightly signed with them, is refused by whoever knows better."""
    stranger = KEYS.stranger
    grant = examples.grant(master_key=stranger.public_key)
    with pytest.raises(DocumentError):
        verify_grant(grant, examples.chain(), master_key=MASTER)
    enrolment = sign(examples.enrolment(master_key=stranger.public_key), AUTHOR, stranger.key_id, stranger.sign)
    verify_enrolment(enrolment, master_key=stranger.public_key)
    with pytest.raises(DocumentError):
        verify_enrolment(enrolment, master_key=MASTER)
    agreement = examples.agreement(operator_key=stranger.public_key)
    with pytest.raises(DocumentError):
        verify_agreement(sign(agreement, SERVER, "ed25519:operator", stranger.sign), **KNOWN)


def test_an_amendment_belongs_to_its_grant_and_person() -> None:
    """An amendment of another grant or person does not verify against this grant."""
    grant = parse(Grant, examples.grant())
    for changes in ({"grant_id": "gr_" + "A" * 22}, {"person": "@correspondent:example.org"}):
        document = examples.amendment({"op": "shorten", "until": NOW + 1}, **changes)
        with pytest.raises(DocumentError):
            verify_amendment(document, examples.chain(), grant=grant, master_key=MASTER)


def test_a_successor_names_its_predecessor() -> None:
    """The next version carries the next number and the hash of the one before."""
    first = parse(Agreement, examples.agreement())
    second = parse(Agreement, examples.agreement(version=2, predecessor=first.hash))
    check_successor(first, second)
    for wrong in (
        parse(Agreement, examples.agreement(version=3, predecessor=first.hash)),
        parse(Agreement, examples.agreement(version=2, predecessor=random_id(1))),
        parse(Agreement, examples.agreement(version=2, predecessor=first.hash, partner="other")),
        first,
    ):
        with pytest.raises(DocumentError):
            check_successor(first, wrong)


def test_the_agreement_in_force_is_the_newest_begun() -> None:
    """A version that begins later leaves the older one in force; one that ran out does not bring it back."""
    first = parse(Agreement, examples.agreement())
    second = parse(Agreement, examples.agreement(version=2, predecessor=first.hash, **{"from": NOW, "until": NOW + 10}))
    for versions in ([first, second], [second, first]):
        assert agreement_in_force(versions, NOW - 1) == first
        assert agreement_in_force(versions, NOW) == second
        assert agreement_in_force(versions, NOW + 10) is None
    assert agreement_in_force([first], first.from_ - 1) is None
    assert agreement_in_force([], NOW) is None


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"verbs": ["metadata", "read", "friends"]}, ["verbs"]),
        ({"purposes": ["recommendations", "statistics", "advertising"]}, ["purposes"]),
        ({"max_duration_days": 91}, ["max_duration_days"]),
        ({"max_retention_days": 31}, ["max_retention_days"]),
        ({"until": NOW + 201 * DAY_MS}, ["until"]),
        ({"limits": {"requests_per_minute": 601}}, ["limits"]),
        ({"limits": {"requests_per_minute": 600, "drafts_per_day": 1}}, ["limits"]),
        ({"notice_days": 29}, ["notice_days"]),
        ({"verbs": ["friends"], "max_retention_days": 1}, ["verbs"]),
        ({"verbs": ["read"], "purposes": ["statistics"], "max_duration_days": 1, "limits": {}, "notice_days": 31}, []),
        ({"reason": "Another name.", "name": "Films", "ties": ["One director is the other's."]}, []),
    ],
)
def test_an_extension_begins_after_its_predecessors_notice(changes: dict[str, Any], found: list[str]) -> None:
    """Whatever allows more, or binds less, waits for as long as the version before promised; the rest does not."""
    first = parse(Agreement, examples.agreement())
    second = parse(Agreement, examples.agreement(version=2, predecessor=first.hash, **{"from": NOW, **changes}))
    later = NOW + 30 * DAY_MS
    assert extensions(first, second) == found
    assert begins(second, first, NOW) == (later if found else NOW)
    assert begins(second, first, NOW - 40 * DAY_MS) == NOW
    in_time = parse(Agreement, examples.agreement(version=2, predecessor=first.hash, **{**changes, "from": later}))
    check_notice(first, in_time, NOW)
    assert begins(in_time, first, NOW) == later
    if found:
        with pytest.raises(DocumentError, match=rf"30 days of notice .* extends {found[0]}"):
            check_notice(first, second, NOW)
        with pytest.raises(DocumentError):
            check_notice(first, in_time, NOW + 1)
    else:
        check_notice(first, second, NOW)


def test_without_notice_promised_an_extension_begins_at_its_time() -> None:
    """Who promised no notice owes none, and a first version extends nothing."""
    first = parse(Agreement, examples.agreement(notice_days=0))
    second = parse(Agreement, examples.agreement(version=2, predecessor=first.hash, verbs=["friends"], notice_days=0))
    assert begins(second, first, NOW) == second.from_
    assert begins(first, None, NOW) == first.from_
