"""From what a client sends to what is stored: bounds, canonical form, event id.

The event id is `$` and the base64url SHA-256 of the canonical JSON of `{room, sender, device, type, content, ts,
nonce}` and, for state, `state_key`; so whoever names an event id has named its content, ciphertext included. Content is
serialised once, and those bytes go both into the hash and into the stored client event. The create event of a room of
version 12 or newer has an empty room in its hash, since the room is named by it.
"""

import hashlib
import secrets
from base64 import urlsafe_b64encode
from typing import Any

import msgspec

from paraph.protocol import canonical
from paraph.protocol.errors import CanonicalJsonError
from paraph.server.messenger.errors import bad_json, invalid, too_large
from paraph.server.messenger.model import Event
from paraph.server.messenger.versions import RoomVersion

MAX_EVENT_BYTES = 65_536
"""Bytes of a complete client event (Client-Server API, "Size limits")."""
MAX_NAME_BYTES = 255
"""Bytes of an event type, state key, transaction id and the like."""

_encode = msgspec.json.Encoder().encode


def new_nonce() -> str:
    """16 random bytes, base64url."""
    return secrets.token_urlsafe(16)


def check_name(what: str, value: str) -> str:
    """`value` itself if it is at most 255 bytes of text that every database can hold; raises M_INVALID_PARAM."""
    if not value.isascii():
        try:
            size = len(value.encode())
        except UnicodeEncodeError:
            raise invalid(f"{what} is not Unicode text") from None
    else:
        size = len(value)
    if size > MAX_NAME_BYTES:
        raise invalid(f"{what} is {size} bytes long; at most {MAX_NAME_BYTES} are possible")
    if "\x00" in value:
        raise invalid(f"{what} holds a zero character")
    return value


def canonical_content(content: dict[str, Any]) -> bytes:
    """Canonical JSON of `content`; raises M_BAD_JSON for floats, huge integers and too much nesting."""
    try:
        return canonical.encode(content)
    except CanonicalJsonError as error:
        raise bad_json(f"the content has no canonical JSON form: {error}") from None


def seal(
    room_id: str,
    sender: str,
    device_id: str,
    event_type: str,
    content: bytes,
    ts: int,
    *,
    state_key: str | None = None,
    extra: bytes = b"",
    unsigned: bytes = b"",
    nonce: str | None = None,
    txn_id: str | None = None,
) -> Event:
    """An event without a position yet, from canonical `content`; raises M_TOO_LARGE.

    `extra` are further members of the client event, each with a comma before it. `unsigned`, where there is any, is an
    object that is not empty; it comes last (see `shown`), and is no part of what may be only so large.
    """
    nonce = nonce or new_nonce()
    room, who, kind = _encode(room_id), _encode(sender), _encode(event_type)
    key = b"" if state_key is None else b',"state_key":' + _encode(state_key)
    hashed = b'{"content":%b,"device":%b,"nonce":"%b","room":%b,"sender":%b%b,"ts":%d,"type":%b}' % (
        content,
        _encode(device_id),
        nonce.encode(),
        room,
        who,
        key,
        ts,
        kind,
    )
    event_id = "$" + urlsafe_b64encode(hashlib.sha256(hashed).digest())[:43].decode()
    json = b'{"content":%b,"event_id":"%b","origin_server_ts":%d,"sender":%b%b,"type":%b%b}' % (
        content,
        event_id.encode(),
        ts,
        who,
        key,
        kind,
        extra,
    )
    if len(json) + len(room) + 11 > MAX_EVENT_BYTES:
        raise too_large(f"the event is larger than {MAX_EVENT_BYTES} bytes")
    if unsigned:
        json = b'%b,"unsigned":%b}' % (json[:-1], unsigned)
    return Event(0, event_id, room_id, sender, device_id, event_type, state_key, ts, nonce, txn_id, None, json)


def full(event: Event) -> bytes:
    """The client event with its `room_id`."""
    return b'%b,"room_id":%b}' % (event.json[:-1], _encode(event.room_id))


def for_device(event: Event, user_id: str, device_id: str) -> bytes:
    """The client event as one device gets it: the sending one finds its transaction id again."""
    if event.txn_id is None or event.device_id != device_id or event.sender != user_id or event.redacted_by:
        return event.json
    return b'%b,"unsigned":{"transaction_id":%b}}' % (event.json[:-1], _encode(event.txn_id))


def shown(event: Event, user_id: str, device_id: str, membership: str) -> bytes:
    """As `for_device`, with what the person was to the room then (`unsigned.membership`).

    Nothing is parsed: of all members only `unsigned`, the last one, ends in a brace of its own.
    """
    told = b'"membership":"%b"' % membership.encode()
    if event.txn_id is not None and event.device_id == device_id and event.sender == user_id and not event.redacted_by:
        told = b'%b,"transaction_id":%b' % (told, _encode(event.txn_id))
    if event.json.endswith(b"}}"):
        return b"%b,%b}}" % (event.json[:-2], told)
    return b'%b,"unsigned":{%b}}' % (event.json[:-1], told)


def full_for_device(event: Event, user_id: str, device_id: str) -> bytes:
    """As `for_device`, with `room_id`."""
    return b'%b,"room_id":%b}' % (for_device(event, user_id, device_id)[:-1], _encode(event.room_id))


def with_membership(event: Event, user_id: str, device_id: str, membership: str) -> bytes:
    """As `full_for_device`, with what the person was to the room when it happened (`unsigned.membership`)."""
    json = shown(event, user_id, device_id, membership)
    return b'%b,"room_id":%b}' % (json[:-1], _encode(event.room_id))


def stripped(event: Event) -> bytes:
    """Stripped state, as invitees see it: content, sender, state key and type."""
    return _encode(_stripped.decode(event.json))


class _Stripped(msgspec.Struct):
    content: msgspec.Raw
    sender: str
    state_key: str
    type: str


_stripped = msgspec.json.Decoder(_Stripped)


def txn_key(user_id: str, device_id: str, *endpoint: str) -> bytes:
    """What makes a request the same one as before: its device, its endpoint and its transaction id, hashed."""
    return hashlib.blake2b(_encode((user_id, device_id, endpoint)), digest_size=16).digest()


def without_previous(event: Event) -> bytes:
    """The client event without the content that it replaced, which has been redacted meanwhile."""
    members = msgspec.json.decode(event.json)
    members.get("unsigned", {}).pop("prev_content", None)
    return _encode(members)


def redacted(event: Event, redaction: Event, version: RoomVersion) -> bytes:
    """The client event with only what the room's version keeps of its content, and the redaction beside it."""
    members: dict[str, Any] = {
        "content": _kept(event, version),
        "event_id": event.event_id,
        "origin_server_ts": event.ts,
        "sender": event.sender,
    }
    if event.state_key is not None:
        members["state_key"] = event.state_key
    members["type"] = event.type
    members["unsigned"] = {"redacted_because": msgspec.Raw(full(redaction)), "redacted_by": redaction.event_id}
    return _encode(members)


def _kept(event: Event, version: RoomVersion) -> dict[str, Any]:
    names, content = version.kept(event.type), event.content
    kept = {name: value for name, value in content.items() if names is None or name in names}
    invitation = kept.pop("third_party_invite", None)
    if isinstance(invitation, dict) and "signed" in invitation:
        kept["third_party_invite"] = {"signed": invitation["signed"]}
    return kept
