"""The Megolm session this device sends with, one per room: who has its key, and when a new one begins.

Rotation: after 100 messages, after 7 days (or sooner where `m.room.encryption` says so), and whenever someone who has
the key may no longer have it. Whoever is added gets the key from the current index on, never an earlier one.
"""

from collections.abc import Iterable

import msgspec
from vodozemac import GroupSession

from paraph.sdk.engine.account import OlmAccount
from paraph.sdk.engine.inbound import InboundSessions
from paraph.sdk.engine.model import MEGOLM, RELATION, Json, Peer, RoomSettings
from paraph.sdk.engine.sent import SendRecord
from paraph.sdk.errors import SharingNeededError
from paraph.sdk.keystore import Records

TABLE = "outbound"
DAY_MS = 86_400_000
ROTATION_MS = 7 * DAY_MS
ROTATION_MESSAGES = 100
# A clock that was set back must not let a session live on for ever.
CLOCK_SLACK_MS = 3_600_000


class Recipient(msgspec.Struct, frozen=True):
    """A device that has the key of a session from `index` on."""

    user_id: str
    device_id: str
    curve25519: str
    index: int


class OutboundSession(msgspec.Struct, frozen=True):
    """The sending state of a room; `created` in milliseconds."""

    session_id: str
    pickle: str
    created: int
    messages: int
    recipients: tuple[Recipient, ...] = ()

    def __repr__(self) -> str:
        return f"OutboundSession({self.session_id}, {self.messages} messages)"

    def has(self, peer: Peer) -> bool:
        """Whether this very device (its keys included) was given the key."""
        return any(_names(r) == _names(peer) for r in self.recipients)


class OutboundSessions:
    """The rooms' sending sessions."""

    def __init__(self, records: Records, account: OlmAccount, inbound: InboundSessions) -> None:
        self._records = records
        self._account = account
        self._inbound = inbound
        self.sent = SendRecord(records)

    def current(self, room_id: str) -> OutboundSession | None:
        """The room's session, due for rotation or not."""
        return self._records.get(TABLE, room_id, OutboundSession)

    def all(self) -> list[OutboundSession]:
        """The session of each room that this device has one for."""
        return [session for _, session in self._records.items(TABLE, OutboundSession)]

    def due(self, settings: RoomSettings, allowed: Iterable[Peer], now: int) -> bool:
        """Whether the next message needs a new session, given the devices that may read it."""
        session = self.current(settings.room_id)
        if session is None:
            return True
        period = min(ROTATION_MS, max(settings.rotation_ms or ROTATION_MS, 1))
        most = min(ROTATION_MESSAGES, max(settings.rotation_messages or ROTATION_MESSAGES, 1))
        age = now - session.created
        if session.messages >= most or age >= period or age < -CLOCK_SLACK_MS:
            return True
        names = {_names(peer) for peer in allowed}
        return any(_names(recipient) not in names for recipient in session.recipients)

    def begin(self, room_id: str, now: int) -> OutboundSession:
        """Start a new session for the room, with nobody but this device having it."""
        group = GroupSession()
        pickle = group.pickle(self._records.pickle_key)
        session = OutboundSession(group.session_id, pickle, now, 0)
        self._records.put(TABLE, room_id, session)
        self._records.live[TABLE, room_id] = group
        self._inbound.add_key(
            self.room_key(room_id),
            self._account.user_id,
            self._account.curve25519,
            self._account.ed25519,
            self._account.device_id,
        )
        return session

    def discard(self, room_id: str) -> None:
        """The next message begins a new session."""
        self._records.delete(TABLE, room_id)

    def room_key(self, room_id: str) -> Json:
        """The `m.room_key` content that opens everything from the current index on."""
        group = self._group(room_id)
        return {
            "algorithm": MEGOLM,
            "room_id": room_id,
            "session_id": group.session_id,
            "session_key": group.session_key.to_base64(),
        }

    def index(self, room_id: str) -> int:
        """The index the next message will have."""
        return int(self._group(room_id).message_index)

    def shared(self, room_id: str, peer: Peer) -> None:
        """Note that the device gets the key from the current index on."""
        session = self._session(room_id)
        recipient = Recipient(peer.user_id, peer.device_id, peer.curve25519, self.index(room_id))
        self._records.put(TABLE, room_id, msgspec.structs.replace(session, recipients=(*session.recipients, recipient)))

    def encrypt(self, room_id: str, event_type: str, content: Json, now: int) -> Json:
        """The `m.room.encrypted` content of a room event; that it was written `now` is noted.

        Relations stay readable as Matrix wants them, in clear only: whose message this one answers is not for everybody
        who opens it.
        """
        session, group = self._session(room_id), self._group(room_id)
        sealed = {name: value for name, value in content.items() if name != RELATION}
        plaintext = msgspec.json.encode({"room_id": room_id, "type": event_type, "content": sealed})
        self.sent.note(room_id, session.session_id, session.created, int(group.message_index), now)
        ciphertext = group.encrypt(plaintext).to_base64()
        pickle = group.pickle(self._records.pickle_key)
        state = msgspec.structs.replace(session, pickle=pickle, messages=session.messages + 1)
        self._records.put(TABLE, room_id, state)
        encrypted = {
            "algorithm": MEGOLM,
            "sender_key": self._account.curve25519,
            "device_id": self._account.device_id,
            "session_id": group.session_id,
            "ciphertext": ciphertext,
        }
        if RELATION in content:
            encrypted[RELATION] = content[RELATION]
        return encrypted

    def _session(self, room_id: str) -> OutboundSession:
        session = self.current(room_id)
        if session is None:
            raise SharingNeededError("the room has no session to send with")
        return session

    def _group(self, room_id: str) -> GroupSession:
        live = self._records.live.get((TABLE, room_id))
        if live is None:
            live = GroupSession.from_pickle(self._session(room_id).pickle, self._records.pickle_key)
            self._records.live[TABLE, room_id] = live
        return live


def _names(device: Peer | Recipient) -> tuple[str, str, str]:
    return device.user_id, device.device_id, device.curve25519
