"""A real platform in this process with something to explore: partners, versions, endings, devices, private records."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from paraph.protocol import entry as protocol
from paraph.protocol.agreement import OPERATOR_KEY_ID
from paraph.protocol.signing import document_hash, sign
from paraph.sdk import Partner, Transport
from paraph.server.app import Server, build, system_time
from paraph.server.config import Settings
from paraph.server.storage import Transaction
from paraph.tlog import note, policy
from paraph.tlog.merkle import leaf_hash
from paraph.tlog.policy import Policy
from paraph.witness import folder
from paraph.witness.app import WitnessApplication
from paraph.witness.service import Witness
from tests.server.ledger.watching import serving
from tests.support.databases import databases
from tests.support.partners import ADMIN, publish_agreement, register_partner
from tests.support.server import free_port

DAY = 86_400_000
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\" onmouseover='alert(1)"
TURNED = "approved \u202etxt.exe\u2066\u200b by the board"
LONG = "0123456789" * 1000


@dataclass
class Explored:
    """A running platform, a browser without script, and where things are."""

    server: Server
    http: httpx.AsyncClient
    partners: dict[str, Partner] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    witnesses: Policy | None = None

    @property
    def operator(self) -> dict[str, str]:
        """The operator's header."""
        return {"Authorization": f"Bearer {self.server._admin_token}"}

    async def get(self, path: str, status: int = 200, **headers: str) -> httpx.Response:
        """GET a path, which must answer with this status."""
        answer = await self.http.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        assert answer.status_code == status, (path, answer.status_code, answer.text)
        return answer

    async def json(self, path: str) -> dict[str, Any]:
        """The twin of a page."""
        found: dict[str, Any] = (await self.get(f"{path}.json")).json()
        return found

    async def add_partner(self, slug: str, name: str, *versions: dict[str, Any]) -> Partner:
        """A registered partner with an agreement for each of the given terms."""
        made = Partner.create(str(self.http.base_url), slug, "localhost", transport=self.transport())
        await register_partner(self.http, self.operator, made)
        body = {"slug": slug, "name": name, "master_key": made.master_key, "client_jwk": made.client_jwk}
        answer = await self.http.post(f"{ADMIN}/partners", json=body, headers=self.operator)
        assert answer.is_success, answer.text
        for terms in versions:
            await publish_agreement(self.http, self.operator, made, self.server, **terms)
        self.partners[slug] = made
        return made

    def transport(self) -> Transport:
        """What an SDK client calls through."""
        return Transport(str(self.http.base_url).rstrip("/"), client=self.http)

    async def end_agreement(self, slug: str, reason: str) -> None:
        """End a partner's newest agreement as the operator."""
        known = (await self.http.get(f"/_paraph/v1/partners/{slug}")).json()
        newest = max((record["document"] for record in known["agreements"]), key=lambda document: document["version"])
        document = {
            "type": "org.paraph.agreement_ended",
            "partner": slug,
            "version": newest["version"],
            "agreement_hash": document_hash(newest),
            "ended": system_time(),
            "reason": reason,
        }
        ending = sign(document, "localhost", OPERATOR_KEY_ID, self.server.consent.operator_key.sign)
        answer = await self.http.post(f"{ADMIN}/agreements/{slug}/end", json={"ending": ending}, headers=self.operator)
        assert answer.is_success, answer.text

    async def end_device(self, slug: str) -> None:
        """End a partner's device as the operator."""
        device_id = self.partners[slug].device_id
        document = {
            "type": "org.paraph.partner_device_ended",
            "partner": slug,
            "device_id": device_id,
            "ended": system_time(),
            "reason": "the machine was replaced",
        }
        ending = sign(document, "localhost", OPERATOR_KEY_ID, self.server.consent.operator_key.sign)
        answer = await self.http.post(
            f"{ADMIN}/partner-devices/{slug}/{device_id}/end", json={"ending": ending}, headers=self.operator
        )
        assert answer.is_success, answer.text

    async def record(self, kind: str, partner: str, document: dict[str, Any]) -> str:
        """Record any public document; returns its leaf hash in hex."""
        record = await self.server.database.write(
            lambda tx: self.server.ledger.record_public(tx, kind, partner, document)
        )
        return leaf_hash(protocol.public_leaf(kind, partner, record["ts"], document)).hex()

    async def record_private(self) -> str:
        """Record an entry that nobody but a person can open; returns its leaf hash in hex."""
        ledger = self.server.ledger

        def write(tx: Transaction) -> bytes:
            ledger.set_log_key(tx, "@author:localhost", bytes(range(32)))
            return ledger.record_private(tx, "export", "@author:localhost", None, {"n": system_time()}).leaf

        return leaf_hash(await self.server.database.write(write)).hex()

    async def integrated(self, leaf: str) -> tuple[int, int]:
        """Index and size, once a record is in the log."""
        found = await self.server.ledger.integrated(bytes.fromhex(leaf), 10_000)
        assert found is not None
        return found


