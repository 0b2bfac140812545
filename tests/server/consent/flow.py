"""The authorization code flow, step by step, so that a test can spoil any of them."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec

from paraph.protocol.base64 import b64url
from tests.server.consent.support import DAY, JWT_BEARER, NOW, PartnerParty, Person, World

REDIRECT = "https://marquee.example/callback?from=paraph"
DETAILS = {
    "type": "paraph_inbox",
    "verbs": ["read"],
    "rooms": "all",
    "purposes": ["films"],
    "until": NOW + 30 * DAY,
    "retention_days": 7,
}


@dataclass
class Flow:
    """One partner's flow. `push`, then `answer` as a person, then `redeem` the code."""

    here: World
    partner: PartnerParty
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    request_uri: str = ""

    @property
    def id(self) -> str:
        """The request's id."""
        return self.request_uri.rpartition(":")[2]

    @property
    def url(self) -> str:
        """Where the person's client finds it."""
        return f"/_paraph/v1/consents/{self.id}"

    async def form(self, path: str, *, proof: str | None = None, **values: str | None) -> httpx.Response:
        """POST a form as the partner; a value of None leaves a parameter out, a proof of "" the proof."""
        form = {"client_assertion_type": JWT_BEARER, "client_assertion": self.partner.assertion(self.here.clock.now)}
        body = {name: value for name, value in (form | values).items() if value is not None}
        proof = self.here.prove(self.partner, "POST", path) if proof is None else proof
        return await self.here.http.post(path, data=body, headers={"dpop": proof} if proof else {})

    async def push(
        self, details: Mapping[str, Any] | None = None, *, proof: str | None = None, **values: str | None
    ) -> httpx.Response:
        """Push the request."""
        parameters: dict[str, str | None] = {
            "client_id": self.partner.slug,
            "response_type": "code",
            "redirect_uri": REDIRECT,
            "state": "a state & more",
            "code_challenge": b64url(hashlib.sha256(self.verifier.encode()).digest()),
            "code_challenge_method": "S256",
            "authorization_details": msgspec.json.encode([DETAILS | dict(details or {})]).decode(),
        }
        answer = await self.form("/oauth/par", proof=proof, **(parameters | values))
        if answer.status_code == 201:
            self.request_uri = answer.json()["request_uri"]
        return answer

    async def page(self, **changes: str) -> httpx.Response:
        """Open the page."""
        query = {"client_id": self.partner.slug, "request_uri": self.request_uri} | changes
        return await self.here.http.get("/oauth/authorize", params=query)

    async def look(self, person: Person) -> httpx.Response:
        """Look at the request as a person."""
        return await self.here.get(f"{self.url}?timeout=5000", person.device)

    async def answer(self, person: Person, document: dict[str, Any] | None = None, **changes: Any) -> httpx.Response:
        """Answer with a grant, by default for what is asked."""
        if document is None:
            terms = {"until": DETAILS["until"]} | changes
            document = person.device.sign(self.here.grant(person, self.partner, terms.pop("rooms", "all"), **terms))
        return await self.here.post(f"{self.url}?timeout=5000", {"grant": document}, person.device)

    async def code(self, person: Person) -> str:
        """Grant what is asked; the code."""
        answer = await self.answer(person)
        assert answer.status_code == 200, answer.text
        return answered(answer)["code"]

    async def redeem(self, code: str, *, proof: str | None = None, **values: str | None) -> httpx.Response:
        """Redeem the code."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT}
        answer = await self.form("/oauth/token", proof=proof, **(form | {"code_verifier": self.verifier} | values))
        if answer.status_code == 200:
            self.here.take_token(self.partner, answer.json()["access_token"])
        return answer


def answered(answer: httpx.Response) -> dict[str, str]:
    """What a redirect says."""
    redirect = answer.json()["redirect"]
    assert redirect.startswith(REDIRECT)
    found = {name: values[0] for name, values in parse_qs(urlsplit(redirect).query).items()}
    assert found.pop("from") == "paraph"
    return found


def error(answer: httpx.Response) -> tuple[int, str]:
    """Status and OAuth error code."""
    return answer.status_code, answer.json()["error"]


async def begun(here: World, **terms: Any) -> tuple[Flow, Person]:
    """A partner with a redirect URI, and a person."""
    partner = await here.add_partner(**terms)
    assert (await here.register(partner, redirect_uris=[REDIRECT])).status_code == 200
    return Flow(here, partner), await here.add_person("author")
