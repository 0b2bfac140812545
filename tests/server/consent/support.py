"""A whole deployment without its network: real database, ledger, devices and messenger; people and partners with keys.

Rooms are wired as the server wires them. Only accounts are left out: a person's token is her user id and device id.
"""

import hashlib
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey

from paraph.protocol.agreement import Agreement
from paraph.protocol.base64 import b64, b64url
from paraph.protocol.consent import TEMPLATE, render, text_hash
from paraph.protocol.documents import parse
from paraph.protocol.entry import grant_key, public_leaf
from paraph.protocol.signing import SigningKey, document_hash, sign
from paraph.server.accounts.service import Accounts
from paraph.server.app import ROOMS
from paraph.server.config import Settings
from paraph.server.consent.gate import GrantGate
from paraph.server.consent.http import endpoints as consent_endpoints
from paraph.server.consent.partner_keys import PartnerKeys
from paraph.server.consent.service import Consent, Site
from paraph.server.devices import cross_signing
from paraph.server.devices.model import KeysUpload, SigningUpload
from paraph.server.devices.service import Devices
from paraph.server.http import Access, PersonPrincipal
from paraph.server.http.asgi import Application
from paraph.server.http.endpoint import OperatorPrincipal
from paraph.server.http.limits import Limiter
from paraph.server.inbox.attachments.service import Attachments
from paraph.server.inbox.deletes import Deletes
from paraph.server.inbox.disposals.service import Disposals
from paraph.server.inbox.drafts import Drafts
from paraph.server.inbox.http import endpoints as inbox_endpoints
from paraph.server.inbox.looks_http import endpoints as looks_endpoints
from paraph.server.inbox.people.service import People
from paraph.server.inbox.service import Inbox
from paraph.server.inbox.webhooks.http import endpoints as webhook_endpoints
from paraph.server.inbox.webhooks.parts import WebhookParts
from paraph.server.inbox.writing_http import endpoints as writing_endpoints
from paraph.server.ledger.http import endpoints as ledger_endpoints
from paraph.server.ledger.service import Ledger
from paraph.server.media.http import endpoints as media_endpoints
from paraph.server.media.service import Media
from paraph.server.messenger.core import Hooks
from paraph.server.messenger.creation import CreateRoom
from paraph.server.messenger.service import Messenger
from paraph.server.outgoing.sender import Sender
from paraph.server.storage import Database
from paraph.tlog.merkle import leaf_hash
from tests.server.ledger.support import QUICK
from tests.support.databases import open_test_database

SERVER = "example.org"
ISSUER = "http://example.org"
DAY = 86_400_000
NOW = 1_760_000_000_000
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_serial = itertools.count(1)


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@dataclass
class Device:
    """A person's or partner's device: id, signing key, and an identity key of random bytes."""

    owner: str
    device_id: str
    key: SigningKey = field(default_factory=SigningKey.generate)
    curve25519: str = field(default_factory=lambda: SigningKey.generate().public_key)

    @property
    def keys(self) -> dict[str, Any]:
        """`device_keys`, signed by the device itself."""
        document = {
            "user_id": self.owner,
            "device_id": self.device_id,
            "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
            "keys": {
                f"curve25519:{self.device_id}": self.curve25519,
                f"ed25519:{self.device_id}": self.key.public_key,
            },
        }
        return self.sign(document)

    def sign(self, document: dict[str, Any]) -> dict[str, Any]:
        """A copy with the device's signature."""
        return sign(document, self.owner, f"ed25519:{self.device_id}", self.key.sign)

    @property
    def principal(self) -> PersonPrincipal:
        """The device as a caller."""
        return PersonPrincipal(self.owner, self.device_id)


