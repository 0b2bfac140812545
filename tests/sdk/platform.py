"""A platform on a web server of the test's own: honest until a test makes it lie.

The real server refuses to say most of what these tests need it to say (a forged grant, an agreement that is not in the
log, an old epoch), so the lies are told here. The honest path is tested against the real server.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

import httpx

from paraph.protocol.base64 import b64url, unb64url
from paraph.protocol.entry import account_label, commitment, entry, private_leaf, public_leaf, week_of
from paraph.protocol.receipt import make_receipt
from paraph.protocol.signing import SigningKey, sign
from paraph.sdk.engine.model import (
    DeviceSigningUpload,
    KeysClaim,
    KeyShare,
    KeysQuery,
    KeysUpload,
    Peer,
    SendToDevice,
    SignaturesUpload,
)
from paraph.sdk.partner.partner import Partner
from paraph.sdk.person.person import Person
from paraph.sdk.transport import Transport
from paraph.tlog.merkle import leaf_hash
from tests.sdk.directory import START, Directory
from tests.support.published_log import KEY, POLICY, PublishedLog

SERVER = "example.org"
SLUG = "marquee"
ROOM = "!room:example.org"
DAY = 86_400_000


class Platform:
    """One person, one room, one partner. `now` is everybody's clock; attributes are what the platform says."""

    def __init__(self) -> None:
        self.now = START
        self.log = PublishedLog()
        self.directory = Directory()
        self.operator = SigningKey.generate()
        self.receipt_key = SigningKey.generate()
        named = {"version": "1", "server_name": SERVER, "receipt_key": self.receipt_key.public_key}
        self.log.publish(public_leaf("platform", "platform", self.now, named), time=self.now)
        self.version = 0
        self.grants: list[dict[str, Any]] = []
        self.entries: list[dict[str, Any]] = []
        self.log_key = b""
        self.user = ""
        self.device = ""
        self.sent: list[dict[str, Any]] = []
        self.stale_once = False
        self.requests: list[str] = []
        self.policy: str | None = POLICY
        self.record_grants = True
        self.partner = Partner.create("http://platform", SLUG, SERVER, transport=self.transport())
        self.listed: dict[str, Any] = {
            "slug": SLUG,
            "name": "Marquee",
            "user_id": self.partner.user_id,
            "master_key": self.partner.master_key,
            "agreements": [],
            "endings": [],
            "devices": [],
            "device_endings": [],
            "records": [],
        }

    def transport(self) -> Transport:
        client = httpx.AsyncClient(transport=httpx.MockTransport(self.handle))
        return Transport("http://platform", client=client)

    async def person(self) -> Person:
        return await Person.register(
            "http://platform", "author", "pw", transport=self.transport(), now=lambda: self.now
        )

    # What operator and partner do

    def agreement(self, **changes: Any) -> dict[str, Any]:
        document = {
            "type": "org.paraph.agreement",
            "partner": SLUG,
            "name": "Marquee",
            "version": 1,
            "predecessor": None,
            "master_key": self.partner.master_key,
            "operator_key": self.operator.public_key,
            "signatories": [
                {"party": "operator", "name": "O", "role": "Director"},
                {"party": "partner", "name": "P", "role": "Director"},
            ],
            "consideration": {"operator": "Service", "partner": "Fee"},
            "ties": [],
            "purposes": ["recommendations"],
            "verbs": ["read"],
            "max_duration_days": 90,
            "max_retention_days": 30,
            "report": {"interfaces": ["inbox"], "initiation_surfaces": ["home"], "variants": ["a"]},
            "limits": {},
            "from": START - DAY,
            "until": START + 60 * DAY,
            "notice_days": 14,
            "reason": None,
            **changes,
        }
        return sign(self.partner.sign_document(document), SERVER, "ed25519:operator", self.operator.sign)

    def device_document(self, **changes: Any) -> dict[str, Any]:
        document = {
            "type": "org.paraph.partner_device",
            "partner": SLUG,
            "device_keys": self.partner.engine.account.device_keys(),
            "created": START - DAY,
            "expires": START + 30 * DAY,
            **changes,
        }
        return self.partner.sign_document(document)

    def record(self, kind: str, document: dict[str, Any], *, logged: bool = True) -> None:
        made = {"kind": kind, "partner": SLUG, "ts": self.now, "document": document}
        member = {
            "agreement": "agreements",
            "agreement-ended": "endings",
            "partner-device": "devices",
            "partner-device-ended": "device_endings",
            "notice": "records",
        }[kind]
        self.listed[member].append(made)
        if logged:
            self.log.publish(public_leaf(kind, SLUG, self.now, document), time=self.now)

    def open_for_business(self) -> None:
        self.record("agreement", self.agreement())
        self.record("partner-device", self.device_document())
        account = self.partner.engine.account
        upload = account.upload()
        assert upload is not None
        self.directory.handle(account.user_id, account.device_id, upload)

    def commit(self, kind: str, partner: str | None, body: dict[str, Any], *, logged: bool = True) -> dict[str, Any]:
        made = entry(kind, self.user, partner, self.now, body)
        o1, o2, week = os.urandom(32), os.urandom(32), week_of(self.now)
        label = account_label(self.log_key, week)
        leaf = private_leaf(week, label, commitment(made, o1, o2))
        if logged:
            self.log.publish(leaf, time=self.now)
        rendered = {
            "seq": len(self.entries) + 1,
            "entry": made,
            "o1": b64url(o1),
            "o2": b64url(o2),
            "label": b64url(label),
            "week": week,
        }
        self.entries.append(rendered)
        return {**rendered, "receipt": make_receipt(KEY.name, leaf_hash(leaf), self.now, self.receipt_key.sign)}

    # HTTP

    def handle(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.requests.append(f"{request.method} {path}")
        if path.startswith(("/log/", "/_paraph/v1/log/")):
            return self.log(request)
        if path == "/_paraph/v1/entries":
            return httpx.Response(200, json=self.page(int(request.url.params["from"])))
        body = json.loads(request.content) if request.content else {}
        for pattern, handler in self._routes():
            match = re.fullmatch(f"{request.method} {pattern}", f"{request.method} {path}")
            if match:
                answer = handler(body, *match.groups())
                return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)
        return httpx.Response(404, json={"errcode": "M_UNRECOGNIZED", "error": f"{request.method} {path}"})

    def _routes(self) -> list[tuple[str, Any]]:
        client, paraph = "/_matrix/client/v3", "/_paraph/v1"
        return [
            (f"{client}/register", self._register),
            (f"{client}/keys/upload", self._upload),
            (f"{client}/keys/query", lambda b: self._keys(KeysQuery(tuple(b["device_keys"]), ()))),
            (f"{client}/keys/claim", self._claim),
            (f"{client}/keys/device_signing/upload", lambda b: self._keys(DeviceSigningUpload(**b))),
            (f"{client}/keys/signatures/upload", lambda b: self._keys(SignaturesUpload(b))),
            (
                f"{client}/sendToDevice/(.*)/(.*)",
                lambda b, kind, txn: self._keys(SendToDevice(txn, kind, b["messages"])),
            ),
            (f"{client}/rooms/.*/state", lambda _b: self._state()),
            (f"{client}/rooms/.*/send/.*/.*", self._send),
            (f"{paraph}/platform", lambda _b: self._platform()),
            (f"{paraph}/partners", lambda _b: {"partners": [self.listed]}),
            (f"{paraph}/partners/.*", lambda _b: self.listed),
            (f"{paraph}/enrol", self._enrol),
            (f"{paraph}/grants/.*/revoke", self._revoke),
            (f"{paraph}/grants/(.*)/key-shares/(.*)", self._share),
            (f"{paraph}/grants/.*/amendments", self._amend),
            (f"{paraph}/grants", self._grants),
        ]

    def page(self, start: int) -> dict[str, Any]:
        """The person's entries from `start` on."""
        shown = [rendered for rendered in self.entries if rendered["seq"] >= start]
        return {"entries": shown, "next": shown[-1]["seq"] + 1 if shown else start}

    def _platform(self) -> dict[str, Any]:
        log = {"origin": KEY.name, "vkey": KEY.verifier.vkey, "policy": self.policy}
        return {"server_name": SERVER, "version": "1", "log": log, "operator_key": self.operator.public_key}

    def _register(self, body: dict[str, Any]) -> dict[str, Any]:
        self.user, self.device = f"@{body['username']}:{SERVER}", "DEVICE1"
        return {"user_id": self.user, "device_id": self.device, "access_token": "token"}

    def _keys(self, request: Any) -> dict[str, Any]:
        return self.directory.handle(self.user, self.device, request)

    def _upload(self, body: dict[str, Any]) -> dict[str, Any]:
        return self._keys(KeysUpload(body.get("device_keys"), body["one_time_keys"], body["fallback_keys"]))

    def _to_device(self, body: dict[str, Any], kind: str, txn: str) -> dict[str, Any]:
        return self._keys(SendToDevice(txn, kind, body["messages"]))

    def _claim(self, body: dict[str, Any]) -> dict[str, Any]:
        wanted = tuple(Peer(u, d, "", "") for u, devices in body["one_time_keys"].items() for d in devices)
        return self._keys(KeysClaim(wanted))

    def _state(self) -> list[dict[str, Any]]:
        return [
            {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}},
            {"type": "m.room.member", "state_key": self.user, "content": {"membership": "join"}},
        ]

    def _send(self, body: dict[str, Any]) -> Any:
        if self.stale_once:
            self.stale_once = False
            return httpx.Response(409, json={"errcode": "ORG_PARAPH_STALE_GRANTS", "error": "older"})
        self.sent.append(body)
        return {"event_id": f"$sent{len(self.sent)}"}

    def _enrol(self, body: dict[str, Any]) -> dict[str, Any]:
        self.log_key = unb64url(body["log_key"])
        return {"entry": self.commit("device", None, {"enrolment": body["enrolment"]})}

    def _grants(self, body: dict[str, Any]) -> dict[str, Any]:
        if not body:
            return {"version": self.version, "enrolled": True, "grants": self.grants}
        self.version += 1
        chain = self.chain()
        self.grants.append(
            {
                "grant": body["grant"],
                "chain": chain,
                "amendments": [],
                "revocation": None,
                "ended": None,
                "live": True,
            }
        )
        made = {"grant": body["grant"], "chain": chain}
        return {"version": self.version, "entry": self.commit("grant", SLUG, made, logged=self.record_grants)}

    def chain(self) -> dict[str, Any]:
        return {
            "device_keys": self.directory.device_keys[self.user][self.device],
            "self_signing_key": self.directory.cross_signing[self.user]["self_signing_keys"],
        }

    def _amend(self, body: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        made = {"amendment": body["amendment"], "chain": self.chain()}
        self.grants[-1]["amendments"].append(made)
        return {"version": self.version, "entry": self.commit("amend", SLUG, made)}

    def _revoke(self, _body: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        grant = self.grants[-1]
        revocation = {
            "type": "org.paraph.revocation",
            "grant_id": grant["grant"]["grant_id"],
            "person": self.user,
            "reason": None,
            "created": self.now,
        }
        grant["revocation"] = revocation
        return {"version": self.version, "entry": self.commit("revoke", SLUG, {"revocation": revocation})}

    def _share(self, body: dict[str, Any], grant_id: str, txn: str) -> dict[str, Any]:
        self._keys(KeyShare(txn, grant_id, tuple(body["shares"])))
        return {"entries": []}
