"""Tokens: whose assertion is taken, once, and when a token stops working."""

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from tests.server.consent.support import ISSUER, JWT_BEARER, NOW, PartnerParty, World, world
from tests.support.databases import databases

SECONDS = NOW // 1000


def error(answer: httpx.Response) -> tuple[int, str]:
    """Status and OAuth error code."""
    return answer.status_code, answer.json()["error"]


async def test_the_metadata_names_what_is_supported(tmp_path: Path) -> None:
    """RFC 8414: the issuer is the base URL itself."""
    async with world(tmp_path) as here:
        metadata = (await here.http.get("/.well-known/oauth-authorization-server")).json()
        assert metadata["issuer"] == ISSUER
        assert metadata["token_endpoint"] == f"{ISSUER}/oauth/token"
        assert metadata["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
        algorithms = metadata["token_endpoint_auth_signing_alg_values_supported"]
        assert algorithms == ["Ed25519", "EdDSA", "ES256", "PS256"]


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("Ed25519", OKPKey.generate_key("Ed25519")),
        ("EdDSA", OKPKey.generate_key("Ed25519")),
        ("ES256", ECKey.generate_key("P-256")),
        ("PS256", RSAKey.generate_key(2048)),
    ],
)
@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
async def test_each_supported_algorithm_is_taken(tmp_path: Path, algorithm: str, key: Any) -> None:
    """The token is opaque, lives five minutes and opens the Inbox API."""
    async with world(tmp_path) as here:
        partner = PartnerParty("marquee", client=key)
        await here.register(partner)
        await here.agree(partner)
        answer = await here.authenticate(partner, partner.assertion(NOW, alg=algorithm))
        assert answer.status_code == 200, answer.text
        assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("DPoP", 300)
        assert answer.json()["access_token"].startswith("ppt_")
        assert answer.headers["cache-control"] == "no-store"
        assert (await here.http.get("/inbox/v1/grants", headers=partner.headers)).json() == {"grants": []}


BAD_ASSERTIONS: list[dict[str, Any]] = [
    {"aud": "http://elsewhere.org"},
    {"aud": [ISSUER]},
    {"aud": [ISSUER, "http://elsewhere.org"]},
    {"aud": f"{ISSUER}/"},
    {"aud": f"{ISSUER}/oauth/token"},
    {"aud": None},
    {"iss": "tempo"},
    {"iss": "unknown"},
    {"iss": None},
    {"sub": "tempo"},
    {"sub": None},
    {"jti": None},
    {"jti": ""},
    {"jti": "x" * 256},
    {"jti": 7},
    {"exp": None},
    {"exp": SECONDS},
    {"exp": SECONDS - 1},
    {"exp": SECONDS + 301},
    {"exp": str(SECONDS + 60)},
    {"exp": SECONDS + 60.5},
    {"exp": True},
    {"nbf": SECONDS + 60},
    {"iat": SECONDS + 60},
    {"iat": SECONDS - 4000},
    {"alg": "EdDSA", "key": OKPKey.generate_key("Ed25519")},
    {"key": OKPKey.generate_key("Ed25519")},
]


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
async def test_an_assertion_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    """Audience, issuer, subject, id, times and key each decide alone."""
    async with world(tmp_path) as here:
        partner = await here.add_partner()
        await here.add_partner("tempo")
        for changes in BAD_ASSERTIONS:
            answer = await here.authenticate(partner, partner.assertion(NOW, **changes))
            assert error(answer) == (401, "invalid_client"), changes


