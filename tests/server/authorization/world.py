"""A platform on which grants of every fate lie side by side, and tokens of every kind for each."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any

import httpx

from paraph.protocol.base64 import b64url
from paraph.sdk import GrantTerms, Partner, Person
from paraph.sdk.clock import system_time
from paraph.sdk.media import address_of, file_of
from paraph.server.consent.oauth.tokens import hashed
from paraph.server.storage import Transaction
from tests.sdk.stage import DAY, PURPOSE, VERBS, Stage
from tests.server.authorization.table import State, Token
from tests.support.partners import publish_agreement
from tests.truth.scene import end_agreement

CALLBACK = "https://marquee.example/callback"
HOUR = 3_600_000
UNKNOWN = {"grant_id": "gr_" + "A" * 22, "draft_id": "dr_" + "A" * 22}


class Clock:
    """Everybody's; it can be turned."""

    def __init__(self) -> None:
        self.ahead = 0

    def __call__(self) -> int:
        return system_time() + self.ahead


@dataclass
class Case:
    """One fate: what is in the paths, and whose tokens there are."""

    state: State
    partner: Partner
    author: Person
    ids: dict[str, str]
    device: dict[str, Any]
    draft: dict[str, Any] | None = None
    disposal: dict[str, Any] | None = None
    tokens: dict[Token, tuple[Partner, str]] = field(default_factory=dict)

    def body(self, endpoint: str) -> dict[str, Any]:
        """A body that the endpoint takes."""
        named = {"grant_id": self.ids["grant_id"], "devices": [self.author.device_id]}
        keys: dict[str, Any] = {"device_id": self.partner.device_id, "one_time_keys": {}, "fallback_keys": {}}
        bodies: dict[str, dict[str, Any]] = {
            "POST /inbox/v1/devices": {"device": self.device},
            "POST /inbox/v1/device-keys": keys,
            "POST /inbox/v1/webhooks": {"url": "http://somewhere.example/"},
            "POST /inbox/v1/claim-keys": named,
            "POST /inbox/v1/drafts": {"draft": self.draft},
            "POST /inbox/v1/disposals": {"disposal": self.disposal},
        }
        end = {"ending": self.ending} if endpoint.endswith("/end") else {"purpose": PURPOSE}
        return bodies.get(endpoint, end)

    @property
    def ending(self) -> dict[str, Any]:
        """The signed end of the partner's device."""
        document = {
            "type": "org.paraph.partner_device_ended",
            "partner": self.partner.slug,
            "device_id": self.partner.device_id,
            "ended": self.device["created"],
            "reason": None,
        }
        return self.partner.sign_document(document)


class Caught(Exception):
    """A request that was made up and not sent."""


