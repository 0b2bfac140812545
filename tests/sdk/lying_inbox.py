"""An Inbox API with a log, receipts and one author's device behind it: honest until a test makes it lie."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import httpx

from paraph.protocol.base64 import b64url
from paraph.protocol.entry import access_label, commitment, entry, private_leaf, public_leaf, week_of
from paraph.protocol.receipt import make_receipt
from paraph.protocol.signing import SigningKey
from paraph.sdk.engine.model import GrantView, KeysUpload, PartnerAccess, Peer
from paraph.sdk.log.partners import Trust
from paraph.sdk.partner.partner import Partner
from paraph.sdk.transport import Transport
from paraph.tlog.merkle import leaf_hash
from tests.sdk.directory import AUTHOR, PARTNER, START, Directory, Phone, room
from tests.sdk.partner.test_inbox import GRANT_ID, KEY, ROOM, grant_of
from tests.support.published_log import KEY as LOG_KEY
from tests.support.published_log import POLICY, PublishedLog

SERVER = "example.org"
PURPOSE = "recommendations"
Lie = Callable[[dict[str, Any]], dict[str, Any]]


class LyingInbox:
    """What a partner talks to. `now` is everybody's clock (ms); `lie` changes an answer with messages."""

    def __init__(self) -> None:
        self.now = START
        self.log = PublishedLog()
        self.receipt_key = SigningKey.generate()
        self.policy: str | None = POLICY
        self.lie: Lie = lambda answer: answer
        self.label_key = KEY
        self.requests: list[str] = []
        self.outbox: list[bytes] = []
        self.hidden: set[bytes] = set()
        self.events: list[dict[str, Any]] = []
        self.directory = Directory()
        self.author = Phone(self.directory, AUTHOR, "A")
        self.partner = self.new_partner()
        account = self.partner.engine.account
        upload = account.upload()
        assert isinstance(upload, KeysUpload)
        self.directory.handle(PARTNER, account.device_id, upload)
        peer = Peer(PARTNER, account.device_id, account.curve25519, account.ed25519)
        self.view = GrantView(1, START, (PartnerAccess(GRANT_ID, PARTNER, None, START + 10**9, (peer,)),))
        self.record("consent-template", {"text": "shown to people"})
        self.name_receipt_key()
        self.integrate()

    def new_partner(self, trust: Trust | None = None) -> Partner:
        """A partner that knows nothing of the platform but what it is given."""
        client = httpx.AsyncClient(transport=httpx.MockTransport(self.handle))
        transport = Transport("http://platform", client=client, sleep=_no_wait)
        return Partner.create(
            "http://platform", "marquee", SERVER, transport=transport, trust=trust, now=lambda: self.now
        )

    # What happens on the platform

    def record(self, kind: str, document: dict[str, Any]) -> dict[str, Any]:
        """A public record about the platform, which waits for the log."""
        self.outbox.append(public_leaf(kind, "platform", self.now, document))
        return {"kind": kind, "partner": "platform", "ts": self.now, "document": document}

    def name_receipt_key(self, **changes: Any) -> None:
        """The platform's record."""
        document = {"version": "1", "server_name": SERVER, "receipt_key": self.receipt_key.public_key}
        self.record("platform", document | changes)

    def integrate(self) -> None:
        """One more epoch, now, with all that waits but what is hidden."""
        self.log.publish(*(leaf for leaf in self.outbox if leaf not in self.hidden), time=self.now)
        self.outbox = [leaf for leaf in self.outbox if leaf in self.hidden]

    def says(self, text: str) -> str:
        """The author writes; returns the event's id."""
        sent = self.author.send(text, room(AUTHOR), self.view)
        self.events.append(sent | {"room_id": ROOM})
        return str(sent["event_id"])

    def gives_key(self) -> None:
        """The author's device sends the grant key."""
        devices = self.view.partners[0].devices
        with self.author.records.step():
            content = {"grant_id": GRANT_ID, "grant_key": b64url(KEY)}
            assert self.author.engine.send_to_partner(GRANT_ID, devices, "org.paraph.grant_key", content)
        self.author.drain()

    def access(self, event_ids: list[str]) -> dict[str, Any]:
        """An access entry with its receipt; its leaf waits for the log."""
        week, body = week_of(self.now), {"grant_id": GRANT_ID, "purpose": PURPOSE, "room_id": ROOM}
        made = entry("access", AUTHOR, "marquee", self.now, body | {"event_ids": event_ids})
        o1, o2, label = os.urandom(32), os.urandom(32), access_label(self.label_key, week)
        leaf = private_leaf(week, label, commitment(made, o1, o2))
        self.outbox.append(leaf)
        return {
            "seq": len(self.log.leaves),
            "entry": made,
            "o1": b64url(o1),
            "o2": b64url(o2),
            "label": b64url(label),
            "week": week,
            "receipt": make_receipt(LOG_KEY.name, leaf_hash(leaf), self.now, self.receipt_key.sign),
        }

    # HTTP

    def handle(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        path = request.url.path
        self.requests.append(path)
        if path.startswith(("/log/", "/_paraph/v1/log/")):
            return self.log(request)
        answer = {
            "/oauth/token": lambda: {"access_token": "token", "token_type": "DPoP", "expires_in": 300},
            "/_paraph/v1/platform": self._platform,
            "/inbox/v1/grants": lambda: {"grants": [grant_of(self.author)]},
            "/inbox/v1/key-events": self._key_events,
            f"/inbox/v1/rooms/{ROOM}/messages": self._messages,
        }[path]()
        return httpx.Response(200, content=json.dumps(answer).encode(), headers={"content-type": "application/json"})

    def _platform(self) -> dict[str, Any]:
        log = {"origin": LOG_KEY.name, "vkey": LOG_KEY.verifier.vkey, "policy": self.policy}
        return {"server_name": SERVER, "log": log, "operator_key": self.receipt_key.public_key}

    def _key_events(self) -> dict[str, Any]:
        queue = self.directory.queues.pop((PARTNER, self.partner.device_id), [])
        return {"events": [{**event, "sender_device": "A"} for event in queue], "next": None}

    def _messages(self) -> dict[str, Any]:
        events, self.events = self.events, []
        accesses = [self.access([event["event_id"] for event in events])] if events else []
        return self.lie({"messages": events, "accesses": accesses, "next": "p1"})


async def _no_wait(_seconds: float) -> None:
    return None
