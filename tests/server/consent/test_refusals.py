"""What is refused on the way to a token, each with the error that OAuth has for it (the official plans' cases)."""

from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from paraph.protocol.base64 import b64url
from paraph.server.consent.oauth.dpop import MAX_PROOF_BYTES
from tests.server.consent.flow import DETAILS, REDIRECT, Flow, answered, begun, error
from tests.server.consent.support import DAY, ISSUER, NOW, PartnerParty, World, world
from tests.server.consent.test_oauth import raw
from tests.support.databases import databases

SECONDS = NOW // 1000
INVALID_REQUEST, INVALID_GRANT = (400, "invalid_request"), (400, "invalid_grant")
INVALID_PROOF, NONCE = (400, "invalid_dpop_proof"), (400, "use_dpop_nonce")
INVALID_DETAILS, INVALID_CLIENT = (400, "invalid_authorization_details"), (401, "invalid_client")


def details(**changes: Any) -> str:
    """`authorization_details`; None leaves a member out."""
    document = {name: value for name, value in (DETAILS | changes).items() if value is not None}
    return msgspec.json.encode([document]).decode()


PUSHED: list[tuple[dict[str, str | None], tuple[int, str]]] = [
    ({"response_type": "token"}, (400, "unsupported_response_type")),
    ({"response_type": "code id_token"}, (400, "unsupported_response_type")),
    ({"response_type": None}, INVALID_REQUEST),
    ({"response_mode": "fragment"}, INVALID_REQUEST),
    ({"redirect_uri": None}, INVALID_REQUEST),
    ({"redirect_uri": f"{REDIRECT}&more=1"}, INVALID_REQUEST),
    ({"redirect_uri": REDIRECT.partition("?")[0]}, INVALID_REQUEST),
    ({"redirect_uri": "https://elsewhere.example/callback"}, INVALID_REQUEST),
    ({"code_challenge_method": "plain"}, INVALID_REQUEST),
    ({"code_challenge_method": None}, INVALID_REQUEST),
    ({"code_challenge": None}, INVALID_REQUEST),
    ({"code_challenge": "short"}, INVALID_REQUEST),
    ({"state": ""}, INVALID_REQUEST),
    ({"state": "x" * 513}, INVALID_REQUEST),
    ({"state": "a\nb"}, INVALID_REQUEST),
    ({"request_uri": "urn:ietf:params:oauth:request_uri:x"}, INVALID_REQUEST),
    ({"request": "a.b.c"}, (400, "request_not_supported")),
    ({"scope": "openid"}, (400, "invalid_scope")),
    ({"resource": "https://elsewhere.example"}, (400, "invalid_target")),
    ({"dpop_jkt": b64url(bytes(32))}, INVALID_PROOF),
    ({"client_id": "tempo"}, INVALID_CLIENT),
    ({"client_secret": "guess"}, INVALID_REQUEST),
    ({"client_assertion": "a.b.c"}, INVALID_CLIENT),
    ({"authorization_details": None}, INVALID_REQUEST),
    ({"authorization_details": "no json"}, INVALID_DETAILS),
    ({"authorization_details": "{}"}, INVALID_DETAILS),
    ({"authorization_details": "[]"}, INVALID_DETAILS),
    ({"authorization_details": f"[{details()[1:-1]},{details()[1:-1]}]"}, INVALID_DETAILS),
    ({"authorization_details": details(type="payment_initiation")}, INVALID_DETAILS),
    ({"authorization_details": details(type=None)}, INVALID_DETAILS),
    ({"authorization_details": details(extra=1)}, INVALID_DETAILS),
    ({"authorization_details": details(verbs=[])}, INVALID_DETAILS),
    ({"authorization_details": details(verbs=["everything"])}, INVALID_DETAILS),
    ({"authorization_details": details(verbs=["read", "read"])}, INVALID_DETAILS),
    ({"authorization_details": details(verbs=["read", "write:draft"])}, INVALID_DETAILS),
    ({"authorization_details": details(purposes=["advertising"])}, INVALID_DETAILS),
    ({"authorization_details": details(rooms=[])}, INVALID_DETAILS),
    ({"authorization_details": details(rooms=["no room"])}, INVALID_DETAILS),
    ({"authorization_details": details(until=None)}, INVALID_DETAILS),
    ({"authorization_details": details(until=NOW)}, INVALID_DETAILS),
    ({"authorization_details": details(until=NOW + 91 * DAY)}, INVALID_DETAILS),
    ({"authorization_details": details(**{"from": NOW + 31 * DAY})}, INVALID_DETAILS),
    ({"authorization_details": details(until=NOW + 366 * DAY, **{"from": NOW + 300 * DAY})}, INVALID_DETAILS),
    ({"authorization_details": details(history=NOW + 1)}, INVALID_DETAILS),
    ({"authorization_details": details(retention_days=31)}, INVALID_DETAILS),
    ({"authorization_details": details(retention_days=1.5)}, INVALID_DETAILS),
]