@asynccontextmanager
async def platform(data: Path, *, witnessed: bool = False, answering: bool = True) -> AsyncIterator[Explored]:
    """A started platform on a folder; with three witnesses that answer, or that do not."""
    async with AsyncExitStack() as stack:
        ports = [free_port() for _ in range(3)]
        settings = Settings(
            data=data / "data",
            database=databases().setting(data / "paraph.db"),
            registration="open",
            rate_limits=False,
            witnesses=str(write_policy(data, ports)) if witnessed else "",
        )
        server = build(settings)
        if witnessed and answering:
            logs = [note.Verifier.from_vkey(server.ledger.vkey)]
            applications = []
            for number in range(3):
                signer, store = folder.open_folder(data / f"w{number}")
                applications.append(WitnessApplication(Witness(store, signer, logs, lambda: system_time() // 1000)))
            await stack.enter_async_context(serving(applications, ports))
        await server.start()
        stack.push_async_callback(server.stop)
        transport = httpx.ASGITransport(app=server.application)
        http = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url=settings.base_url))
        trusted = None
        if witnessed:
            trusted = policy.parse((data / "policy").read_bytes()).for_log(note.Verifier.from_vkey(server.ledger.vkey))
        yield Explored(server, http, witnesses=trusted)


def write_policy(data: Path, ports: list[int]) -> Path:
    """Make three witnesses below `data`, and the policy of two of them."""
    data.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, port in enumerate(ports):
        vkey = folder.create(data / f"w{number}", f"w{number}.example/witness").verifier.vkey
        lines.append(f"witness w{number} {vkey} http://127.0.0.1:{port}\n")
    (data / "policy").write_text("".join([*lines, "group majority 2 w0 w1 w2\n", "quorum majority\n"]))
    return data / "policy"


SECOND = {
    "purposes": ["recommendations", "reminders"],
    "verbs": ["metadata", "read", "write:draft"],
    "max_retention_days": 14,
    "ties": ["A director of the operator sits on the board.", "The partner spends 1,200,000 a year on notices."],
    "limits": {"reads_per_day": 50000, "drafts_per_day": 100},
    "consideration": {
        "operator": "access within this agreement, and a weekly file of what failed",
        "partner": "a report every fortnight, and 40,000 a year",
    },
    "reason": "The partner asked to leave drafts; the operator asked for a shorter time of keeping.",
}
"""What the second version of an agreement changes."""


async def furnish(here: Explored) -> None:
    """Partners in every state, a person who grants, hostile documents; all of it in the log when this returns."""
    marquee = await here.add_partner("marquee", "Marquee", {"notice_days": 0}, SECOND)
    await marquee.publish_device()
    await here.end_device("marquee")
    tempo = await here.add_partner("tempo", "Tempo & Söhne <b>", {"notice_days": 0}, {"reason": "A correction."})
    await tempo.publish_device()
    await here.end_agreement("tempo", "The contract is over.")
    await here.add_partner("umbra", "Umbra")
    await here.add_partner("later", "Later", {"from": system_time() + 30 * DAY})
    here.hashes["private"] = await here.record_private()
    for name, text in (("hostile", HOSTILE), ("turned", TURNED), ("long", LONG)):
        document = {"type": "org.example.notice", "text": text, "nested": {text[:200]: [text, 1, True, None, {}]}}
        here.hashes[name] = await here.record("notice", "marquee", document)
    here.hashes["report"] = await here.record(
        "report", "marquee", {"type": "org.example.report", "cells": [{"day": "2026-01-05", "sends": 120}]}
    )
    here.hashes["admin"] = await here.record("admin", "platform", {"type": "org.example.act", "text": "limits raised"})
    here.hashes["build"] = await here.record("platform", "platform", {"version": "0.9", "api": "0" * 64})
    await here.integrated(here.hashes["build"])
