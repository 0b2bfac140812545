"""Ledger entries, labels, commitments and log leaves (docs/protocol.md §3 and §4).

Leaf forms, by first byte:
    0x00 ‖ canonical JSON {kind, partner, ts, document}             public
    0x01 ‖ week (2, big-endian) ‖ label (32) ‖ commitment (32)      private, 67 bytes
    0x02 ‖ canonical JSON {n, prev_size, map_root, time}            epoch
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from paraph.protocol.base64 import unb64url
from paraph.protocol.canonical import decode_canonical, encode
from paraph.protocol.errors import CanonicalJsonError, EntryError, LeafError, ProtocolError
from paraph.protocol.identifiers import PLATFORM, check_grant_id, check_slug, check_user_id, is_partner
from paraph.protocol.limits import DAY_MS, MAX_LEAF_BYTES, MAX_TIME

PUBLIC_KINDS = frozenset(
    {
        "agreement",
        "agreement-ended",
        "partner-device",
        "partner-device-ended",
        "platform",
        "consent-template",
        "report",
        "notice",
        "admin",
    }
)
ACCESS_KINDS = frozenset({"access", "draft", "delete", "disposal"})
"""Private kinds that lie under the access label of their grant; all others lie under the account label."""

BODY_MEMBERS: dict[str, tuple[frozenset[str], ...]] = {
    "device": (frozenset({"enrolment"}),),
    "grant": (frozenset({"grant", "chain"}),),
    "amend": (frozenset({"amendment", "chain"}),),
    "revoke": (frozenset({"revocation"}),),
    "key-share": (frozenset({"grant_id", "device_id", "partner_device_id", "session"}),),
    "access": (
        frozenset({"grant_id", "purpose", "room_id", "event_ids"}),  # messages
        frozenset({"grant_id", "purpose", "room_id", "media_ids"}),  # attachments
        frozenset({"grant_id", "purpose", "room_ids"}),  # when conversations began and went on, and with whom
        frozenset({"grant_id", "purpose", "friends"}),  # handles of friends
    ),
    "draft": (frozenset({"grant_id", "draft_id", "status", "room_id", "event_id"}),),
    "delete": (frozenset({"grant_id", "purpose", "verb", "room_id", "event_id", "redaction_id", "reason"}),),
    "disposal": (frozenset({"grant_id", "disposal"}),),
}
"""Members of an entry's body, for the kinds whose body is laid down: one of these sets."""

PRIVATE_KINDS = frozenset(BODY_MEMBERS) | {"export", "erase"}
OPENING_LENGTH = 32
LABEL_LENGTH = 32
MAX_WEEK = 2**16 - 2
"""The last week of a private leaf (it begins in December 3225): 0xFFFF marks public keys of the verifiable map."""
PRIVATE_LEAF_LENGTH = 1 + 2 + LABEL_LENGTH + 32

_PUBLIC, _PRIVATE, _EPOCH = b"\x00", b"\x01", b"\x02"
_ENTRY_MEMBERS = frozenset({"kind", "person", "partner", "day", "ts", "body"})
_EPOCH_MEMBERS = frozenset({"n", "prev_size", "map_root", "time"})
_PUBLIC_MEMBERS = frozenset({"kind", "partner", "ts", "document"})


@dataclass(frozen=True, slots=True)
class PublicLeaf:
    """A public record: anyone may read what it says."""

    kind: str
    partner: str
    ts: int
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PrivateLeaf:
    """A private record: it says nothing to whoever lacks its label's key and its openings."""

    week: int
    label: bytes
    commitment: bytes


@dataclass(frozen=True, slots=True)
class EpochLeaf:
    """The last leaf of a signed tree: epoch number, size of the signed tree before, map root, time."""

    n: int
    prev_size: int
    map_root: str | None
    time: int


Leaf = PublicLeaf | PrivateLeaf | EpochLeaf


def entry(kind: str, person: str, partner: str | None, ts: int, body: Mapping[str, Any]) -> dict[str, Any]:
    """An entry as it is committed to; `ts` in milliseconds, `partner` a slug or None. Raises EntryError."""
    made = {"kind": kind, "person": person, "partner": partner, "day": day_of(ts), "ts": ts, "body": dict(body)}
    check_entry(made)
    return made