async def test_a_request_is_pushed_strictly(tmp_path: Path) -> None:
    """Redirect URI, PKCE, response, key and details each decide alone; nothing of a refused request is kept."""
    async with world(tmp_path) as here:
        flow, _ = await begun(here)
        await here.add_partner("tempo")
        for values, expected in PUSHED:
            assert error(await flow.push(**values)) == expected, values
        assert await here.database.read(lambda tx: tx.rows("SELECT id FROM consent_requests")) == []
        assert error(await flow.push(proof="")) == INVALID_REQUEST  # bound to no key
        assert (await flow.push(proof="", dpop_jkt=flow.partner.dpop.thumbprint())).status_code == 201
        assert (await flow.push(dpop_jkt=flow.partner.dpop.thumbprint(), display="popup")).status_code == 201
        answer = await here.http.post("/oauth/par", data={}, auth=("marquee", "secret"))
        assert error(answer) == INVALID_CLIENT
        await here.end_agreement(flow.partner)
        assert error(await flow.push()) == (400, "unauthorized_client")


async def test_what_a_partner_asks_within_the_agreement_is_taken(tmp_path: Path) -> None:
    """To the last day, verb and room of it; members that are left out have their defaults."""
    async with world(tmp_path) as here:
        flow, author = await begun(here)
        room_id = await here.room(author)
        for changes in (
            {"until": NOW + 90 * DAY, "retention_days": 30, "verbs": ["read", "metadata"]},
            {"from": NOW + 10 * DAY, "until": NOW + 100 * DAY},
            {"rooms": [room_id], "history": NOW},
            {"rooms": None, "retention_days": None},
        ):
            assert (await flow.push(authorization_details=details(**changes))).status_code == 201, changes


ES256_KEY, RSA_KEY, OTHER_KEY = ECKey.generate_key("P-256"), RSAKey.generate_key(2048), OKPKey.generate_key("Ed25519")

# What is wrong with a proof: claims and header members that replace the right ones.
PROOFS: list[dict[str, Any]] = [
    {"htm": "PUT"},
    {"htm": "post"},
    {"htm": None},
    {"htu": f"{ISSUER}/oauth/token/"},
    {"htu": f"{ISSUER}/inbox/v1/rooms"},
    {"htu": "http://elsewhere.org/oauth/token"},
    {"htu": "https://example.org/oauth/token"},
    {"htu": None},
    {"htu": "http://[/oauth/token"},
    {"iat": SECONDS - 61},
    {"iat": SECONDS + 61},
    {"iat": None},
    {"iat": str(SECONDS)},
    {"iat": SECONDS + 0.5},
    {"jti": None},
    {"jti": ""},
    {"jti": "x" * 256},
    {"jti": 7},
    {"typ": "JWT"},
    {"typ": None},
    {"jwk": None},
    {"jwk": {}},
    {"jwk": OTHER_KEY.as_dict(private=False)},
    {"key": OTHER_KEY, "jwk": OTHER_KEY.as_dict(private=True)},
    {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}},
    {"key": RSA_KEY, "alg": "PS256"},
    {"key": RSA_KEY, "alg": "RS256"},
    {"key": ECKey.generate_key("P-384"), "alg": "ES384"},
]


