"""Olm: the pairwise ratchets that carry keys and other to-device messages between two devices.

Several sessions may exist with one peer; the one last used for receiving is used for sending (Matrix, "Recovering from
undecryptable messages"). Each payload names sender, recipient and both signing keys, all checked on receipt.

Anybody can list another's Curve25519 key as that of a device of her own. She cannot open what goes there, but a session
made with her one-time key would lead the owner's messages astray: sessions belong to both keys of a device.
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec
from vodozemac import AnyOlmMessage, Curve25519PublicKey, Session

from paraph.protocol.base64 import b64, unb64
from paraph.protocol.canonical import encode
from paraph.protocol.errors import ProtocolError
from paraph.protocol.signing import verify
from paraph.sdk.engine.account import OlmAccount
from paraph.sdk.engine.model import OLM, Json, Peer
from paraph.sdk.errors import DecryptionError
from paraph.sdk.keystore import Records

TABLE = "olm"
MAX_SESSIONS = 5
# Of all devices that list one Curve25519 key, since whoever sends may claim any signing key.
MAX_SESSIONS_OF_KEY = 100
PREKEY = 0


class OlmSessionRecord(msgspec.Struct, frozen=True):
    """A ratchet with one peer; `used` is when it last received (or was made), in milliseconds.

    `ed25519` is the peer's signing key: of the device it was made for, or as the first message received claims.
    """

    session_id: str
    ed25519: str
    pickle: str
    used: int


@dataclass(frozen=True, slots=True)
class OlmPayload:
    """An opened Olm message. `ed25519` is the signing key the sender claims; the device list has to agree."""

    sender: str
    sender_key: str
    ed25519: str
    sender_device: str | None
    type: str
    content: Json = field(repr=False)


class OlmSessions:
    """All Olm sessions of this device."""

    def __init__(self, records: Records, account: OlmAccount) -> None:
        self._records = records
        self._account = account

    def has(self, peer: Peer) -> bool:
        """Whether a message to this device can be encrypted now."""
        return self._newest(peer) is not None

    def establish(self, peer: Peer, one_time_key: Any, now: int) -> bool:
        """Begin a session from a claimed key; False when the key is not signed by the peer's device."""
        try:
            verify(one_time_key, peer.user_id, f"ed25519:{peer.device_id}", peer.ed25519)
            key = Curve25519PublicKey.from_base64(one_time_key["key"])
            identity = Curve25519PublicKey.from_base64(peer.curve25519)
            session = self._account.olm.create_outbound_session(identity, key)
        except (ProtocolError, ValueError, KeyError, TypeError, AttributeError):
            return False
        self._save(peer.curve25519, peer.ed25519, session, now)
        return True

    def encrypt(self, peer: Peer, event_type: str, content: Json) -> Json:
        """The `m.room.encrypted` content that carries the event to the peer. Needs a session (`has`)."""
        record = self._newest(peer)
        if record is None:
            raise ValueError(f"no Olm session reaches {peer.device_id} of {peer.user_id}")
        session = self._session(peer.curve25519, record)
        payload = {
            "type": event_type,
            "content": content,
            "sender": self._account.user_id,
            "sender_device": self._account.device_id,
            "keys": {"ed25519": self._account.ed25519},
            "recipient": peer.user_id,
            "recipient_keys": {"ed25519": peer.ed25519},
        }
        kind, body = session.encrypt(encode(payload)).to_parts()
        self._save(peer.curve25519, record.ed25519, session, record.used)
        ciphertext = {peer.curve25519: {"type": kind, "body": b64(body)}}
        return {"algorithm": OLM, "sender_key": self._account.curve25519, "ciphertext": ciphertext}

    def decrypt(self, sender: str, content: Json, now: int) -> OlmPayload:
        """Open a to-device `m.room.encrypted` content of `sender`. Raises DecryptionError.

        The code is `olm-undecryptable` when the ratchets have lost each other, so that a new session may help.
        """
        sender_key, message = self._message(content)
        payload = _payload(self._plaintext(sender_key, message, now))
        keys, recipient_keys = payload.get("keys"), payload.get("recipient_keys")
        if payload.get("sender") != sender:
            raise DecryptionError("olm-sender", "the message names another sender than the server does")
        if payload.get("recipient") != self._account.user_id:
            raise DecryptionError("olm-recipient", "the message is for another user")
        if not isinstance(recipient_keys, dict) or recipient_keys.get("ed25519") != self._account.ed25519:
            raise DecryptionError("olm-recipient", "the message is for another device")
        claimed = keys.get("ed25519") if isinstance(keys, dict) else None
        event_type, inner, device = payload.get("type"), payload.get("content"), payload.get("sender_device")
        if not isinstance(claimed, str) or not isinstance(event_type, str) or not isinstance(inner, dict):
            raise DecryptionError("olm-malformed", "the message lacks type, content or keys")
        named = device if isinstance(device, str) else None
        return OlmPayload(sender, sender_key, claimed, named, event_type, inner)

    def _message(self, content: Json) -> tuple[str, AnyOlmMessage]:
        sender_key, ciphertext = content.get("sender_key"), content.get("ciphertext")
        if content.get("algorithm") != OLM or not isinstance(sender_key, str) or not isinstance(ciphertext, dict):
            raise DecryptionError("olm-malformed", "not an Olm message")
        part = ciphertext.get(self._account.curve25519)
        if not isinstance(part, dict):
            raise DecryptionError("olm-recipient", "the message holds nothing for this device")
        try:
            Curve25519PublicKey.from_base64(sender_key)
            return sender_key, AnyOlmMessage.from_parts(part["type"], unb64(part["body"]))
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError, ProtocolError) as error:
            raise DecryptionError("olm-malformed", f"not an Olm message: {error}") from error

    def _plaintext(self, sender_key: str, message: AnyOlmMessage, now: int) -> bytes:
        prekey = message.to_pre_key()
        known = False
        for record in self._of(sender_key):
            session = self._session(sender_key, record)
            if prekey is not None and not session.session_matches(prekey):
                continue
            known = prekey is not None
            try:
                plaintext = session.decrypt(message)
            except ValueError:
                # A failed attempt may leave the live object ahead of its record.
                self._records.live.pop((TABLE, f"{sender_key}/{record.session_id}"), None)
                continue
            self._save(sender_key, record.ed25519, session, now)
            return plaintext
        # A pre-key message of a known session that does not open is a replay: a fallback key would let it in again.
        if prekey is None or known:
            raise DecryptionError("olm-undecryptable", "no session opens this message")
        try:
            identity = Curve25519PublicKey.from_base64(sender_key)
            session, plaintext = self._account.olm.create_inbound_session(identity, prekey)
        except ValueError as error:
            raise DecryptionError("olm-undecryptable", f"no session can be made from this message: {error}") from error
        self._account.save()
        self._save(sender_key, _claimed_ed25519(plaintext), session, now)
        return plaintext

    def _of(self, curve25519: str) -> list[OlmSessionRecord]:
        return self._records.get(TABLE, curve25519, list[OlmSessionRecord]) or []

    def _newest(self, peer: Peer) -> OlmSessionRecord | None:
        return next((r for r in self._of(peer.curve25519) if r.ed25519 == peer.ed25519), None)

    def _session(self, curve25519: str, record: OlmSessionRecord) -> Session:
        name = (TABLE, f"{curve25519}/{record.session_id}")
        live = self._records.live.get(name)
        if live is None:
            live = Session.from_pickle(record.pickle, self._records.pickle_key)
            self._records.live[name] = live
        return live

    def _save(self, curve25519: str, ed25519: str, session: Session, used: int) -> None:
        """Keep the session, most recently used first; the oldest ones of the same device go."""
        record = OlmSessionRecord(session.session_id, ed25519, session.pickle(self._records.pickle_key), used)
        others = [r for r in self._of(curve25519) if r.session_id != record.session_id]
        ordered = sorted([record, *others], key=lambda r: -r.used)
        surplus = [r for r in ordered if r.ed25519 == ed25519][MAX_SESSIONS:]
        kept = [r for r in ordered if r not in surplus][:MAX_SESSIONS_OF_KEY]
        for dropped in (r for r in ordered if r not in kept):
            self._records.live.pop((TABLE, f"{curve25519}/{dropped.session_id}"), None)
        self._records.put(TABLE, curve25519, kept)
        self._records.live[TABLE, f"{curve25519}/{record.session_id}"] = session


def _claimed_ed25519(plaintext: bytes) -> str:
    """The sender's signing key as a payload claims it; "" where it claims none."""
    try:
        keys = _payload(plaintext).get("keys")
    except DecryptionError:
        return ""
    key = keys.get("ed25519") if isinstance(keys, dict) else None
    return key if isinstance(key, str) else ""


def _payload(plaintext: bytes) -> Json:
    try:
        payload = msgspec.json.decode(plaintext)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecryptionError("olm-malformed", f"the message is no JSON object: {error}") from error
    if not isinstance(payload, dict):
        raise DecryptionError("olm-malformed", "the message is no JSON object")
    return payload
