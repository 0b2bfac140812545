"""Secrets between a person's own devices (Matrix, "Sharing"): her identity's seeds, and the account log key.

A device asks the one that it has just been verified with; a secret goes, sealed with Olm, only to a device of the same
person that her self-signing key vouches for, and is taken only from the device that was asked. Seeds count once they
make the very public keys that the pinned master key vouches for.
"""

from collections.abc import Callable

import msgspec

from paraph.protocol.base64 import b64, unb64
from paraph.protocol.errors import ProtocolError
from paraph.protocol.signing import SigningKey
from paraph.sdk.engine.account import OlmAccount
from paraph.sdk.engine.cross_signing import Identity, IdentitySeeds
from paraph.sdk.engine.model import Json, Peer
from paraph.sdk.engine.olm import OlmPayload, OlmSessions
from paraph.sdk.engine.outbox import Outbox
from paraph.sdk.engine.users import Users
from paraph.sdk.keystore import Records

REQUEST, SEND = "m.secret.request", "m.secret.send"
SEEDS = {
    "m.cross_signing.master": "master",
    "m.cross_signing.self_signing": "self_signing",
    "m.cross_signing.user_signing": "user_signing",
}
LOG_SECRET = "org.paraph.log_key"  # noqa: S105 -- the name of a secret
LOG_KEY = "log-key"
WANTED, ASKED, GOT = "secret-wanted", "secret-asked", "secret-got"
MAX_ASKED = 20
MAX_NAME = 255
WAIT_MS = 600_000


class Wanted(msgspec.Struct, frozen=True):
    """A request of this device under way: for what, and from which device."""

    name: str
    curve25519: str


class Asked(msgspec.Struct, frozen=True):
    """A request of another device of this person, until it can be answered or runs out (`at` in milliseconds)."""

    name: str
    device_id: str
    at: int


class Secrets:
    """One device's part. `identity()` gives the person's identity where this device holds it."""

    def __init__(
        self,
        records: Records,
        account: OlmAccount,
        users: Users,
        olm: OlmSessions,
        outbox: Outbox,
        random: Callable[[int], bytes],
        identity: Callable[[], Identity | None],
    ) -> None:
        self._records = records
        self._account = account
        self._users = users
        self._olm = olm
        self._outbox = outbox
        self._random = random
        self._identity = identity

    # Asking

    def want(self, peer: Peer) -> None:
        """Ask a verified device of this person for every secret that this one lacks."""
        lacking = list(SEEDS) if self._identity() is None else []
        lacking += [LOG_SECRET] if self._log_key() is None else []
        for name in lacking:
            request_id = self._random(16).hex()
            self._records.put(WANTED, request_id, Wanted(name, peer.curve25519))
            content = {
                "name": name,
                "action": "request",
                "requesting_device_id": self._account.device_id,
                "request_id": request_id,
            }
            self._outbox.to_people(REQUEST, {peer.user_id: {peer.device_id: content}})

    def take(self, payload: OlmPayload) -> None:
        """Take in an `m.secret.send`, if this device asked that one for it."""
        request_id, secret = payload.content.get("request_id"), payload.content.get("secret")
        if payload.sender != self._account.user_id or not isinstance(request_id, str) or not isinstance(secret, str):
            return
        wanted = self._records.get(WANTED, request_id, Wanted)
        device = self._users.device_with_key(payload.sender, payload.sender_key)
        if wanted is None or wanted.curve25519 != payload.sender_key or device is None:
            return
        try:
            key = unb64(secret.rstrip("="), 32)
        except ProtocolError:
            return
        self._records.delete(WANTED, request_id)
        if wanted.name == LOG_SECRET:
            if self._log_key() is None:
                self._records.put(LOG_KEY, "self", key)
        else:
            self._records.put(GOT, wanted.name, b64(key))

    def seeds(self) -> IdentitySeeds | None:
        """The identity that has come together, or None; what came counts once, right or wrong."""
        own = self._users.get(self._account.user_id)
        got = {SEEDS[name]: unb64(seed) for name, seed in self._records.items(GOT, str)}
        if own is None or own.blocked or not own.verified or own.user_signing is None or len(got) < len(SEEDS):
            return None
        for name in SEEDS:
            self._records.delete(GOT, name)
        public = {usage: SigningKey.from_seed(seed).public_key for usage, seed in got.items()}
        shown = {"master": own.master, "self_signing": own.self_signing, "user_signing": own.user_signing}
        return IdentitySeeds(**got) if public == shown else None

    # Answering

    def asked(self, sender: str, content: Json, now: int) -> None:
        """Take in an `m.secret.request`."""
        fields = (content.get("request_id"), content.get("requesting_device_id"), content.get("action"))
        request_id, device_id, action = (field if isinstance(field, str) else "" for field in fields)
        if sender != self._account.user_id or not 0 < len(request_id) <= MAX_NAME or len(device_id) > MAX_NAME:
            return
        if action == "request_cancellation":
            self._records.delete(ASKED, request_id)
        name = content.get("name")
        if action != "request" or name not in (*SEEDS, LOG_SECRET) or device_id == self._account.device_id:
            return
        if len(self._records.items(ASKED, Asked)) < MAX_ASKED:
            self._records.put(ASKED, request_id, Asked(str(name), device_id, now))

    def answer(self, now: int) -> None:
        """Queue the answers that can be given now, and forget what has waited too long."""
        for request_id, asked in self._records.items(ASKED, Asked):
            peer, secret = self._peer(asked), self._secret(asked.name)
            if not 0 <= now - asked.at <= WAIT_MS or secret is None:
                self._records.delete(ASKED, request_id)
            elif peer is not None and self._olm.has(peer):
                content = {"request_id": request_id, "secret": b64(secret)}
                sealed = self._olm.encrypt(peer, SEND, content)
                self._outbox.to_people("m.room.encrypted", {peer.user_id: {peer.device_id: sealed}})
                self._records.delete(ASKED, request_id)

    def unreached(self) -> tuple[Peer, ...]:
        """Devices that may have an answer, and that no Olm session reaches."""
        peers = {self._peer(asked) for _, asked in self._records.items(ASKED, Asked)}
        return tuple(peer for peer in peers if peer is not None and not self._olm.has(peer))

    def give_up(self, peer: Peer) -> None:
        """There is no way to reach this device."""
        for request_id, asked in self._records.items(ASKED, Asked):
            if asked.device_id == peer.device_id:
                self._records.delete(ASKED, request_id)

    # Inside

    def _peer(self, asked: Asked) -> Peer | None:
        """The device that asks, if it may have this person's secrets."""
        own = self._users.get(self._account.user_id)
        device = None if own is None else own.device(asked.device_id)
        if device is None or not device.owner_signed or device.gone or device.changed:
            return None
        return device.peer

    def _secret(self, name: str) -> bytes | None:
        identity = self._identity()
        if name == LOG_SECRET:
            return self._log_key()
        return None if identity is None else getattr(identity.seeds, SEEDS[name])

    def _log_key(self) -> bytes | None:
        return self._records.get(LOG_KEY, "self", bytes)