def bad_proofs(here: World, partner: PartnerParty, method: str, path: str) -> list[str]:
    """Every kind of wrong proof for a request."""
    made = [here.prove(partner, method, path, **changes) for changes in PROOFS]
    good = here.prove(partner, method, path)
    claims = {"jti": "x", "htm": method, "htu": f"{ISSUER}{path}", "iat": SECONDS, "nonce": here.nonce}
    public = partner.dpop.as_dict(private=False)
    symmetric = OctKey.import_key(msgspec.json.encode(public).decode())
    header = {"alg": "HS256", "typ": "dpop+jwt", "jwk": public}
    other = jwt.encode({"alg": "Ed25519"}, claims, OTHER_KEY, algorithms=["Ed25519"])
    return [
        *made,
        raw({"alg": "none", "typ": "dpop+jwt", "jwk": public}, claims),
        jwt.encode(header, claims, symmetric, algorithms=["HS256"]),
        good.rsplit(".", 1)[0] + ".",
        good[:-4] + ("AAAA" if good[-4:] != "AAAA" else "BBBB"),
f"{good.rpartition('.')[0]}.{other.rpartition('.')[2]}",
        raw({"alg": "Ed25519", "typ": "dpop+jwt", "jwk": "text"}, claims, bytes(64)),
        raw({"alg": "Ed25519", "typ": "dpop+jwt", "jwk": public | {"d": "AAAA"}}, claims, bytes(64)),
        "no proof",
        "a.b.c",
        "x" * (MAX_PROOF_BYTES + 1),
    ]  # fmt: skip


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
async def test_a_proof_that_does_not_fit_gives_no_token(tmp_path: Path) -> None:
    """Method, URL, time, id, type, key, algorithm and signature each decide alone, at the token endpoint and at PAR."""
    async with world(tmp_path) as here:
        flow, _ = await begun(here)
        for proof in bad_proofs(here, flow.partner, "POST", "/oauth/token"):
            answer = await flow.form("/oauth/token", proof=proof, grant_type="client_credentials")
            assert error(answer) == INVALID_PROOF, proof
        for proof in bad_proofs(here, flow.partner, "POST", "/oauth/par")[:9]:
            assert error(await flow.push(proof=proof)) == INVALID_PROOF, proof
        assert error(await flow.form("/oauth/token", proof="", grant_type="client_credentials")) == INVALID_PROOF
        headers = [("dpop", here.prove(flow.partner, "POST", "/oauth/token")) for _ in range(2)]
        form = {"grant_type": "client_credentials", "client_assertion_type": "x", "client_assertion": "x"}
        assert error(await here.http.post("/oauth/token", data=form, headers=headers)) == INVALID_PROOF


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
async def test_a_proof_that_does_not_fit_opens_nothing(tmp_path: Path) -> None:
    """The same at the Inbox API, where the proof also names the token; the challenge says what is wrong."""
    path = "/inbox/v1/grants"
    async with world(tmp_path) as here:
        partner = await here.add_partner()
        ath = [{"ath": None}, {"ath": "x"}, {"ath": b64url(bytes(32))}]
        proofs = bad_proofs(here, partner, "GET", path) + [here.prove(partner, "GET", path, **one) for one in ath]
        for proof in proofs:
            answer = await here.http.get(path, headers=partner.headers | {"dpop": proof})
            shown = answer.headers["www-authenticate"]
            assert answer.json()["type"] == "urn:paraph:problem:invalid-dpop-proof", proof
            assert (answer.status_code, shown) == (
                401,
                'DPoP error="invalid_dpop_proof", algs="Ed25519 EdDSA ES256"',
            )
        other = here.prove(partner, "GET", path, key=OTHER_KEY)
        answer = await here.http.get(path, headers=partner.headers | {"dpop": other})
        assert answer.json()["type"] == "urn:paraph:problem:token-invalid"
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
        bearer = {"authorization": f"Bearer {partner.token}", "dpop": here.prove(partner, "GET", path)}
        assert (await here.http.get(path, headers=bearer)).status_code == 401
        for url in (
            f"{ISSUER.upper()}{path}",
            f"{ISSUER}:80{path}",
            f"{ISSUER}{path}?query#part",
            f"{ISSUER}/inbox/v1/%67rants",
        ):
            fine = here.prove(partner, "GET", path, htu=url.replace("EXAMPLE.ORG", "Example.Org"))
            answer = await here.http.get(path, headers=partner.headers | {"dpop": fine})
            assert answer.status_code == 200, url
        es256 = PartnerParty("tempo", dpop=ES256_KEY)
        await here.register(es256)
        await here.agree(es256)
        assert (await here.authenticate(es256)).status_code == 200
        assert (await here.http.get(path, headers=es256.headers)).status_code == 200


