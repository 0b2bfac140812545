"""What it costs to let a partner in: a token looked up, a proof (DPoP) verified, a whole poll that finds nothing.

Processor time of this process, medians of rounds, the server in the same process over a bare ASGI call: no socket, no
HTTP parser. Proofs are made beforehand.

    python -m bench.authorization [--rounds 15] [--calls 200] [--json]
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey
from rich.console import Console
from rich.table import Table

from paraph.cli.agreement import draft_agreement
from paraph.protocol.agreement import OPERATOR_KEY_ID
from paraph.protocol.base64 import b64url
from paraph.protocol.signing import SigningKey, sign
from paraph.sdk.partner.client_assertion import client_assertion
from paraph.server.app import Server
from paraph.server.config import Settings
from paraph.server.consent.model import Partner
from paraph.server.consent.oauth.dpop import Proof
from paraph.server.http.endpoint import Presented

SLUG, PATH = "marquee", "/inbox/v1/grants"
Key = OKPKey | ECKey


class Bench:
    """One server and a partner with a token."""

    def __init__(self, server: Server, key: Key, algorithm: str) -> None:
        self.server = server
        self.key = key
        self.algorithm = algorithm
        self.token = ""

    async def prepare(self) -> None:
        """Register the partner, publish an agreement, get a token."""
        consent, database = self.server.consent, self.server.database
        master, client = SigningKey.generate(), OKPKey.generate_key("Ed25519")
        partner = Partner(SLUG, "Marquee", master.public_key, client.as_dict(private=False))
        await database.write(lambda tx: consent.partners.register(tx, partner))
        rendered = await database.read(lambda tx: consent.partners.rendered(tx, partner))
        name = consent.server_name
        draft = draft_agreement({"server_name": name, "operator_key": consent.operator_key.public_key}, rendered)
        signed = sign(draft, name, OPERATOR_KEY_ID, consent.operator_key.sign)
        document = sign(signed, rendered["user_id"], master.key_id, master.sign)
        await database.write(lambda tx: consent.partners.publish_agreement(tx, document))
        issuer = consent.authorization.issuer
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": client_assertion(SLUG, issuer, client, int(time.time())),
        }
        proof = Proof(self.key.thumbprint(), "first", 2**50)
        self.token = (await consent.authorization.tokens.issue(form, proof)).access_token

    def presented(self, number: int) -> Presented:
        """A request with a proof of its own."""
        authorization = self.server.consent.authorization
        claims = {
            "jti": f"{time.time_ns()}-{number}",
            "htm": "GET",
            "htu": authorization.issuer + PATH,
            "iat": int(time.time()),
            "nonce": authorization.proofs.nonces.current(),
            "ath": b64url(hashlib.sha256(self.token.encode()).digest()),
        }
        header = {"alg": self.algorithm, "typ": "dpop+jwt", "jwk": self.key.as_dict(private=False)}
        proof = jwt.encode(header, claims, self.key, algorithms=[self.algorithm])
        return Presented("dpop", self.token, (proof,), "GET", PATH)

    async def enter(self, presented: Presented) -> None:
        """Token and proof."""
        await self.server.consent.authorization.door.authenticate(presented)

    async def look_up(self, presented: Presented) -> None:
        """The token alone."""
        assert await self.server.consent.authorization.tokens.principal(presented.token) is not None

    async def poll(self, presented: Presented) -> None:
        """A whole request whose answer is an empty list."""
        statuses: list[int] = []
        headers = [
            (b"authorization", f"DPoP {presented.token}".encode()),
            (b"dpop", presented.proofs[0].encode()),
        ]
        scope = {
            "type": "http",
            "method": "GET",
            "raw_path": PATH.encode(),
            "query_string": b"",
            "headers": headers,
            "client": ("127.0.0.1", 1),
        }

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b""}

        async def send(message: Any) -> None:
            statuses.append(message.get("status", 0))

        await self.server.application(scope, receive, send)
        assert statuses[0] == 200, statuses

    async def measured(self, step: Callable[[Presented], Awaitable[None]], rounds: int, calls: int) -> float:
        """Processor time of one step in milliseconds: the median of the rounds' means."""
        means = []
        for _ in range(rounds):
            asked = [self.presented(number) for number in range(calls)]
            begin = time.process_time()
            for one in asked:
                await step(one)
            means.append((time.process_time() - begin) / calls * 1000)
        return statistics.median(means)


async def measure(rounds: int, calls: int) -> dict[str, float]:
    """Every figure, in milliseconds of processor time."""
    figures: dict[str, float] = {}
    keys: list[tuple[Key, str]] = [
        (OKPKey.generate_key("Ed25519"), "Ed25519"),
        (ECKey.generate_key("P-256"), "ES256"),
    ]
    for key, algorithm in keys:
        with tempfile.TemporaryDirectory() as folder:
            server = Server(Settings(data=Path(folder), rate_limits=False))
            await server.start()
            bench = Bench(server, key, algorithm)
            await bench.prepare()
            for name, step in (("token", bench.look_up), ("token and proof", bench.enter), ("poll", bench.poll)):
                figures[f"{name}, {algorithm}"] = round(await bench.measured(step, rounds, calls), 4)
            await server.stop()
    return figures


def main(
    rounds: Annotated[int, typer.Option(min=1)] = 15,
    calls: Annotated[int, typer.Option(min=1)] = 200,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Measure and print."""
    figures = asyncio.run(measure(rounds, calls))
    if as_json:
        print(json.dumps(figures))
        return
    table = Table("what", "processor time, ms")
    for name, value in figures.items():
        table.add_row(name, f"{value:.3f}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