class World:
    """Made by `build`."""

    def __init__(self, here: Stage, clock: Clock) -> None:
        self.here = here
        self.clock = clock
        self.cases: dict[State, Case] = {}
        self._bodies: list[bytes] = []
        self._catching = False
        here.http.event_hooks["request"].append(self._catch)

    async def _catch(self, request: httpx.Request) -> None:
        if self._catching and (request.method, request.url.path) == ("POST", "/inbox/v1/drafts"):
            self._bodies.append(request.content)
            raise Caught

    async def partner(self, slug: str, **terms: Any) -> tuple[Partner, dict[str, Any]]:
        """A partner with a redirect URI; and its device's record."""
        here = self.here
        partner = Partner.create(
            here.server.settings.base_url, slug, "localhost", transport=here.transport(), now=here.now
        )
        body = {"slug": slug, "name": slug, "master_key": partner.master_key, "client_jwk": partner.client_jwk}
        registered = {**body, "redirect_uris": [CALLBACK]}
        answer = await here.http.post("/_paraph/v1/admin/partners", json=registered, headers=here.operator)
        assert answer.is_success, answer.text
        await publish_agreement(here.http, here.operator, partner, here.server, verbs=VERBS, notice_days=0, **terms)
        return partner, (await partner.publish_device())["document"]

    async def build(self) -> World:
        """Grants of every fate. Time passes once, for all of them."""
        marquee, tempo = await self.partner("films"), await self.partner("music")
        older, narrower, ended = [await self.partner(slug) for slug in ("older", "narrower", "ended")]
        for state in State:
            own = {State.OLDER: older, State.NARROWER: narrower, State.ENDED: ended}.get(state, marquee)
            self.cases[state] = await self._case(state, *own)
        elsewhere = await self.here.person("elsewhere")
        await elsewhere.enrol()
        others = {
            partner.slug: await self._flow(partner, elsewhere, 20 * DAY)
            for partner, _ in (marquee, older, narrower, ended)
        }
        for case in self.cases.values():
            case.tokens[Token.OTHER_GRANT] = case.partner, others[case.partner.slug][1]
        await self._theirs(tempo[0])
        await self._tokens(tempo[0])
        await self._befall(older[0], narrower[0], ended[0])
        return self

    async def _case(self, state: State, partner: Partner, device: dict[str, Any]) -> Case:
        """An author who said something, and granted what is to befall her grant later."""
        author = await self.here.person(f"author.{state.name.lower()}")
        rooms = [await author.create_room([]) for _ in range(2)]
        await author.enrol()
        ids = {**UNKNOWN, "room_id": rooms[0], "device_id": partner.device_id, "webhook_id": "wh_none"}
        case = Case(state, partner, author, ids, device)
        if state not in (State.NONE, State.OTHER_PARTNERS):
            until = HOUR if state is State.EXPIRED else 20 * DAY
            ids["grant_id"], token = await self._flow(partner, author, until, rooms)
            case.tokens[Token.THIS_GRANT] = partner, token
            await partner.poll()
            ids["draft_id"] = await partner.draft(ids["grant_id"], rooms[0], "Friday?")
            case.draft = await self._unsent(partner, ids["grant_id"], rooms[0])
        await self._said(case)
        return case

    async def _said(self, case: Case) -> None:
        case.ids["event_id"] = await case.author.send_text(case.ids["room_id"], "something said")
        await case.author.send_file(case.ids["room_id"], b"a picture", name="picture.png")
        newest = (await case.author.messages(case.ids["room_id"]))[-1]
        case.ids["media_id"] = address_of(file_of(newest).url)[1]

    async def _unsent(self, partner: Partner, grant_id: str, room_id: str) -> dict[str, Any]:
        """A draft that is sealed and signed and not left yet."""
        self._catching = True
        try:
            await partner.draft(grant_id, room_id, "Saturday?")
        except Caught:
            return dict(json.loads(self._bodies.pop())["draft"])
        finally:
            self._catching = False
        raise AssertionError("the draft was left")

    async def _flow(
        self, partner: Partner, author: Person, life: int, rooms: list[str] | None = None
    ) -> tuple[str, str]:
        """A grant by the code flow; its id and its access token."""
        details = {"verbs": VERBS, "purposes": [PURPOSE], "until": self.here.now() + life}
        asking = await partner.ask(details | ({"rooms": rooms} if rooms else {}), CALLBACK)
        done = await author.answer(await author.consents(asking.url), agree=lambda _text: True)
        granted = await partner.redeem(asking, done.redirect)
        return granted.grant_id, granted.access_token

    async def _theirs(self, tempo: Partner) -> None:
        """A grant to another partner, with a draft that it left."""
        case = self.cases[State.OTHER_PARTNERS]
        terms = GrantTerms([PURPOSE], self.here.now() + 20 * DAY, [case.ids["room_id"]], VERBS)
        case.ids["grant_id"] = (await case.author.grant(tempo.slug, terms)).grant.grant_id
        await tempo.poll()
        case.ids["draft_id"] = await tempo.draft(case.ids["grant_id"], case.ids["room_id"], "Friday?")
        await self._said(case)
        sealed = self.cases[State.LIVE].draft or {}
        for state in (State.NONE, State.OTHER_PARTNERS):  # its own signature, under a grant that it does not have
            other = self.cases[state]
            forged = {**sealed, "grant_id": other.ids["grant_id"], "draft_id": f"dr_{b64url(os.urandom(16))}"}
            del forged["signatures"]
            other.draft = other.partner.engine.account.signed(forged)

    async def _tokens(self, tempo: Partner) -> None:
        """The tokens that no grant is needed for."""
        stranger, _ = await self.partner("stranger")
        for partner in {case.partner.slug: case.partner for case in self.cases.values()}.values():
            expired, back, whole = await fresh(partner), await fresh(partner), await fresh(partner)
            await partner.auth.tell("/oauth/revoke", {"token": back})
            for case in (case for case in self.cases.values() if case.partner is partner):
                other = stranger if case.state is State.OTHER_PARTNERS else tempo
                case.tokens |= {
                    Token.PERSONS: (partner, str(self.here.correspondent._transport.token)),
                    Token.EXPIRED: (partner, expired),
                    Token.REVOKED: (partner, back),
                    Token.OTHER_KEY: (stranger, whole),
                    Token.OTHER_PARTNERS: (other, await fresh(other)),
                    Token.WHOLE: (partner, whole),
                }

    async def _befall(self, older: Partner, narrower: Partner, ended: Partner) -> None:
        """What becomes of the grants. Tokens outlive the hours that pass, but for those that are to expire."""
        grants = {state: case.ids["grant_id"] for state, case in self.cases.items()}
        authors = {state: case.author for state, case in self.cases.items()}
        await authors[State.PAUSED].pause(grants[State.PAUSED])
        narrowed = self.cases[State.NARROWED]
        await narrowed.author.drop_rooms(narrowed.ids["grant_id"], [narrowed.ids["room_id"]])
        await authors[State.REVOKED].revoke(grants[State.REVOKED])
        await self._agree(older, VERBS)
        await self._agree(narrower, ["metadata"])
        await end_agreement(self.here, ended)
        self.clock.ahead += 2 * HOUR
        expired = [hashed(case.tokens[Token.EXPIRED][1]) for case in self.cases.values()]
        later = self.here.now() + DAY

        def write(tx: Transaction) -> None:
            tx.run("UPDATE consent_tokens SET expires = :later WHERE expires > 1", {"later": later})
            for one in expired:
                tx.run("UPDATE consent_tokens SET expires = 1 WHERE token_hash = :hash", {"hash": one})

        await self.here.server.database.write(write)
        for case in self.cases.values():
            case.disposal = self._disposal(case)

    def _disposal(self, case: Case) -> dict[str, Any]:
        """The partner's word, of now, that what it opened under the grant is deleted."""
        now, partner = self.here.now(), case.partner
        named = {"grant_id": case.ids["grant_id"], "partner": partner.slug, "device_id": partner.device_id}
        counts = dict.fromkeys(("accesses", "messages", "keys"), 0)
        said = {"type": "org.paraph.disposal", "opened_before": now, "created": now}
        return partner.engine.account.signed({**named, **counts, **said})

    async def _agree(self, partner: Partner, verbs: list[str]) -> None:
        here = self.here
        await publish_agreement(here.http, here.operator, partner, here.server, verbs=verbs, notice_days=0)

    # Calls

    async def call(self, endpoint: str, case: Case, token: Token) -> httpx.Response:
        """Call an endpoint with a token, under a proof by whose key it is said to be."""
        method, path = endpoint.split(" ")
        for name, value in case.ids.items():
            path = path.replace(f"{{{name}}}", value)
        headers = {}
        if token is not Token.NONE:
            by, text = case.tokens[token]
            headers = self._proof(by, method, path, text)
        params = {"purpose": PURPOSE, "grant_id": case.ids["grant_id"], "device_id": case.partner.device_id}
        content = None if method == "GET" else json.dumps(case.body(endpoint)).encode()
        query = params if method == "GET" else None
        return await self.here.http.request(method, path, params=query, content=content, headers=headers)

    def _proof(self, by: Partner, method: str, path: str, token: str) -> dict[str, str]:
        auth = by.auth
        before, auth._token = auth._token, token
        auth._nonce = self.here.server.consent.authorization.proofs.nonces.current()
        try:
            return auth.prove(method, path)
        finally:
            auth._token = before


async def fresh(partner: Partner) -> str:
    """A new token for the partner as a whole."""
    partner.auth.forget()
    await partner.rooms()
    assert partner.auth.token is not None
    return partner.auth.token