async def test_a_proof_is_used_once(tmp_path: Path) -> None:
    """At PAR, the token endpoint and the Inbox API; not again after a restart either; another key's jti is its own."""
    path = "/inbox/v1/grants"
    async with world(tmp_path) as here:
        flow, _ = await begun(here)
        partner = flow.partner
        for url, form in (("/oauth/token", {"grant_type": "client_credentials"}), ("/oauth/par", {})):
            proof = here.prove(partner, "POST", url, jti=f"once {url}")
            first = await flow.form(url, proof=proof, **form)
            assert "dpop" not in first.json().get("error", "")
            assert error(await flow.form(url, proof=proof, **form)) == INVALID_PROOF
        proof = here.prove(partner, "GET", path, jti="once")
        headers = partner.headers | {"dpop": proof}
        assert (await here.http.get(path, headers=headers)).status_code == 200
        for later in (0, 30_000, 59_000):
            here.clock.now = NOW + later
            again = await here.http.get(path, headers=headers)
            assert (again.status_code, again.json()["type"]) == (401, "urn:paraph:problem:invalid-dpop-proof")
        tempo = await here.add_partner("tempo")
        mine = here.prove(tempo, "GET", path, jti="once")
        assert (await here.http.get(path, headers=tempo.headers | {"dpop": mine})).status_code == 200
    async with world(tmp_path) as here:
        here.clock.now = NOW + 59_500
        # The process has forgotten the proof where it is alone with its database: it takes none of before its start.
        here.consent.authorization.proofs.nonces._since = here.clock.now if here.database.dialect == "sqlite" else 0
        again = await here.http.get(path, headers=headers)
        assert again.status_code == 401


async def test_a_nonce_is_given_and_must_be_new(tmp_path: Path) -> None:
    """Every answer to a partner carries one; without it, or with an old or made-up one, another try is needed."""
    path = "/inbox/v1/grants"
    async with world(tmp_path) as here:
        flow, _ = await begun(here)
        partner, first = flow.partner, here.nonce
        for answer in (
            await here.http.get(path),
            await here.http.get(path, headers=partner.headers),
            await here.http.get("/inbox/v1/nothing"),
            await flow.form("/oauth/token", grant_type="client_credentials"),
            await flow.push(),
            await flow.form("/oauth/introspect", token="x"),
        ):
            assert answer.headers["dpop-nonce"] == first
        assert "dpop-nonce" not in (await here.get("/_paraph/v1/platform")).headers
        for nonce in (None, "", "x", first[:-1] + ("A" if first[-1] != "A" else "B"), b64url(bytes(24)), "é"):
            proof = here.prove(partner, "GET", path, nonce=nonce)
            answer = await here.http.get(path, headers=partner.headers | {"dpop": proof})
            assert answer.json()["type"] == "urn:paraph:problem:use-dpop-nonce", nonce
            assert answer.headers["www-authenticate"].startswith('DPoP error="use_dpop_nonce"')
            assert answer.headers["dpop-nonce"] == first
            proof = here.prove(partner, "POST", "/oauth/token", nonce=nonce)
            assertion = partner.assertion(here.clock.now)
            answer = await here.authenticate(partner, assertion, proof=proof)
            assert error(answer) == NONCE
            # The assertion is not used up by that.
            assert (await here.authenticate(partner, assertion)).status_code == 200
            assert error(await flow.push(proof=here.prove(partner, "POST", "/oauth/par", nonce=nonce))) == NONCE
        here.clock.now = NOW + 100_000
        assert (
            await here.authenticate(partner, proof=here.prove(partner, "POST", "/oauth/token", nonce=first))
        ).status_code == 200
        here.clock.now = NOW + 120_001
        old = here.prove(partner, "GET", path, nonce=first)
        assert (await here.http.get(path, headers=partner.headers | {"dpop": old})).status_code == 401
        assert here.nonce != first