def raw(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    """A compact JWS made by hand."""
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


async def test_unsigned_and_confused_assertions_are_refused(tmp_path: Path) -> None:
    """`none`, a symmetric key made of the public one, another key type's algorithm, garbage."""
    async with world(tmp_path) as here:
        partner = await here.add_partner()
        claims = {"iss": "marquee", "sub": "marquee", "aud": ISSUER, "jti": "j", "exp": SECONDS + 60}
        public = OctKey.import_key(json.dumps(partner.client.as_dict(private=False)))
        good = partner.assertion(NOW)
        cases = [
            raw({"alg": "none"}, claims),
            raw({"alg": "Ed25519"}, claims),
            raw({"alg": "Ed25519"}, claims, bytes(64)),
            jwt.encode({"alg": "HS256"}, claims, public, algorithms=["HS256"]),
            jwt.encode({"alg": "ES256"}, claims, ECKey.generate_key("P-256"), algorithms=["ES256"]),
            jwt.encode({"alg": "Ed25519", "typ": "at+jwt"}, claims, partner.client, algorithms=["Ed25519"]),
            good.rsplit(".", 1)[0] + ".",
            good[:-4] + "AAAA",
            good.replace(".", ".."),
            "a.b.c",
            "no jwt",
            "é.é.é",
        ]
        for assertion in cases:
            assert error(await here.authenticate(partner, assertion)) == (401, "invalid_client"), assertion


async def test_the_algorithm_is_pinned_by_the_registered_key(tmp_path: Path) -> None:
    """An RSA key signs PS256 and nothing else, whatever the header says."""
    async with world(tmp_path) as here:
        partner = PartnerParty("marquee", client=RSAKey.generate_key(2048))
        await here.register(partner)
        await here.agree(partner)
        for algorithm in ("RS256", "PS384", "PS512"):
            answer = await here.authenticate(partner, partner.assertion(NOW, alg=algorithm))
            assert error(answer) == (401, "invalid_client")


async def test_an_assertion_is_used_once_until_it_expires(tmp_path: Path) -> None:
    """A replay is refused, also after a restart; another partner's same jti is its own."""
    async with world(tmp_path) as here:
        partner, tempo = await here.add_partner(), await here.add_partner("tempo")
        assertion = partner.assertion(NOW, jti="once")
        assert (await here.authenticate(partner, assertion)).status_code == 200
        assert error(await here.authenticate(partner, assertion)) == (401, "invalid_client")
        assert (await here.authenticate(tempo, tempo.assertion(NOW, jti="once"))).status_code == 200
    async with world(tmp_path) as here:
        assert error(await here.authenticate(partner, assertion)) == (401, "invalid_client")


FORMS: list[tuple[dict[str, Any], str | None]] = [
    ({"grant_type": "authorization_code"}, "invalid_request"),
    ({"grant_type": "password"}, "unsupported_grant_type"),
    ({"grant_type": ""}, "unsupported_grant_type"),
    ({"client_assertion_type": "urn:other"}, "invalid_request"),
    ({"extension": "none of ours"}, None),
    ({"client_secret": "guess"}, "invalid_request"),
    ({"grant_type": None}, "invalid_request"),
    ({"client_assertion": None}, "invalid_request"),
    ({"client_assertion": "x" * 9000}, "invalid_request"),
    ({"client_id": "tempo"}, "invalid_client"),
    ({"client_id": "marquee"}, None),
]


async def test_the_form_is_read_strictly(tmp_path: Path) -> None:
    """Unknown, missing and contradicting parameters are refused with their own codes."""
    async with world(tmp_path) as here:
        partner = await here.add_partner()
        for body, code in FORMS:
            form = {
                "grant_type": "client_credentials",
                "client_assertion_type": JWT_BEARER,
                "client_assertion": partner.assertion(NOW),
            } | body
            headers = {"dpop": here.prove(partner, "POST", "/oauth/token")}
            data = {k: v for k, v in form.items() if v is not None}
            answer = await here.http.post("/oauth/token", data=data, headers=headers)
            assert answer.json().get("error") == code, body


async def test_a_malformed_form_is_an_invalid_request(tmp_path: Path) -> None:
    """Repeated names, bad escapes and bytes that are not UTF-8."""
    headers = {"content-type": "application/x-www-form-urlencoded"}
    async with world(tmp_path) as here:
        for body in (b"", b"grant_type", b"a=1&a=2", b"=a", b"a=%zz", b"a=%e9", b"a=1&&b=2", b"a=%4", b"a=%-1"):
            answer = await here.http.post("/oauth/token", content=body, headers=headers)
            assert error(answer) == (400, "invalid_request"), body


async def test_json_and_basic_authentication_are_refused(tmp_path: Path) -> None:
    """There is one way to authenticate."""
    async with world(tmp_path) as here:
        partner = await here.add_partner()
        assert error(await here.http.post("/oauth/token", json={"grant_type": "client_credentials"})) == (
            400,
            "invalid_request",
        )
        form = {"grant_type": "client_credentials", "client_assertion": partner.assertion(NOW)}
        answer = await here.http.post("/oauth/token", data=form, auth=("marquee", "secret"))
        assert error(answer) == (401, "invalid_client")


async def grants(here: World, partner: PartnerParty) -> int:
    """Status of a call with the partner's token."""
    answer = await here.http.get("/inbox/v1/grants", headers=partner.headers)
    if answer.status_code == 401:
        assert answer.json()["type"] == "urn:paraph:problem:token-invalid"
        assert "invalid_token" in answer.headers["www-authenticate"]
    return answer.status_code


async def test_a_token_stops_with_its_time_and_with_the_agreement(tmp_path: Path) -> None:
    """After five minutes, and at once when the agreement ends; then no new token is given."""
    async with world(tmp_path) as here:
        partner = await here.add_partner()
        here.clock.now = NOW + 299_999
        assert await grants(here, partner) == 200
        here.clock.now = NOW + 300_000
        assert await grants(here, partner) == 401
        assert (await here.authenticate(partner)).status_code == 200
        assert await grants(here, partner) == 200
        assert (await here.end_agreement(partner)).status_code == 200
        assert await grants(here, partner) == 401
        assert error(await here.authenticate(partner)) == (400, "unauthorized_client")


async def test_an_agreement_that_has_run_out_or_not_begun_gives_no_token(tmp_path: Path) -> None:
    """In force means now."""
    async with world(tmp_path) as here:
        partner = PartnerParty("marquee")
        await here.register(partner)
        assert error(await here.authenticate(partner)) == (400, "unauthorized_client")
        await here.agree(partner, **{"from": NOW + 1000}, until=NOW + 2000)
        assert error(await here.authenticate(partner)) == (400, "unauthorized_client")
        here.clock.now = NOW + 1000
        assert (await here.authenticate(partner)).status_code == 200
        here.clock.now = NOW + 2000
        assert await grants(here, partner) == 401
        assert error(await here.authenticate(partner)) == (400, "unauthorized_client")


async def test_tokens_are_kept_hashed_and_foreign_tokens_open_nothing(tmp_path: Path) -> None:
    """Neither a person's token nor a guess is a partner's, and the database holds no token."""
    async with world(tmp_path) as here:
        partner, author = await here.add_partner(), await here.add_person("author")
        for token in ("ppt_guess", "ppt_", "é", f"{author.user_id} {author.device.device_id}", "operator"):
            answer = await here.http.get("/inbox/v1/grants", headers=[(b"authorization", f"Bearer {token}".encode())])
            assert answer.status_code == 401
        assert (await here.http.get("/inbox/v1/grants")).status_code == 401
        assert (await here.get("/_paraph/v1/grants")).status_code == 401
        answer = await here.http.get("/_paraph/v1/grants", headers=partner.headers)
        assert answer.status_code == 401
        token = partner.token
    stored = databases().stored(tmp_path / "paraph.db")
    assert partner.slug.encode() in stored
    assert token.removeprefix("ppt_").encode() not in stored
