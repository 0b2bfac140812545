"""Megolm sessions of others (and this device's own, read back): who owns them, and opening messages with them.

A session is known by its id *and* its owner: whoever was handed a session key can send it on as if it were theirs, so
several claims to one id may lie side by side, and a message opens only with the session its own sender owns.
"""

from typing import Any

import msgspec
from vodozemac import ExportedSessionKey, InboundGroupSession, MegolmMessage, SessionKey

from paraph.sdk.engine.model import MEGOLM, RELATION, Json
from paraph.sdk.errors import DecryptionError
from paraph.sdk.keystore import Records

TABLE = "inbound"
SEEN = "seen"
WITHHELD = "withheld"
# Of one owner: others who know a session cannot use up the place of whoever owns it.
MAX_CLAIMS = 16
OWNER = "org.paraph.owner"


class InboundSession(msgspec.Struct, frozen=True, omit_defaults=True):
    """A session's key with its provenance. `direct`: it came over Olm from the device that owns it."""

    session_id: str
    room_id: str
    owner: str
    sender_key: str
    ed25519: str
    device_id: str | None
    direct: bool
    first_index: int
    pickle: str

    def __repr__(self) -> str:
        return f"InboundSession({self.session_id}, {self.room_id}, {self.owner})"

    def same_claim(self, other: "InboundSession") -> bool:
        """Whether both say the same about whose session this is."""
        return (self.room_id, self.owner, self.sender_key) == (other.room_id, other.owner, other.sender_key)


class Opened(msgspec.Struct, frozen=True):
    """Plaintext of a room event with the session that opened it."""

    type: str
    content: Json
    index: int
    session: InboundSession