async def test_a_code_is_redeemed_once_by_its_client_with_its_key(tmp_path: Path) -> None:
    """Verifier, redirect URI, key, client and time each decide alone, and none of these failures uses the code up."""
    async with world(tmp_path) as here:
        flow, author = await begun(here)
        tempo = Flow(here, await here.add_partner("tempo"))
        tempo.verifier = flow.verifier
        await flow.push()
        code = await flow.code(author)
        for values, expected in (
            ({"code_verifier": None}, INVALID_REQUEST),
            ({"code_verifier": "wrong" * 10}, INVALID_GRANT),
            ({"code_verifier": "short"}, INVALID_GRANT),
            ({"code_verifier": flow.verifier + "="}, INVALID_GRANT),
            ({"redirect_uri": None}, INVALID_REQUEST),
            ({"redirect_uri": REDIRECT + "&x=1"}, INVALID_GRANT),
            ({"redirect_uri": "https://elsewhere.example/"}, INVALID_GRANT),
            ({"code": "guess"}, INVALID_GRANT),
            ({"code": "é"}, INVALID_GRANT),
            ({"code": None}, INVALID_REQUEST),
            ({"scope": "all"}, (400, "invalid_scope")),
            ({"grant_type": "password"}, (400, "unsupported_grant_type")),
            ({"grant_type": "implicit"}, (400, "unsupported_grant_type")),
            ({"grant_type": None}, INVALID_REQUEST),
        ):
            form = {"code": code} | values
            answer = await flow.form(
                "/oauth/token",
                **(
                    {"grant_type": "authorization_code", "redirect_uri": REDIRECT, "code_verifier": flow.verifier}
                    | form
                ),
            )
            assert error(answer) == expected, values
        assert error(await tempo.redeem(code)) == INVALID_GRANT
        other = here.prove(flow.partner, "POST", "/oauth/token", key=OTHER_KEY)
        assert error(await flow.redeem(code, proof=other)) == INVALID_GRANT
        token = (await flow.redeem(code)).json()
        refresh = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"]}
        assert error(await tempo.form("/oauth/token", **refresh)) == INVALID_GRANT
        other = here.prove(flow.partner, "POST", "/oauth/token", key=OTHER_KEY)
        assert error(await flow.form("/oauth/token", proof=other, **refresh)) == INVALID_GRANT
        for wrong in ("ppr_guess", token["access_token"], "é"):
            assert error(await flow.form("/oauth/token", **refresh | {"refresh_token": wrong})) == INVALID_GRANT
        assert error(await flow.form("/oauth/token", grant_type="refresh_token")) == INVALID_REQUEST
        here.clock.now += 29 * DAY
        assert (await flow.form("/oauth/token", **refresh)).status_code == 200
        here.clock.now = int(token["authorization_details"][0]["until"])
        assert error(await flow.form("/oauth/token", **refresh)) == INVALID_GRANT


async def test_a_code_used_twice_revokes_what_it_gave(tmp_path: Path) -> None:
    """Access and refresh tokens, and those that were refreshed; the grant itself is the person's and stays."""
    async with world(tmp_path) as here:
        flow, author = await begun(here)
        await flow.push()
        code = await flow.code(author)
        token = (await flow.redeem(code)).json()
        refresh = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"]}
        renewed = (await flow.form("/oauth/token", **refresh)).json()
        here.take_token(flow.partner, renewed["access_token"])
        assert (await here.http.get("/inbox/v1/grants", headers=flow.partner.headers)).status_code == 200
        here.clock.now += 100_000
        assert error(await flow.redeem(code)) == INVALID_GRANT
        for access in (renewed["access_token"], token["access_token"]):
            here.take_token(flow.partner, access)
            assert (await here.http.get("/inbox/v1/grants", headers=flow.partner.headers)).status_code == 401
        assert error(await flow.form("/oauth/token", **refresh)) == INVALID_GRANT
        assert (await here.get("/_paraph/v1/grants", author.device)).json()["grants"][0]["live"] is True