def check_entry(value: Mapping[str, Any]) -> None:
    """Check members, kind, person, partner, day and the body's members; raises EntryError."""
    if not isinstance(value, Mapping) or set(value) != _ENTRY_MEMBERS:
        raise EntryError(f"expected an object with the members {sorted(_ENTRY_MEMBERS)}, found {str(value)[:200]}")
    kind, body = value["kind"], value["body"]
    if not isinstance(kind, str) or kind not in PRIVATE_KINDS:
        raise EntryError(f"expected a private kind, found {kind!r}")
    if value["day"] != day_of(value["ts"]):
        raise EntryError(f"expected the day of `ts`, {day_of(value['ts'])}, found {value['day']!r}")
    if not isinstance(body, Mapping) or set(body) not in BODY_MEMBERS.get(kind, (set(body),)):
        forms = " or ".join(str(sorted(members)) for members in BODY_MEMBERS.get(kind, ()))
        raise EntryError(f"expected the body of a {kind} entry: {forms}")
    _check_parties(value["person"], value["partner"])


def _check_parties(person: object, partner: object) -> None:
    try:
        if not isinstance(person, str) or is_partner(check_user_id(person)):
            raise EntryError(f"expected a person's user id, found {person!r}")
        if partner is not None and not (isinstance(partner, str) and check_slug(partner)):
            raise EntryError(f"expected a partner's slug or null, found {partner!r}")
    except EntryError:
        raise
    except ProtocolError as error:
        raise EntryError(str(error)) from error


