"""People with devices, and the keys and signatures that real clients would upload."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec

from paraph.protocol.base64 import b64
from paraph.protocol.signing import SigningKey, sign
from paraph.server.devices import http as devices_http
from paraph.server.devices.model import DevicesSyncPart
from paraph.server.devices.service import Devices
from paraph.server.http import MatrixError, PersonPrincipal
from paraph.server.storage import Transaction
from tests.server.accounts.house import House, bearer, house

ROOMS = ("paraph.server.accounts", "paraph.server.devices")
V3 = "/_matrix/client/v3"
PARTNER = "@app-films:test"
ALGORITHMS = ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"]


def seeded(*words: object) -> SigningKey:
    """An Ed25519 key of its own for these words."""
    return SigningKey(hashlib.sha256("/".join(map(str, words)).encode()).digest())


def public(*words: object) -> str:
    """A public key of its own for these words."""
    return seeded(*words).public_key


@dataclass
class Grants:
    """A stand-in for consent: who may see the partner's devices."""

    granted: set[str] = field(default_factory=set)
    keys: dict[str, dict[str, Any]] = field(default_factory=dict)

    def device_keys(self, tx: Transaction, person: str, partner_user_id: str) -> dict[str, dict[str, Any]]:
        return self.keys if person in self.granted and partner_user_id == PARTNER else {}

    def may_claim(self, tx: Transaction, person: str, partner_user_id: str) -> bool:
        return person in self.granted and partner_user_id == PARTNER


@dataclass
class Person:
    """A logged-in device, with keys derived from its names."""

    home: Home
    user_id: str
    device_id: str
    token: str

    @property
    def principal(self) -> PersonPrincipal:
        return PersonPrincipal(self.user_id, self.device_id)

    @property
    def key(self) -> SigningKey:
        """The device's signing key."""
        return seeded("device", self.user_id, self.device_id)

    async def ask(self, method: str, path: str, content: Any = None) -> httpx.Response:
        """A request under /v3, whatever comes of it."""
        return await self.home.client.request(method, f"{V3}{path}", json=content, headers=bearer(self.token))

    async def __call__(self, method: str, path: str, content: Any = None) -> Any:
        """A request under /v3 that must succeed."""
        answer = await self.ask(method, path, content)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def signed(self, document: dict[str, Any]) -> dict[str, Any]:
        """Signed by this device."""
        return sign(document, self.user_id, f"ed25519:{self.device_id}", self.key.sign)

    def device_keys(self, **change: Any) -> dict[str, Any]:
        """This device's keys, signed by itself."""
        document = {
            "user_id": self.user_id,
            "device_id": self.device_id,
            "algorithms": ALGORITHMS,
            "keys": {
                f"curve25519:{self.device_id}": public("identity", self.user_id, self.device_id),
                f"ed25519:{self.device_id}": self.key.public_key,
            },
        }
        return self.signed(document | change)

    def one_time(self, names: Iterable[object], **extra: Any) -> dict[str, Any]:
        """Signed one-time keys with these ids."""
        return {f"signed_curve25519:{name}": self.signed({"key": public("otk", name), **extra}) for name in names}

    async def publish(self, one_time: Iterable[object] = (), fallback: Iterable[object] = ()) -> dict[str, int]:
        """Upload device keys and one-time keys; returns the counts."""
        body = {
            "device_keys": self.device_keys(),
            "one_time_keys": self.one_time(one_time),
            "fallback_keys": self.one_time(fallback, fallback=True),
        }
        counts: dict[str, int] = (await self("POST", "/keys/upload", body))["one_time_key_counts"]
        return counts

    def master(self, n: int = 1) -> SigningKey:
        return seeded("master", self.user_id, n)

    def self_signing(self, n: int = 1) -> SigningKey:
        return seeded("self", self.user_id, n)

    def user_signing(self, n: int = 1) -> SigningKey:
        return seeded("user", self.user_id, n)

    def cross_signing_key(self, usage: str, key: SigningKey, signer: SigningKey | None = None) -> dict[str, Any]:
        """A cross-signing key object, signed by `signer` if given."""
        document = {"user_id": self.user_id, "usage": [usage], "keys": {key.key_id: key.public_key}}
        return document if signer is None else sign(document, self.user_id, signer.key_id, signer.sign)

    def identity(self, n: int = 1, **more: Any) -> dict[str, Any]:
        """The three keys of this person's n-th identity."""
        master = self.master(n)
        return {
            "master_key": self.signed(self.cross_signing_key("master", master)),
            "self_signing_key": self.cross_signing_key("self_signing", self.self_signing(n), master),
            "user_signing_key": self.cross_signing_key("user_signing", self.user_signing(n), master),
            **more,
        }

    async def queue(self, since: int = 0) -> list[Any]:
        """The contents that a sync with this token would show."""
        return [event["content"] for event in (await self.sync(since))["to_device"]]

    async def sync(self, since: int = 0, **more: Any) -> dict[str, Any]:
        """What a sync shows of devices, as JSON."""
        found = await self.part(since, **more)
        shown: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(found))
        return shown

    async def part(self, since: int = 0, **more: Any) -> DevicesSyncPart:
        """The sync part of this device up to now."""
        upto = self.home.position
        return await self.home.database.read(
            lambda tx: self.home.devices.sync_part(tx, self.user_id, self.device_id, since, upto, **more)
        )

    async def send(self, messages: dict[str, Any], txn: str, kind: str = "m.ping") -> httpx.Response:
        """Send to devices."""
        return await self.ask("PUT", f"/sendToDevice/{kind}/{txn}", {"messages": messages})


