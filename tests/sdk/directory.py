"""A key directory in memory, with as many devices as a test needs: the engine's counterpart, without HTTP."""

from __future__ import annotations

import os
from typing import Any

from paraph.sdk.engine import DeviceEngine
from paraph.sdk.engine.cross_signing import IdentitySeeds
from paraph.sdk.engine.model import (
    Decrypted,
    DeviceSigningUpload,
    GrantView,
    KeysClaim,
    KeyShare,
    KeysQuery,
    KeysUpload,
    PartnerAccess,
    Peer,
    Received,
    RoomSettings,
    SendToDevice,
    SignaturesUpload,
    SyncPart,
)
from paraph.sdk.errors import DecryptionError
from paraph.sdk.keystore import MemoryStore, Records, Store

ROOM = "!films:example.org"
AUTHOR, CORRESPONDENT, STRANGER = "@author:example.org", "@correspondent:example.org", "@stranger:example.org"
PARTNER = "@app-marquee:example.org"
START = 1_800_000_000_000


class Directory:
    """What a server keeps for devices: keys, one-time keys, queues."""

    def __init__(self) -> None:
        self.device_keys: dict[str, dict[str, Any]] = {}
        self.one_time: dict[tuple[str, str], dict[str, Any]] = {}
        self.fallback: dict[tuple[str, str], dict[str, Any]] = {}
        self.cross_signing: dict[str, dict[str, Any]] = {}
        self.queues: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self.key_shares: list[tuple[str, KeyShare]] = []
        self.claims = 0

    def handle(self, user: str, device: str, request: Any) -> dict[str, Any]:
        match request:
            case KeysUpload():
                if request.device_keys:
                    self.device_keys.setdefault(user, {})[device] = request.device_keys
                self.one_time.setdefault((user, device), {}).update(request.one_time_keys)
                self.fallback.setdefault((user, device), {}).update(request.fallback_keys)
                return {"one_time_key_counts": {"signed_curve25519": len(self.one_time[user, device])}}
            case DeviceSigningUpload():
                self.cross_signing[user] = {
                    "master_keys": request.master_key,
                    "self_signing_keys": request.self_signing_key,
                    "user_signing_keys": request.user_signing_key,
                }
                return {}
            case SignaturesUpload():
                for owner, signed in request.signatures.items():
                    for name, document in signed.items():
                        self.sign(owner, name, document["signatures"])
                return {"failures": {}}
            case KeysQuery():
                return self.query(request.users)
            case KeysClaim():
                self.claims += 1
                return {"one_time_keys": self.claim(request)}
            case SendToDevice():
                for target, devices in request.messages.items():
                    for name, content in devices.items():
                        self.push(target, name, {"sender": user, "type": request.event_type, "content": content})
                return {}
            case KeyShare():
                self.key_shares.append((user, request))
                for share in request.shares:
                    event = {"sender": user, "type": "m.room.encrypted", "content": share["content"]}
                    self.push(PARTNER, share["device_id"], event)
                return {}
        raise AssertionError(request)

    def sign(self, owner: str, name: str, made: dict[str, dict[str, str]]) -> None:
        """Add signatures to a device's keys or to a master key."""
        devices = self.device_keys[owner]
        held = devices if name in devices else self.cross_signing[owner]
        name = name if name in devices else "master_keys"
        signatures = {user: dict(by) for user, by in held[name].get("signatures", {}).items()}
        for user, by in made.items():
            signatures[user] = signatures.get(user, {}) | by
        held[name] = held[name] | {"signatures": signatures}

    def push(self, user: str, device: str, event: dict[str, Any]) -> None:
        self.queues.setdefault((user, device), []).append(event)

    def query(self, users: tuple[str, ...]) -> dict[str, Any]:
        answer: dict[str, Any] = {"device_keys": {u: dict(self.device_keys.get(u, {})) for u in users}}
        for kind in ("master_keys", "self_signing_keys", "user_signing_keys"):
            answer[kind] = {u: self.cross_signing[u][kind] for u in users if u in self.cross_signing}
        return answer

    def claim(self, request: KeysClaim) -> dict[str, Any]:
        claimed: dict[str, Any] = {}
        for peer in request.peers:
            keys = self.one_time.get((peer.user_id, peer.device_id), {})
            if keys:
                name = next(iter(keys))
                found = {name: keys.pop(name)}
            else:
                found = self.fallback.get((peer.user_id, peer.device_id), {})
            claimed.setdefault(peer.user_id, {})[peer.device_id] = found
        return claimed