@dataclass
class Person:
    """A person with a cross-signing identity and an account log key."""

    user_id: str
    k: bytes
    master: SigningKey = field(default_factory=SigningKey.generate)
    self_signing: SigningKey = field(default_factory=SigningKey.generate)
    devices: list[Device] = field(default_factory=list)

    @property
    def device(self) -> Device:
        """Her first device."""
        return self.devices[0]

    def signing_upload(self) -> SigningUpload:
        """Her identity as she uploads it."""
        return SigningUpload(
            master_key=self._key("master", self.master),
            self_signing_key=self.by_master(self._key("self_signing", self.self_signing)),
        )

    def _key(self, usage: str, key: SigningKey) -> dict[str, Any]:
        return {"user_id": self.user_id, "usage": [usage], "keys": {key.key_id: key.public_key}}

    def by_master(self, document: dict[str, Any]) -> dict[str, Any]:
        """A copy with her master key's signature."""
        return sign(document, self.user_id, self.master.key_id, self.master.sign)

    def vouched(self, device: Device) -> dict[str, Any]:
        """The device's keys, signed by her self-signing key."""
        return sign(device.keys, self.user_id, self.self_signing.key_id, self.self_signing.sign)

    def enrolment(self, device: Device, **changes: Any) -> dict[str, Any]:
        """A signed enrolment of one of her devices."""
        document = {
            "type": "org.paraph.enrolment",
            "user_id": self.user_id,
            "device_id": device.device_id,
            "master_key": self.master.public_key,
            "curve25519": device.curve25519,
            "ed25519": device.key.public_key,
            "log_key_hash": b64url(hashlib.sha256(self.k).digest()),
            "created": NOW,
        } | changes
        return device.sign(self.by_master(document))


@dataclass
class PartnerParty:
    """A partner: master key, OAuth client key, one device."""

    slug: str
    master: SigningKey = field(default_factory=SigningKey.generate)
    client: OKPKey | ECKey | RSAKey = field(default_factory=lambda: OKPKey.generate_key("Ed25519"))
    dpop: OKPKey | ECKey = field(default_factory=lambda: OKPKey.generate_key("Ed25519"))
    agreement: dict[str, Any] = field(default_factory=dict)
    token: str = ""

    @property
    def user_id(self) -> str:
        """Its address."""
        return f"@app-{self.slug}:{SERVER}"

    @property
    def headers(self) -> dict[str, str]:
        """Its token; the proof that goes with it is made for each request (see `World.prove`)."""
        return {"authorization": f"DPoP {self.token}"}

    def proof(self, now: int, method: str, url: str, nonce: str | None, **changes: Any) -> str:
        """A DPoP proof; `changes` replace claims and the header's `typ`, `alg` and `jwk`, and None leaves one out."""
        key = changes.pop("key", self.dpop)
        algorithm = changes.pop("alg", "Ed25519" if isinstance(key, OKPKey) else "ES256")
        header = {"alg": algorithm, "typ": changes.pop("typ", "dpop+jwt")}
        header["jwk"] = changes.pop("jwk", key.as_dict(private=False))
        claims = {
            "jti": f"jti-{next(_serial)}",
            "htm": method,
            "htu": url,
            "iat": now // 1000,
            "nonce": nonce,
        } | changes
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {name: value for name, value in header.items() if value is not None}
        return jwt.encode(header, claims, key, algorithms=[algorithm])

    def sign(self, document: dict[str, Any]) -> dict[str, Any]:
        """A copy with its master key's signature."""
        return sign(document, self.user_id, self.master.key_id, self.master.sign)

    def new_device(self) -> Device:
        """A device that is not published yet."""
        return Device(self.user_id, f"P{next(_serial)}")

    def device_document(self, device: Device, **changes: Any) -> dict[str, Any]:
        """The signed record of a device."""
        document = {
            "type": "org.paraph.partner_device",
            "partner": self.slug,
            "device_keys": device.keys,
            "created": NOW,
            "expires": NOW + 90 * DAY,
        } | changes
        return self.sign(document)

    def assertion(self, now: int, *, alg: str = "Ed25519", key: Any = None, **changes: Any) -> str:
        """A client assertion; `changes` replace claims, and None leaves one out."""
        claims = {
            "iss": self.slug,
            "sub": self.slug,
            "aud": ISSUER,
            "jti": f"jti-{next(_serial)}",
            "iat": now // 1000,
            "exp": now // 1000 + 60,
        } | changes
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode({"alg": alg}, claims, key or self.client, algorithms=[alg])


class Everybody:
    """The accounts of a server on which whoever is named exists."""

    server_name = SERVER

    def exists(self, _tx: Any, _user_id: str) -> bool:
        """Whether there is this person."""
        return True