class Home:
    """The platform with accounts and devices, and what the tests hold of it."""

    def __init__(self, inner: House) -> None:
        self.inner = inner
        self.database, self.accounts = inner.database, inner.accounts
        self.grants = Grants()
        self.rooms: list[set[str]] = []
        self.woken: list[set[str]] = []
        self.devices = Devices(
            inner.database,
            inner.accounts,
            inner.clock,
            notify=lambda users, _position: self.woken.append(set(users)),
            shares_room=self.shares_room,
            partners=self.grants,
        )
        inner.accounts.on_login.append(self.devices.on_login)
        inner.accounts.on_logout.append(self.devices.on_logout)
        table = devices_http.endpoints(self.devices, inner.accounts, position_of)
        self.client = inner.client = inner.client_at("192.0.2.1", table)

    @property
    def position(self) -> int:
        """The newest durable position, as a sync token."""
        return self.database.position

    def shares_room(self, tx: Transaction, user_id: str) -> set[str]:
        return set[str]().union(*(room for room in self.rooms if user_id in room))

    async def person(self, name: str, device_id: str = "PHONE") -> Person:
        """Somebody with a new account."""
        found = await self.inner.sign_up(name, device_id=device_id)
        return Person(self, found["user_id"], found["device_id"], found["access_token"])

    async def another(self, person: Person, device_id: str) -> Person:
        """Another device of a person."""
        answer = await self.inner.log_in(person.user_id, device_id=device_id)
        assert answer.status_code == 200, answer.text
        return Person(self, person.user_id, device_id, answer.json()["access_token"])


def position_of(token: str) -> int:
    """How these tests write sync tokens."""
    if not token.isdigit():
        raise MatrixError(400, "M_INVALID_PARAM", "not a token of this server")
    return int(token)


@asynccontextmanager
async def open_home(path: Path, **settings: Any) -> AsyncIterator[Home]:
    """A platform on the database file at `path`."""
    async with house(path, rooms=ROOMS, **settings) as inner:
        home = Home(inner)
        yield home
        await home.client.aclose()


def flipped(signed: dict[str, Any]) -> dict[str, Any]:
    """The same object with every signature made by nobody."""
    signatures = {user: {key: b64(bytes(range(64))) for key in made} for user, made in signed["signatures"].items()}
    return signed | {"signatures": signatures}