class Phone:
    """A device with its engine, driven by hand; `now` stands still until a test moves it."""

    def __init__(
        self,
        directory: Directory,
        user: str,
        device: str,
        *,
        identity: bool | IdentitySeeds = True,
        store: Store | None = None,
    ) -> None:
        self.directory = directory
        self.now = START
        self.store = store or MemoryStore()
        self.records = Records(self.store)
        seeds = IdentitySeeds(os.urandom(32), os.urandom(32), os.urandom(32)) if identity is True else identity or None
        with self.records.step():
            self.engine = DeviceEngine.create(
                self.records,
                user,
                device,
                random=os.urandom,
                identity=seeds,
                identity_published=isinstance(identity, IdentitySeeds),
            )
        self.drain()

    @property
    def user(self) -> str:
        return self.engine.user_id

    @property
    def peer(self) -> Peer:
        account = self.engine.account
        return Peer(account.user_id, account.device_id, account.curve25519, account.ed25519)

    def restart(self) -> None:
        """Throw away everything that was only in memory."""
        self.records = Records(self.store)
        self.engine = DeviceEngine(self.records, os.urandom)

    def drain(self) -> None:
        for _ in range(20):
            requests = self.engine.outgoing()
            if not requests:
                return
            for request in requests:
                self.post(request)
        raise AssertionError("the engine never ran out of requests")

    def post(self, request: Any) -> None:
        answer = self.directory.handle(self.user, self.engine.device_id, request)
        with self.records.step():
            self.engine.answer(request, answer, self.now)

    def know(self, *users: str) -> None:
        with self.records.step():
            self.engine.users.track(users)
            self.engine.users.outdate(users)
        self.drain()

    def share(self, settings: RoomSettings, view: GrantView | None = None) -> None:
        claim = self.engine.missing_sessions(settings, view, self.now)
        if claim is not None:
            self.post(claim)
        with self.records.step():
            self.engine.share(settings, view, self.now)
        self.drain()

    def send(self, text: str, settings: RoomSettings, view: GrantView | None = None) -> dict[str, Any]:
        """An encrypted room event, as the server would serve it."""
        self.share(settings, view)
        with self.records.step():
            content = self.engine.encrypt(
                settings, view, "m.room.message", {"msgtype": "m.text", "body": text}, now=self.now, grants_version=None
            )
        return event(self.user, content)

    def sync(self, **changes: Any) -> Received:
        queue = self.directory.queues.pop((self.user, self.engine.device_id), [])
        with self.records.step():
            received = self.engine.receive(SyncPart(to_device=tuple(queue), **changes), self.now)
        self.drain()
        return received

    def read(self, sent: dict[str, Any], room: str = ROOM) -> Decrypted | DecryptionError:
        with self.records.step():
            return self.engine.decrypt(sent, room)

    def body(self, sent: dict[str, Any]) -> str:
        """The text of the event, or the code that says why there is none."""
        opened = self.read(sent)
        return opened.code if isinstance(opened, DecryptionError) else str(opened.content["body"])


_events = iter(range(1_000_000))


def event(sender: str, content: dict[str, Any]) -> dict[str, Any]:
    """A room event with a fresh id."""
    number = next(_events)
    return {
        "event_id": f"$event{number}",
        "sender": sender,
        "type": "m.room.encrypted",
        "origin_server_ts": START + number,
        "content": content,
    }


def room(*members: str, **settings: Any) -> RoomSettings:
    """The one room of these tests."""
    return RoomSettings(ROOM, frozenset(members), **settings)


def view_of(partner: Phone, now: int, *, rooms: frozenset[str] | None = None, until: int | None = None) -> GrantView:
    """A verified view with one live grant for the partner's device."""
    access = PartnerAccess("gr_AAAAAAAAAAAAAAAAAAAAAA", PARTNER, rooms, until or now + 10**9, (partner.peer,))
    return GrantView(1, now, (access,))


BOTH = room(AUTHOR, CORRESPONDENT)


def session_of(sent: dict[str, Any]) -> str:
    """The Megolm session a message was sent in."""
    return str(sent["content"]["session_id"])


def reads(phone: Phone, sent: dict[str, Any]) -> bool:
    """Whether the device opens the message."""
    return isinstance(phone.read(sent), Decrypted)