class World:
    """The deployment, its people and its partners."""

    def __init__(self, database: Database, data: Path) -> None:
        self.clock = Clock()
        self.database = database
        self.ledger = Ledger(database, data, f"{SERVER}/log", clock=self.clock, cadence=QUICK)
        self.gate = GrantGate()
        self.partner_keys = PartnerKeys(SERVER, self.clock)
        self.devices = Devices(
            database,
            cast(Accounts, Everybody()),
            self.clock,
            notify=lambda people, position: self.messenger.devices_changed(people, position),
            shares_room=lambda tx, user_id: self.messenger.shares_room(tx, user_id),
            partners=self.partner_keys,
        )
        hooks = Hooks()
        self.messenger = Messenger(database, lambda *_: True, self.devices, hooks, self.clock, server_name=SERVER)
        site = Site(SERVER, ISSUER, data)
        self.consent = Consent(database, self.ledger, self.devices, self.messenger, self.gate, site, clock=self.clock)
        self.inbox = Inbox(database, self.ledger, self.devices, self.messenger, self.consent, hooks, self.clock)
        self.drafts = Drafts(
            database,
            self.ledger,
            self.devices,
            self.consent,
            self.messenger.is_closed,
            clock=self.clock,
            note=self.inbox.feed.note_draft,
        )
        self.media = Media(database, data / "media", Settings(), self.clock, server_name=SERVER)
        self.attachments = Attachments(database, self.ledger, self.consent, self.messenger, self.media)
        self.people = People(database, self.ledger, self.consent, self.messenger, self.inbox.opaque)
        self.webhooks = WebhookParts(database, self.inbox.opaque, self.clock, Sender(anywhere=True))
        self.consent.authorization.jwks = self.webhooks.jwks
        hooks.before_send, hooks.on_via = self.gate.before_send, self.drafts.on_sent
        hooks.on_membership.append(self.consent.notices.on_membership)
        hooks.on_closed.append(self.consent.notices.on_closed)
        self.parties: dict[str, PartnerParty] = {}
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(cast(Any, self._application())),
            base_url=ISSUER,
            timeout=30,
            event_hooks={"request": [self._prove]},
        )

    def _application(self) -> Application:
        table = [
            *ledger_endpoints(self.ledger, self.database),
            *consent_endpoints(self.consent, self.ledger, self.database, None),
            *media_endpoints(self.media),
            *looks_endpoints(self.attachments, self.people),
            *webhook_endpoints(self.webhooks.service),
            *writing_endpoints(
                self.drafts,
                Deletes(self.database, self.ledger, self.consent, self.messenger),
                Disposals(self.database, self.ledger, self.consent, self.clock),
            ),
            *inbox_endpoints(self.inbox, self.consent, self.database),
        ]
        authenticators = {
            Access.PERSON: _person_of,
            Access.OPERATOR: _operator_of,
        }
        limiter, door = Limiter(lambda: 0.0, enabled=False), self.consent.authorization.door
        return Application(table, authenticators, limiter, _NoLifespan(), partners=door)

    @property
    def nonce(self) -> str:
        """The nonce that the platform hands out now."""
        return self.consent.authorization.proofs.nonces.current()

    def prove(self, partner: PartnerParty, method: str, path: str, **changes: Any) -> str:
        """A partner's proof for a request, with its token's hash where it has one."""
        ath = b64url(hashlib.sha256(partner.token.encode()).digest())
        defaults = {"nonce": self.nonce} | ({"ath": ath} if partner.token else {}) | changes
        return partner.proof(self.clock.now, method, f"{ISSUER}{path}", **defaults)

    async def _prove(self, request: httpx.Request) -> None:
        """Add the proof to a request that carries a partner's token and no proof of its own."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme == "DPoP" and "dpop" not in request.headers and token in self.parties:
            path = request.url.raw_path.decode().partition("?")[0]
            request.headers["dpop"] = self.prove(self.parties[token], request.method, path)

    @property
    def operator(self) -> SigningKey:
        """The operator's key."""
        return self.consent.operator_key

    def sign_as_operator(self, document: dict[str, Any]) -> dict[str, Any]:
        """A copy with the operator's signature."""
        return sign(document, SERVER, "ed25519:operator", self.operator.sign)

    async def pass_to(self, now: int) -> None:
        """Let it be `now` for everybody, the log included: it has an epoch of that time."""
        self.clock.now = now
        record = await self.database.write(
            lambda tx: self.ledger.record_public(tx, "notice", "platform", {"text": "another day"})
        )
        leaf = public_leaf("notice", "platform", record["ts"], record["document"])
        assert await self.ledger.integrated(leaf_hash(leaf), 5_000) is not None

    # -- people --

    async def add_person(self, name: str, *, enrol: bool = True) -> Person:
        """A person with an identity and one device, enrolled unless told otherwise."""
        person = Person(f"@{name}:{SERVER}", hashlib.sha256(name.encode()).digest())
        await self.add_device(person, vouched=False)
        keys = cross_signing.checked(person.signing_upload(), person.user_id)
        await self.devices.put_identity(person.user_id, keys, authorised=True)
        await self.vouch(person, person.device)
        if enrol:
            assert (await self.enrol(person)).status_code == 200
        return person

    async def add_device(self, person: Person, *, vouched: bool = True) -> Device:
        """Another device of the person."""
        device = Device(person.user_id, f"D{next(_serial)}")
        person.devices.append(device)
        await self.database.write(lambda tx: self.devices.on_login(tx, person.user_id, device.device_id, None))
        await self.devices.upload(device.principal, KeysUpload(device_keys=device.keys))
        if vouched:
            await self.vouch(person, device)
        return device

    async def vouch(self, person: Person, device: Device) -> None:
        """Sign the device with the person's self-signing key."""
        await self.devices.upload(device.principal, KeysUpload(device_keys=person.vouched(device)))

    async def enrol(self, person: Person, device: Device | None = None, **body: Any) -> httpx.Response:
        """Enrol a device."""
        device = device or person.device
        body = {"enrolment": person.enrolment(device), "log_key": b64url(person.k)} | body
        return await self.post("/_paraph/v1/enrol", body, device)

    async def room(self, *people: Person, invite: bool = True) -> str:
        """An encrypted room with these people in it."""
        first, *others = people
        body = CreateRoom(preset="private_chat", invite=[person.user_id for person in others] if invite else [])
        room_id = await self.messenger.creation.create(first.device.principal, body)
        for person in others:
            await self.messenger.memberships.join(person.device.principal, room_id)
        return room_id

    async def send(
        self, person: Person, room_id: str, content: dict[str, Any] | None = None, *, device: Device | None = None
    ) -> str:
        """Send an encrypted event that names the newest version of the person's grants; None leaves a member out."""
        device = device or person.device
        version = (await self.get("/_paraph/v1/grants", device)).json()["version"]
        self.clock.now += 1
        body = {
            "algorithm": "m.megolm.v1.aes-sha2",
            "ciphertext": "opaque",
            "device_id": device.device_id,
            "sender_key": device.curve25519,
            "session_id": "session",
            "org.paraph.grants": version,
        } | (content or {})
        body = {name: value for name, value in body.items() if value is not None}
        return await self.messenger.sending.send(
            device.principal, room_id, "m.room.encrypted", f"txn{next(_serial)}", body
        )

    async def post(self, path: str, body: dict[str, Any], device: Device | None = None) -> httpx.Response:
        """POST as a device or, without one, as the operator."""
        return await self.http.post(path, json=body, headers=_as(device))

    async def get(self, path: str, device: Device | None = None) -> httpx.Response:
        """GET as a device or, without one, as the operator."""
        return await self.http.get(path, headers=_as(device))

    # -- partners --

    async def add_partner(self, slug: str = "marquee", **terms: Any) -> PartnerParty:
        """A registered partner with an agreement in force and a token."""
        partner = PartnerParty(slug)
        assert (await self.register(partner)).status_code == 200
        assert (await self.agree(partner, **terms)).status_code == 200
        assert (await self.authenticate(partner)).status_code == 200
        return partner

    async def register(self, partner: PartnerParty, **changes: Any) -> httpx.Response:
        """Register a partner as the operator."""
        body = {
            "slug": partner.slug,
            "name": partner.slug.title(),
            "master_key": partner.master.public_key,
            "client_jwk": partner.client.as_dict(private=False),
        } | changes
        return await self.post("/_paraph/v1/admin/partners", body)

    def agreement(self, partner: PartnerParty, **terms: Any) -> dict[str, Any]:
        """The next version of a partner's agreement, signed by both sides."""
        before = partner.agreement
        document = {
            "type": "org.paraph.agreement",
            "partner": partner.slug,
            "name": partner.slug.title(),
            "version": before["version"] + 1 if before else 1,
            "predecessor": document_hash(before) if before else None,
            "master_key": partner.master.public_key,
            "operator_key": self.operator.public_key,
            "signatories": [
                {"party": "operator", "name": "The operator", "role": "operator"},
                {"party": "partner", "name": "The partner", "role": "director"},
            ],
            "consideration": {"operator": "access", "partner": "a report"},
            "ties": [],
            "purposes": ["films", "reminders"],
            "verbs": ["metadata", "read"],
            "max_duration_days": 90,
            "max_retention_days": 30,
            "report": {"interfaces": ["web"], "initiation_surfaces": ["message"], "variants": ["default"]},
            "limits": {},
            "from": NOW - DAY,
            "until": NOW + 365 * DAY,
            "notice_days": 0,
            "reason": None,
        } | terms
        return partner.sign(self.sign_as_operator(document))

    async def agree(self, partner: PartnerParty, **terms: Any) -> httpx.Response:
        """Publish the next version of a partner's agreement."""
        document = self.agreement(partner, **terms)
        answer = await self.post("/_paraph/v1/admin/agreements", {"agreement": document})
        if answer.status_code == 200:
            partner.agreement = document
        return answer

    async def end_agreement(self, partner: PartnerParty, **changes: Any) -> httpx.Response:
        """End a partner's newest agreement as the operator."""
        document = {
            "type": "org.paraph.agreement_ended",
            "partner": partner.slug,
            "version": partner.agreement["version"],
            "agreement_hash": document_hash(partner.agreement),
            "ended": self.clock.now,
            "reason": None,
        } | changes
        ending = self.sign_as_operator(document)
        return await self.post(f"/_paraph/v1/admin/agreements/{partner.slug}/end", {"ending": ending})

    async def authenticate(
        self, partner: PartnerParty, assertion: str | None = None, *, proof: str | None = None, **form: str
    ) -> httpx.Response:
        """Ask for a token."""
        body = {
            "grant_type": "client_credentials",
            "client_assertion_type": JWT_BEARER,
            "client_assertion": assertion or partner.assertion(self.clock.now),
        } | form
        headers = {"dpop": proof or self.prove(partner, "POST", "/oauth/token")}
        answer = await self.http.post("/oauth/token", data=body, headers=headers)
        if answer.status_code == 200:
            self.take_token(partner, answer.json()["access_token"])
        return answer

    def take_token(self, partner: PartnerParty, token: str) -> None:
        """Let the partner use this token from now on."""
        partner.token = token
        self.parties[token] = partner

    async def add_partner_device(self, partner: PartnerParty) -> Device:
        """Publish a device of the partner."""
        device = partner.new_device()
        body = {"device": partner.device_document(device)}
        answer = await self.http.post("/inbox/v1/devices", json=body, headers=partner.headers)
        assert answer.status_code == 200, answer.text
        return device

    async def end_partner_device(self, partner: PartnerParty, device: Device) -> httpx.Response:
        """End a partner's device as the partner."""
        document = {
            "type": "org.paraph.partner_device_ended",
            "partner": partner.slug,
            "device_id": device.device_id,
            "ended": self.clock.now,
            "reason": None,
        }
        path = f"/inbox/v1/devices/{device.device_id}/end"
        return await self.http.post(path, json={"ending": partner.sign(document)}, headers=partner.headers)

    # -- grants --

    def grant(self, person: Person, partner: PartnerParty, rooms: Any = "all", **changes: Any) -> dict[str, Any]:
        """An unsigned grant; `changes` are made before the consent text is rendered."""
        grant_id = f"gr_{b64url(hashlib.sha256(str(next(_serial)).encode()).digest()[:16])}"
        document = {
            "type": "org.paraph.grant",
            "grant_id": grant_id,
            "person": person.user_id,
            "device_id": person.device.device_id,
            "master_key": person.master.public_key,
            "partner": partner.slug,
            "agreement": {"version": partner.agreement["version"], "hash": document_hash(partner.agreement)},
            "verbs": ["read"],
            "rooms": rooms,
            "purposes": ["films"],
            "from": self.clock.now,
            "until": self.clock.now + 30 * DAY,
            "history": None,
            "retention_days": 7,
            "grant_key_hash": b64url(hashlib.sha256(grant_key(person.k, grant_id)).digest()),
        } | changes
        text = render(TEMPLATE, document, parse(Agreement, partner.agreement))
        consent = {"template": TEMPLATE.template, "locale": TEMPLATE.locale, "text_hash": text_hash(text)}
        return {"consent": consent, **document}

    async def post_grant(
        self, person: Person, document: dict[str, Any], *, device: Device | None = None
    ) -> httpx.Response:
        """Sign and post a grant."""
        signed = (device or person.device).sign(document)
        return await self.post("/_paraph/v1/grants", {"grant": signed}, person.device)

    async def add_grant(
        self, person: Person, partner: PartnerParty, rooms: Any = "all", **changes: Any
    ) -> dict[str, Any]:
        """A grant that was taken in."""
        document = person.device.sign(self.grant(person, partner, rooms, **changes))
        answer = await self.post("/_paraph/v1/grants", {"grant": document}, person.device)
        assert answer.status_code == 200, answer.text
        return document

    def amendment(
        self, person: Person, grant: dict[str, Any], change: dict[str, Any], **changes: Any
    ) -> dict[str, Any]:
        """A signed amendment of a grant."""
        document = {
            "type": "org.paraph.amendment",
            "grant_id": grant["grant_id"],
            "person": person.user_id,
            "device_id": person.device.device_id,
            "previous": document_hash(grant),
            "change": change,
            "created": self.clock.now,
        } | changes
        return person.device.sign(document)

    async def amend(self, person: Person, grant: dict[str, Any], document: dict[str, Any]) -> httpx.Response:
        """Post an amendment."""
        path = f"/_paraph/v1/grants/{grant['grant_id']}/amendments"
        return await self.post(path, {"amendment": document}, person.device)

    async def revoke(self, person: Person, grant: dict[str, Any], **body: Any) -> httpx.Response:
        """Revoke a grant."""
        return await self.post(f"/_paraph/v1/grants/{grant['grant_id']}/revoke", body, person.device)

    async def version(self, person: Person) -> int:
        """The person's version."""
        version: int = (await self.get("/_paraph/v1/grants", person.device)).json()["version"]
        return version

    async def notice(self, room_id: str, person: Person) -> dict[str, Any] | None:
        """What `org.paraph.grant` says in a room for an author."""

        def read(tx: Any) -> dict[str, Any] | None:
            found = self.messenger.core.store.state_entry(tx, room_id, "org.paraph.grant", person.user_id)
            return None if found is None else found.content

        return await self.database.read(read)

    # -- reading --

    async def read(self, partner: PartnerParty, room_id: str, purpose: str = "films", **params: Any) -> httpx.Response:
        """Read messages as a partner."""
        query = {"purpose": purpose} | params
        return await self.http.get(f"/inbox/v1/rooms/{room_id}/messages", params=query, headers=partner.headers)

    async def entries(self, person: Person, kind: str) -> list[dict[str, Any]]:
        """The person's ledger entries of one kind."""
        found = (await self.get("/_paraph/v1/entries?limit=500", person.device)).json()["entries"]
        return [item["entry"] for item in found if item["entry"]["kind"] == kind]