def week_of(ts: int) -> int:
    """ISO week (Monday 00:00 UTC) of a time in milliseconds, counted from the one that holds 1970-01-01.

    Raises EntryError for times outside 0 ≤ t < 2^53.
    """
    return (_checked_time(ts) // DAY_MS + 3) // 7


def day_of(ts: int) -> str:
    """UTC date `YYYY-MM-DD` of a time in milliseconds; raises EntryError for times it has no date for."""
    try:
        return datetime.fromtimestamp(_checked_time(ts) // 1000, UTC).strftime("%Y-%m-%d")
    except (OverflowError, ValueError, OSError) as error:
        raise EntryError(f"expected a time before the year 10000, found {ts}") from error


def _checked_time(ts: object) -> int:
    if type(ts) is not int or not 0 <= ts <= MAX_TIME:
        raise EntryError(f"expected a time in milliseconds, 0 ≤ t < 2^53, found {ts!r}")
    return ts


def account_key(k: bytes) -> bytes:
    """Key of a person's account labels, from the 32-byte account log key."""
    return _hmac(_exactly(k, 32, "account log key"), b"paraph/account-key/v1")


def account_label(k: bytes, week: int) -> bytes:
    """Label (32 bytes) of a person's own entries of one week, from the account log key."""
    return _hmac(account_key(k), b"paraph/label/v1" + _week_bytes(week))


def grant_key(k: bytes, grant_id: str) -> bytes:
    """Key (32 bytes) of a grant's access labels, from the account log key; the partner gets it over Olm."""
    return _hmac(_exactly(k, 32, "account log key"), b"paraph/grant-key/v1" + check_grant_id(grant_id).encode("ascii"))


def access_label(k_grant: bytes, week: int) -> bytes:
    """Label (32 bytes) of what a partner does under a grant in one week, from the grant's key."""
    return _hmac(_exactly(k_grant, 32, "grant key"), b"paraph/label/v1" + _week_bytes(week))


def public_label(partner: str) -> bytes:
    """Label (32 bytes) of the public records about a partner's slug, or about `platform`."""
    return hashlib.sha256(b"paraph/public/v1" + _checked_subject(partner).encode("ascii")).digest()


def commitment(entry: Mapping[str, Any], o1: bytes, o2: bytes) -> bytes:
    """Two-part commitment (32 bytes) to an entry under two random openings of 32 bytes each.

    The first half opens to day, kind and partner alone, so that totals can be disclosed without naming people.
    Raises EntryError for openings of another length or an entry that lacks these members.
    """
    try:
        totals = {member: entry[member] for member in ("day", "kind", "partner")}
    except KeyError as error:
        raise EntryError(f"expected an entry, found no {error}") from error
    return join_commitment(first_half(totals, o1), second_half(entry, o2))


def first_half(totals: Mapping[str, Any], o1: bytes) -> bytes:
    """HMAC (32 bytes) of `{day, kind, partner}` under the first opening: what a disclosure of totals opens."""
    return _hmac(_exactly(o1, OPENING_LENGTH, "opening"), encode(dict(totals)))


def second_half(entry: Mapping[str, Any], o2: bytes) -> bytes:
    """HMAC (32 bytes) of the whole entry under the second opening: it says nothing to whoever lacks that."""
    return _hmac(_exactly(o2, OPENING_LENGTH, "opening"), encode(dict(entry)))


def join_commitment(first: bytes, second: bytes) -> bytes:
    """The commitment of its two halves: SHA-256(first ‖ second)."""
    return hashlib.sha256(_exactly(first, 32, "half") + _exactly(second, 32, "half")).digest()


def public_leaf(kind: str, partner: str, ts: int, document: Mapping[str, Any]) -> bytes:
    """Leaf of a public record about a partner's slug or `platform`.

    Raises LeafError for an unknown kind, a malformed subject or time, or a leaf over 65,535 bytes;
    CanonicalJsonError for a document without canonical form.
    """
    _check_public(kind, partner, ts)
    record = {"kind": kind, "partner": partner, "ts": ts, "document": dict(document)}
    return _bounded(_PUBLIC + encode(record))


def private_leaf(week: int, label: bytes, commitment: bytes) -> bytes:
    """Leaf (67 bytes) of a private entry; raises EntryError for a week or length out of bounds."""
    return (
        _PRIVATE + _week_bytes(week) + _exactly(label, LABEL_LENGTH, "label") + _exactly(commitment, 32, "commitment")
    )


def epoch_leaf(n: int, prev_size: int, map_root: str | None, time: int) -> bytes:
    """Last leaf of a signed tree; `map_root` is base64url of 32 bytes, or None. Raises LeafError."""
    members = {"n": n, "prev_size": prev_size, "map_root": map_root, "time": time}
    _check_epoch(members)
    return _EPOCH + encode(members)


def parse_leaf(leaf: bytes) -> Leaf:
    """Parse a leaf that must be in its one canonical form; raises LeafError."""
    first = _bounded(leaf)[:1]
    if first == _PRIVATE:
        return _parse_private(leaf)
    if first == _PUBLIC:
        members = _members(leaf, _PUBLIC_MEMBERS)
        _check_public(members["kind"], members["partner"], members["ts"])
        if not isinstance(members["document"], dict):
            raise LeafError("expected an object as a public leaf's document")
        return PublicLeaf(**members)
    if first == _EPOCH:
        members = _members(leaf, _EPOCH_MEMBERS)
        _check_epoch(members)
        return EpochLeaf(**members)
    raise LeafError(f"expected a leaf that begins with 0x00, 0x01 or 0x02, found {first.hex() or 'nothing'}")


def _parse_private(leaf: bytes) -> PrivateLeaf:
    if len(leaf) != PRIVATE_LEAF_LENGTH:
        raise LeafError(f"expected a private leaf of {PRIVATE_LEAF_LENGTH} bytes, found {len(leaf)}")
    week = int.from_bytes(leaf[1:3], "big")
    if week > MAX_WEEK:
        raise LeafError(f"expected a week from 0 to {MAX_WEEK}, found {week}")
    return PrivateLeaf(week=week, label=leaf[3:35], commitment=leaf[35:])


def _members(leaf: bytes, expected: frozenset[str]) -> dict[str, Any]:
    try:
        members = decode_canonical(leaf[1:])
    except CanonicalJsonError as error:
        raise LeafError(str(error)) from error
    if not isinstance(members, dict) or members.keys() != expected:
        raise LeafError(f"expected an object with the members {sorted(expected)}")
    return members


def _check_public(kind: object, partner: object, ts: object) -> None:
    if not isinstance(kind, str) or kind not in PUBLIC_KINDS:
        raise LeafError(f"expected a public kind, found {kind!r}")
    try:
        _checked_subject(partner)
        _checked_time(ts)
    except ProtocolError as error:
        raise LeafError(str(error)) from error


def _check_epoch(members: Mapping[str, Any]) -> None:
    numbers = (members["n"], members["prev_size"], members["time"])
    if not all(type(number) is int and 0 <= number <= MAX_TIME for number in numbers):
        raise LeafError("expected n, prev_size and time as integers from 0 to 2^53-1")
    map_root = members["map_root"]
    if map_root is None:
        return
    try:
        unb64url(map_root if isinstance(map_root, str) else "", 32)
    except ProtocolError as error:
        raise LeafError(f"expected map_root as null or base64url of 32 bytes: {error}") from error


def _checked_subject(partner: object) -> str:
    if not isinstance(partner, str):
        raise EntryError(f"expected a partner's slug or `{PLATFORM}`, found {partner!r}")
    return partner if partner == PLATFORM else check_slug(partner)


def _bounded(leaf: bytes) -> bytes:
    if len(leaf) > MAX_LEAF_BYTES:
        raise LeafError(f"expected a leaf of at most {MAX_LEAF_BYTES} bytes, found {len(leaf)}")
    return leaf


def _week_bytes(week: int) -> bytes:
    if not 0 <= week <= MAX_WEEK:
        raise EntryError(f"expected a week from 0 to {MAX_WEEK}, found {week}")
    return week.to_bytes(2, "big")


def _exactly(data: bytes, length: int, name: str) -> bytes:
    if len(data) != length:
        raise EntryError(f"expected {length} bytes as {name}, found {len(data)}")
    return data


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")