async def test_a_code_lives_a_minute(tmp_path: Path) -> None:
    """After that it gives nothing; the person's client may fetch another one, and only the newest counts."""
    async with world(tmp_path) as here:
        flow, author = await begun(here)
        await flow.push()
        first = await flow.code(author)
        assert answered(await flow.look(author))["code"] == first
        here.clock.now += 60_000
        assert error(await flow.redeem(first)) == INVALID_GRANT
        second = answered(await flow.look(author))["code"]
        assert second != first
        assert error(await flow.redeem(first)) == INVALID_GRANT
        here.clock.now += 59_999
        assert (await flow.redeem(second)).status_code == 200


async def test_a_request_that_ran_out_is_shown_to_nobody(tmp_path: Path) -> None:
    """Five minutes until somebody opens it, a quarter of an hour until she answers."""
    async with world(tmp_path) as here:
        flow, author = await begun(here)
        await flow.push()
        here.clock.now += 300_000
        assert (await flow.page()).status_code == 400
        assert (await flow.look(author)).status_code == 404
        assert (await flow.answer(author)).status_code == 404
        await flow.push()
        here.clock.now += 299_999
        assert (await flow.page()).status_code == 200
        here.clock.now += 899_999
        assert (await flow.look(author)).status_code == 200
        here.clock.now += 1
        assert (await flow.answer(author)).status_code == 404
        assert (await here.get("/_paraph/v1/grants", author.device)).json()["grants"] == []


async def test_the_authorization_endpoint_takes_a_pushed_request_alone(tmp_path: Path) -> None:
    """Parameters beside it, another client's id, a second answer: a page that says so, and no redirect to anywhere."""
    async with world(tmp_path) as here:
        flow, author = await begun(here)
        await here.add_partner("tempo")
        await flow.push()
        spoilt: list[httpx.Response] = [
            await flow.page(client_id="tempo"),
            await flow.page(client_id="unknown"),
            await flow.page(request_uri="urn:ietf:params:oauth:request_uri:guess"),
            await flow.page(request_uri=flow.id),
            await flow.page(request_uri="https://elsewhere.example/request"),
            await flow.page(redirect_uri=REDIRECT),
            await flow.page(scope="all"),
            await here.http.get("/oauth/authorize"),
            await here.http.get("/oauth/authorize?client_id=marquee&response_type=code"),
            await here.http.get(f"/oauth/authorize?client_id=marquee&client_id=tempo&request_uri={flow.request_uri}"),
        ]
        for page in spoilt:
            assert (page.status_code, page.headers["content-type"]) == (400, "text/html; charset=utf-8")
            assert "location" not in page.headers
            assert "default-src 'none'" in page.headers["content-security-policy"]
        assert (await flow.page()).status_code == 200
        assert (await flow.answer(author)).status_code == 200
        assert (await flow.page()).status_code == 400
        await flow.push()
        await here.end_agreement(flow.partner)
        assert (await flow.page()).status_code == 403