def olm(sender: Device, receiver: Device) -> dict[str, Any]:
    """The content of an Olm event from one device to another."""
    return {
        "algorithm": "m.olm.v1.curve25519-aes-sha2",
        "sender_key": sender.curve25519,
        "ciphertext": {receiver.curve25519: {"type": 0, "body": b64(b"opaque")}},
    }


def one_time_key(device: Device, key_id: str) -> dict[str, Any]:
    """A signed one-time key."""
    return device.sign({"key": SigningKey.generate().public_key, "id": key_id})


@asynccontextmanager
async def world(data: Path) -> AsyncIterator[World]:
    """A running deployment; stopped and closed at the end."""
    database = await open_test_database(data / "paraph.db", ROOMS)
    try:
        made = World(database, data)
        await made.ledger.start()
        await made.consent.start()
        await made.inbox.start()
        try:
            yield made
        finally:
            await made.http.aclose()
            made.messenger.stop()
            await made.webhooks.stop()
            await made.media.stop()
            await made.ledger.stop()
    finally:
        await database.close()


class _NoLifespan:
    async def start(self) -> None:
        """Nothing starts here."""

    async def stop(self) -> None:
        """Nothing stops here."""


def _as(device: Device | None) -> dict[str, str]:
    return {"authorization": "Bearer operator" if device is None else f"Bearer {device.owner} {device.device_id}"}


async def _person_of(token: str) -> PersonPrincipal | None:
    user_id, separator, device_id = token.partition(" ")
    return PersonPrincipal(user_id, device_id) if separator else None


async def _operator_of(token: str) -> OperatorPrincipal | None:
    return OperatorPrincipal() if token == "operator" else None