class InboundSessions:
    """All sessions this device can read with."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def claims(self, session_id: str) -> list[InboundSession]:
        """The sessions known under that id, one for each owner who sent it."""
        return self._records.get(TABLE, session_id, list[InboundSession]) or []

    def all(self) -> list[InboundSession]:
        """Every session."""
        return [session for _, claims in self._records.items(TABLE, list[InboundSession]) for session in claims]

    def ids(self) -> list[str]:
        """The ids of all sessions."""
        return self._records.names(TABLE)

    def add_key(self, content: Json, owner: str, sender_key: str, ed25519: str, device_id: str | None) -> str | None:
        """Take in an `m.room_key` that the owner's device sent; the session id if something new can be read now."""
        if content.get("algorithm") != MEGOLM:
            return None
        try:
            group = InboundGroupSession(SessionKey(content["session_key"]))
        except (KeyError, TypeError, ValueError):
            return None
        room_id = content.get("room_id")
        if not isinstance(room_id, str) or group.session_id != content.get("session_id"):
            return None
        return self._adopt(group, room_id, owner, sender_key, ed25519, device_id, direct=True)

    def add_older_key(
        self, content: Json, owner: str, sender_key: str, ed25519: str, device_id: str | None
    ) -> str | None:
        """Take in an `org.paraph.history_key`: the owner's device gives its own session from an earlier index on."""
        if content.get("algorithm") != MEGOLM:
            return None
        try:
            group = InboundGroupSession.import_session(ExportedSessionKey(content["session_key"]))
        except (KeyError, TypeError, ValueError):
            return None
        room_id = content.get("room_id")
        if not isinstance(room_id, str) or group.session_id != content.get("session_id"):
            return None
        return self._adopt(group, room_id, owner, sender_key, ed25519, device_id, direct=True)

    def own_key(self, session_id: str, sender_key: str, index: int) -> str | None:
        """This device's own session from an index on, in the form of key exports; None if it has none such."""
        for session in self.claims(session_id):
            if session.direct and session.sender_key == sender_key:
                key = self._group(session).export_at(index)
                return None if key is None else key.to_base64()
        return None

    def export(self, sessions: list[InboundSession] | None = None) -> list[Json]:
        """Sessions in the shape of Matrix key exports, each from its first known index, with its owner's user id."""
        exported = []
        for session in self.all() if sessions is None else sessions:
            key = self._group(session).export_at(session.first_index)
            if key is not None:
                exported.append(_exported(session, key.to_base64()))
        return exported

    def import_(self, exported: list[Json]) -> int:
        """Take in what `export` of another device of the same person gave; how many sessions were new."""
        added = 0
        for item in exported:
            try:
                group = InboundGroupSession.import_session(ExportedSessionKey(item["session_key"]))
                room_id, owner = str(item["room_id"]), str(item[OWNER])
                sender_key, ed = str(item["sender_key"]), str(item["sender_claimed_keys"]["ed25519"])
            except (KeyError, TypeError, ValueError):
                continue
            if group.session_id == item.get("session_id"):
                added += self._adopt(group, room_id, owner, sender_key, ed, None, direct=False) is not None
        return added

    def drop(self, session_id: str, owner: str) -> bool:
        """Within a step: forget an owner's session, and which of its messages were opened; whether there was one."""
        claims = self.claims(session_id)
        gone = [session for session in claims if session.owner == owner]
        kept = [session for session in claims if session.owner != owner]
        if kept:
            self._records.put(TABLE, session_id, kept)
        else:
            self._records.delete(TABLE, session_id)
        for session in gone:
            self._records.live.pop(_live_name(session), None)
            for name in self._records.names(SEEN, f"{session_id}/{session.sender_key}/"):
                self._records.delete(SEEN, name)
        return bool(gone)

    def withhold(self, session_id: str, sender: str, reason: str) -> None:
        """Remember that `sender` said it will not give this session's key."""
        self._records.put(WITHHELD, f"{session_id}/{sender}", reason[:200])

    def open(self, event: Json, room_id: str) -> Opened:
        """Open an `m.room.encrypted` room event. Raises DecryptionError; code `unknown-session` may pass with time."""
        content = event.get("content")
        if not isinstance(content, dict) or content.get("algorithm") != MEGOLM:
            raise DecryptionError("malformed", "not a Megolm message")
        session = self._session_for(content, event.get("sender"), room_id)
        try:
            message = MegolmMessage.from_base64(content["ciphertext"])
        except (KeyError, TypeError, ValueError) as error:
            raise DecryptionError("malformed", f"not a Megolm message: {error}") from error
        if message.message_index() < session.first_index:
            raise DecryptionError("unknown-index", "the key this device has begins after this message")
        try:
            opened = self._group(session).decrypt(message)
        except ValueError as error:
            raise DecryptionError("undecryptable", f"the message does not open: {error}") from error
        event_type, inner = _plaintext(opened.plaintext, room_id)
        if RELATION in content:
            inner = {RELATION: content[RELATION]} | inner
        self._note_index(session, opened.message_index, event)
        return Opened(event_type, inner, opened.message_index, session)

    def was_opened(self, event: Json) -> bool:
        """Whether this very event was opened before."""
        content = event.get("content")
        if not isinstance(content, dict) or not isinstance(content.get("session_id"), str):
            return False
        try:
            index = MegolmMessage.from_base64(content["ciphertext"]).message_index()
        except (KeyError, TypeError, ValueError):
            return False
        claims = (session for session in self.claims(content["session_id"]) if session.owner == event.get("sender"))
        names = (f"{session.session_id}/{session.sender_key}/{index}" for session in claims)
        return any(self._records.get(SEEN, name, list[str]) == _origin(event) for name in names)

    def _session_for(self, content: Json, sender: Any, room_id: str) -> InboundSession:
        session_id = content.get("session_id")
        if not isinstance(session_id, str) or not isinstance(sender, str):
            raise DecryptionError("malformed", "the message names no session or sender")
        claims = self.claims(session_id)
        owned = [s for s in claims if s.owner == sender and s.room_id == room_id]
        named = content.get("sender_key")
        fitting = [s for s in owned if named in (None, s.sender_key)]
        if fitting:
            session = fitting[0]
            if content.get("device_id") not in (None, session.device_id) and session.device_id is not None:
                raise DecryptionError("wrong-device", "the message names another device than its session's owner")
            return session
        if owned:
            raise DecryptionError("wrong-device", "the message names another sender key than its session's owner")
        if claims:
            raise DecryptionError("wrong-owner", "the session belongs to another user or room than the message")
        reason = self._records.get(WITHHELD, f"{session_id}/{sender}", str)
        if reason is not None:
            raise DecryptionError("withheld", f"the sender withheld the key: {reason}")
        raise DecryptionError("unknown-session", "the key of this message has not arrived")

    def _adopt(
        self,
        group: InboundGroupSession,
        room_id: str,
        owner: str,
        sender_key: str,
        ed25519: str,
        device_id: str | None,
        *,
        direct: bool,
    ) -> str | None:
        pickle, first = group.pickle(self._records.pickle_key), group.first_known_index
        found = InboundSession(group.session_id, room_id, owner, sender_key, ed25519, device_id, direct, first, pickle)
        claims = self.claims(found.session_id)
        known = next((s for s in claims if s.same_claim(found)), None)
        if known is None and sum(s.owner == owner for s in claims) >= MAX_CLAIMS:
            return None
        if known is not None and not self._improves(known, found, group):
            return None
        self._records.put(TABLE, found.session_id, [found, *(s for s in claims if s is not known)])
        self._records.live.pop(_live_name(found), None)
        return found.session_id

    def _improves(self, known: InboundSession, found: InboundSession, group: InboundGroupSession) -> bool:
        """A second key for a session counts only if both agree where they overlap, and it reaches further back.

        A direct key also replaces an imported one of the same reach, since its provenance is better.
        """
        overlap = max(known.first_index, found.first_index)
        mine, theirs = self._group(known).export_at(overlap), group.export_at(overlap)
        if mine is None or theirs is None or mine.to_base64() != theirs.to_base64():
            return False
        if known.direct and not found.direct:
            return False
        if found.direct and not known.direct:
            return found.first_index <= known.first_index
        return found.first_index < known.first_index

    def _group(self, session: InboundSession) -> InboundGroupSession:
        live = self._records.live.get(_live_name(session))
        if live is None:
            live = InboundGroupSession.from_pickle(session.pickle, self._records.pickle_key)
            self._records.live[_live_name(session)] = live
        return live

    def _note_index(self, session: InboundSession, index: int, event: Json) -> None:
        """A message index belongs to one event; the same ciphertext under another event is a replay."""
        name = f"{session.session_id}/{session.sender_key}/{index}"
        origin = _origin(event)
        known = self._records.get(SEEN, name, list[str])
        if known is not None and known != origin:
            raise DecryptionError("replay", "this message was shown before as another event")
        self._records.put(SEEN, name, origin)


def _origin(event: Json) -> list[str]:
    return [str(event.get("event_id")), str(event.get("origin_server_ts"))]


def _live_name(session: InboundSession) -> tuple[str, str]:
    return TABLE, f"{session.session_id}/{session.owner}/{session.sender_key}/{session.room_id}"


def _plaintext(data: bytes, room_id: str) -> tuple[str, Json]:
    try:
        payload = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecryptionError("malformed", f"the message is no JSON object: {error}") from error
    if not isinstance(payload, dict) or payload.get("room_id") != room_id:
        raise DecryptionError("wrong-room", "the message was written for another room")
    event_type, content = payload.get("type"), payload.get("content")
    if not isinstance(event_type, str) or not isinstance(content, dict):
        raise DecryptionError("malformed", "the message lacks type or content")
    return event_type, content


def _exported(session: InboundSession, key: str) -> Json:
    return {
        "algorithm": MEGOLM,
        "room_id": session.room_id,
        "session_id": session.session_id,
        "session_key": key,
        "sender_key": session.sender_key,
        "sender_claimed_keys": {"ed25519": session.ed25519},
        "forwarding_curve25519_key_chain": [],
        OWNER: session.owner,
    }