async def test_a_grant_answers_only_what_was_asked(tmp_path: Path) -> None:
    """Wider in any direction, for another partner, unsigned, or by another device: refused, and nothing is recorded."""
    async with world(tmp_path) as here:
        flow, author = await begun(here)
        tempo, other = await here.add_partner("tempo"), await here.add_person("other")
        room_id, further = await here.room(author), await here.room(author)
        asked = {"rooms": [room_id], "from": NOW, "history": NOW - 1000}
        await flow.push(asked)
        base: dict[str, Any] = {"rooms": [room_id]}
        for changes in (
            {"rooms": "all"},
            {"rooms": [room_id, further]},
            {"verbs": ["read", "metadata"]},
            {"purposes": ["films", "reminders"]},
            {"until": DETAILS["until"] + 1},
            {"from": NOW - 1},
            {"history": NOW - 1001},
            {"retention_days": 8},
        ):
            answer = await flow.answer(author, **(base | changes))
            assert (answer.status_code, answer.json()["errcode"]) == (403, "ORG_PARAPH_OUT_OF_SCOPE"), changes
        foreign = author.device.sign(here.grant(author, tempo, [room_id]))
        assert (await flow.answer(author, foreign)).json()["errcode"] == "ORG_PARAPH_OUT_OF_SCOPE"
        fitting = here.grant(author, flow.partner, [room_id])
        assert (await flow.answer(author, fitting)).json()["errcode"] == "ORG_PARAPH_BAD_SIGNATURE"
        assert (await flow.answer(author, other.device.sign(fitting))).json()["errcode"] == "ORG_PARAPH_BAD_SIGNATURE"
        hers = other.device.sign(here.grant(other, flow.partner, [room_id]))
        assert (await flow.answer(author, hers)).status_code == 403
        for body in ({}, {"declined": False}, {"declined": True, "grant": fitting}, {"grant": None}):
            assert (await here.post(flow.url, body, author.device)).status_code == 400, body
        assert await here.entries(author, "grant") == []
        assert (await flow.answer(author, rooms=[room_id], history=NOW - 1000)).status_code == 200


async def test_a_request_is_answered_once(tmp_path: Path) -> None:
    """The same answer again is the same answer; another one is a conflict, and makes no grant."""
    async with world(tmp_path) as here:
        flow, author = await begun(here)
        await flow.push()
        document = author.device.sign(here.grant(author, flow.partner))
        first, again = [(await flow.answer(author, document)).json() for _ in range(2)]
        assert first == again
        assert (await flow.answer(author)).json()["errcode"] == "ORG_PARAPH_CONFLICT"
        declined = await here.post(flow.url, {"declined": True}, author.device)
        assert declined.json()["errcode"] == "ORG_PARAPH_CONFLICT"
        assert len(await here.entries(author, "grant")) == 1


async def test_what_ends_in_between_ends_the_flow(tmp_path: Path) -> None:
    """An agreement that ended or narrowed, or a grant that was revoked, between any two steps."""
    async with world(tmp_path) as here:
        flow, author = await begun(here)
        await flow.push({"verbs": ["read", "metadata"]})
        assert (await flow.look(author)).status_code == 200
        await here.agree(flow.partner, verbs=["read"])
        assert (await flow.look(author)).json()["errcode"] == "ORG_PARAPH_OUT_OF_SCOPE"
        await flow.push()
        document = author.device.sign(here.grant(author, flow.partner))
        code = answered(await flow.answer(author, document))["code"]
        await here.revoke(author, document)
        assert error(await flow.redeem(code)) == INVALID_GRANT
        assert answered(await flow.look(author))["error"] == "access_denied"
        assert (await flow.answer(author, document)).json()["errcode"] == "ORG_PARAPH_GRANT_OVER"
        await flow.push()
        code = await flow.code(author)
        pushed = Flow(here, flow.partner)
        await pushed.push()
        await here.end_agreement(flow.partner)
        assert error(await flow.redeem(code)) == (400, "unauthorized_client")
        assert (await pushed.answer(author)).json()["errcode"] == "ORG_PARAPH_NO_AGREEMENT"
        assert (await pushed.look(author)).json()["errcode"] == "ORG_PARAPH_NO_AGREEMENT"


async def test_nothing_that_opens_anything_is_kept_in_clear(tmp_path: Path) -> None:
    """Codes and tokens are in the database by their hashes alone."""
    async with world(tmp_path) as here:
        flow, author = await begun(here)
        await flow.push()
        code = await flow.code(author)
        token = (await flow.redeem(code)).json()
    stored = databases().stored(tmp_path / "paraph.db")
    assert token["grant_id"].encode() in stored
    for secret in (code, token["access_token"][4:], token["refresh_token"][4:], flow.verifier):
        assert secret.encode() not in stored
