"""The token walk: every endpoint of the application's table with every kind of token answers as its rule says.

The table is the whole API (no other route can answer), so a new endpoint is walked the moment it exists.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from paraph.sdk import GrantTerms, Partner, Person, Transport
from paraph.server.app import Server, build, system_time
from paraph.server.config import Settings
from paraph.server.http import Access, Endpoint
from tests.support.databases import databases, runs_writes_once
from tests.support.matrix import PASSWORD, V3, auth, ciphertext, register
from tests.support.partners import publish_agreement, register_partner
from tests.support.witness import witness_policy

pytestmark = runs_writes_once

# What another person may do with the author's ids in the path: read how she shows herself to everybody.
PUBLIC_OF_A_PERSON = {
    f"GET {V3}/profile/{{user_id}}",
    f"GET {V3}/profile/{{user_id}}/{{key_name}}",
}
# What anybody may report to the operator: not being in the room, or not being the person, is no reason to be refused.
REPORTS = {f"POST {V3}/rooms/{{room_id}}/report", f"POST {V3}/users/{{user_id}}/report"}
# Paths that name no one's belongings: whoever asks gets her own, or what is everybody's.
BODIES: dict[str, Any] = {
    f"PUT {V3}/rooms/{{room_id}}/send/{{type}}/{{txn_id}}": ciphertext("walk"),
    f"POST {V3}/rooms/{{room_id}}/send/{{type}}": ciphertext("walk"),
    f"POST {V3}/rooms/{{room_id}}/upgrade": {"new_version": "11"},
    f"PUT {V3}/rooms/{{room_id}}/state/{{type}}": {"topic": "walk"},
    f"PUT {V3}/rooms/{{room_id}}/state/{{type}}/{{state_key}}": {"topic": "walk"},
    f"POST {V3}/rooms/{{room_id}}/invite": {"user_id": "@other:localhost"},
    f"POST {V3}/rooms/{{room_id}}/kick": {"user_id": "@author:localhost"},
    f"POST {V3}/rooms/{{room_id}}/ban": {"user_id": "@author:localhost"},
    f"POST {V3}/rooms/{{room_id}}/unban": {"user_id": "@author:localhost"},
    f"PUT {V3}/rooms/{{room_id}}/typing/{{user_id}}": {"typing": True, "timeout": 1000},
    f"PUT {V3}/profile/{{user_id}}/{{key_name}}": {"displayname": "walk"},
    f"PUT {V3}/presence/{{user_id}}/status": {"presence": "online"},
    f"PUT {V3}/devices/{{device_id}}": {"display_name": "walk"},
    f"DELETE {V3}/devices/{{device_id}}": {
        "auth": {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": "other"},
            "password": PASSWORD,
        }
    },
    "POST /_paraph/v1/grants/{grant_id}/amendments": {"amendment": {}},
    "PUT /_paraph/v1/grants/{grant_id}/key-shares/{txn_id}": {"shares": []},
}
PEOPLE = (Access.PERSON, Access.PERSON_OR_OPERATOR)
# Anyone may ask; what she asks about is the token itself.
TOKEN_IN_THE_QUERY = {"/_matrix/federation/v1/openid/userinfo"}
BELONGINGS = ("{user_id}", "{room_id}", "{device_id}", "{grant_id}", "{filter_id}", "{event_id}", "{draft_id}")


@dataclass
class World:
    """A platform with an author, another person, a partner, and every kind of token."""

    server: Server
    http: httpx.AsyncClient
    author: dict[str, str]
    other: dict[str, str]
    partner: Partner
    tokens: dict[str, str]
    ids: dict[str, str]
    path: Path

    def writes(self) -> int:
        """A number that another row written changes."""
        if databases().dialect == "sqlite":
            return int(self.server.database._writer.total_changes)
        return hash(databases().stored(self.path))

    async def quiet(self) -> int:
        """`writes()` once the sequencer has marked everything recorded so far: what follows is the walk's doing."""
        writes, unchanged = self.writes(), 0
        while unchanged < 10:
            await asyncio.sleep(0.05)
            unchanged = unchanged + 1 if self.writes() == writes else 0
            writes = self.writes()
        return writes

    def proof(self, endpoint: Endpoint, *, by: Partner | None = None) -> str:
        """The partner's proof for a call of this endpoint or, with its token, one `by` another partner's key."""
        auth = (by or self.partner).auth
        token, auth._token = auth._token, self.partner.auth.token
        auth._nonce = self.server.consent.authorization.proofs.nonces.current()
        try:
            return auth.prove(endpoint.method, _filled(self, endpoint))["dpop"]
        finally:
            auth._token = token

    async def call(self, endpoint: Endpoint, headers: dict[str, str]) -> httpx.Response:
        """Call an endpoint with the author's ids in its path and a plausible body."""
        path = endpoint.path
        for name, value in self.ids.items():
            path = path.replace(f"{{{name}}}", value)
        assert "{" not in path, f"the walk knows no value for {path}"
        body = BODIES.get(f"{endpoint.method} {endpoint.path}", {})
        content = None if endpoint.method == "GET" else json.dumps(body)
        params = {"timeout": "0", "dir": "b", "ts": "0"} if endpoint.method == "GET" else {}
        return await self.http.request(endpoint.method, path, content=content, headers=headers, params=params)


@pytest.fixture
async def world(tmp_path: Path, dialect: str) -> AsyncIterator[World]:
    path = tmp_path / "paraph.db"
    settings = Settings(
        data=tmp_path,
        database=databases().setting(path),
        registration="open",
        rate_limits=False,
        witnesses=str(witness_policy(tmp_path)),
    )
    server = build(settings)
    await server.start()
    transport = httpx.ASGITransport(app=server.application)
    base_url = settings.base_url
    async with httpx.AsyncClient(transport=transport, base_url=base_url) as http:
        person = await Person.register(base_url, "author", PASSWORD, transport=Transport(base_url, client=http))
        author = {"user_id": person.user_id, "Authorization": f"Bearer {person._transport.token}"}
        other, gone = [await register(http, name) for name in ("other", "gone")]
        await http.post(f"{V3}/logout", json={}, headers=auth(gone))
        operator = {"Authorization": f"Bearer {server._admin_token}"}
        partner = Partner.create(base_url, "marquee", "localhost", transport=Transport(base_url, client=http))
        await register_partner(http, operator, partner)
        await publish_agreement(http, operator, partner, server)
        await partner.publish_device()
        assert partner.auth.token is not None
        expired = partner.auth.token
        await server.database.write(lambda tx: tx.run("UPDATE consent_tokens SET expires = 1"))
        partner.auth.forget()
        await partner.rooms()  # with a token of its own
        tokens = {
            "other": other["Authorization"],
            "logged out": gone["Authorization"],
            "partner": f"DPoP {partner.auth.token}",
            "partner's, as a bearer token": f"Bearer {partner.auth.token}",
            "expired": f"DPoP {expired}",
            "operator": operator["Authorization"],
            "malformed": "Bearer \u00e9 not a token",
            "of another scheme": "Basic YXV0aG9yOnNlY3JldA==",
        }
        room_id = await person.create_room()
        await person.enrol()
        until = system_time() + 86_400_000
        terms = GrantTerms(purposes=["recommendations"], until=until, rooms=[room_id])
        granted = await person.grant("marquee", terms)
        event_id = await person.send_text(room_id, "a message")
        whoami = await http.get(f"{V3}/account/whoami", headers=auth(author))
        made = await http.post(f"{V3}/user/{author['user_id']}/filter", json={}, headers=auth(author))
        ids = {
            "user_id": author["user_id"],
            "room_id": room_id,
            "event_id": event_id,
            "device_id": whoami.json()["device_id"],
            "filter_id": made.json()["filter_id"],
            "grant_id": granted.grant.grant_id,
            "draft_id": "dr_" + "A" * 22,
            "consent_id": "walk",
            "type": "m.room.encrypted",
            "event_type": "m.room.encrypted",
            "state_key": "x",
            "session_id": "walk",
            "key_name": "displayname",
            "txn_id": "walk",
            "rel_type": "m.thread",
            "scope": "global",
            "rule_id": ".m.rule.master",
            "attribute": "enabled",
            "tag": "u.walk",
            "kind": "m.read",
            "alias": "%23walk:localhost",
            "slug": "marquee",
            "token_id": "walk",
            "hash": "00" * 32,
            "key": "00" * 32,
            "level": "0",
            "n0": "000",
            "n1": "000",
            "n2": "000",
            "n3": "000",
            "version": "1",
            "index": "0",
            "number": "1",
            "name": "walk",
            "server_name": "localhost",
            "media_id": "walk",
            "file_name": "walk",
            "webhook_id": "walk",
        }
        yield World(server, http, author, other, partner, tokens, ids, path)
    await server.stop()


def _encoded(token: str) -> dict[str, str]:
    return {"Authorization": token.encode("latin-1").decode("latin-1")}


REFUSED_FOR = {
    Access.PUBLIC: (),
    Access.PERSON: ("logged out", "partner's, as a bearer token", "operator", "malformed"),
    Access.PERSON_OR_OPERATOR: ("logged out", "partner's, as a bearer token", "malformed"),
    Access.PARTNER: (
        "other",
        "logged out",
        "expired",
        "partner's, as a bearer token",
        "operator",
        "malformed",
    ),
    Access.OPERATOR: ("other", "logged out", "partner's, as a bearer token", "malformed"),
}


REFUSALS = {
    "inbox": ("token-missing", "token-invalid"),
    "matrix": ("M_MISSING_TOKEN", "M_UNKNOWN_TOKEN"),
    "oauth": ("invalid_token", "invalid_token"),
}
"""By API: the codes for no token and for one that is not good here."""


def _is_refusal(answer: httpx.Response, code: str) -> bool:
    body = answer.json()
    said = (body.get("errcode"), str(body.get("type")).removeprefix("urn:paraph:problem:"), body.get("error"))
    return answer.status_code == 401 and code in said


async def test_tokens_of_other_kinds_are_refused_everywhere(world: World) -> None:
    """No token, a malformed one, one that was logged out, one of another kind: 401, and nothing is written."""
    before, walked = await world.quiet(), 0
    for endpoint in world.server.application.endpoints:
        if endpoint.access is Access.PUBLIC:
            continue
        missing_code, wrong_code = REFUSALS[endpoint.api]
        for headers in ({}, {"Authorization": world.tokens["of another scheme"]}):
            missing = await world.call(endpoint, headers)
            assert _is_refusal(missing, missing_code), (endpoint.path, missing.text)
            scheme = "dpop" if endpoint.access is Access.PARTNER else "bearer"
            assert missing.headers["www-authenticate"].lower().startswith(scheme)
        for kind in REFUSED_FOR[endpoint.access]:
            raw = [(b"authorization", world.tokens[kind].encode("latin-1"))]
            if endpoint.access is Access.PARTNER:
                raw.append((b"dpop", world.proof(endpoint).encode()))
            url = "".join(("http://localhost", _filled(world, endpoint)))
            answer = await world.http.request(endpoint.method, url, headers=raw)
            assert _is_refusal(answer, wrong_code), (kind, endpoint.method, endpoint.path, answer.text)
            walked += 1
    assert walked > 200
    assert world.writes() == before


async def test_a_partners_token_opens_nothing_without_its_key(world: World) -> None:
    """No proof, one of another key, one for another request, an old nonce, a proof used before: 401 everywhere."""
    stranger = Partner.create(world.server.settings.base_url, "stranger", "localhost")
    table = [endpoint for endpoint in world.server.application.endpoints if endpoint.access is Access.PARTNER]
    # The first call of each uses its proof up. What it does is the endpoint's business.
    used = {(endpoint.method, endpoint.path): world.proof(endpoint) for endpoint in table}
    for endpoint in table:
        proof = used[endpoint.method, endpoint.path]
        first = await world.call(endpoint, {"Authorization": world.tokens["partner"], "DPoP": proof})
        assert first.status_code != 401, (endpoint.path, first.text)
    before, elsewhere = await world.quiet(), table[0]
    for endpoint in table:
        other = elsewhere if elsewhere is not endpoint else table[-1]
        cases = {
            "invalid-dpop-proof": [None, world.proof(other), used[endpoint.method, endpoint.path], "no.proof.atall"],
            "token-invalid": [world.proof(endpoint, by=stranger)],
        }
        for code, proofs in cases.items():
            for proof in proofs:
                headers = {"Authorization": world.tokens["partner"]} | ({} if proof is None else {"DPoP": proof})
                answer = await world.call(endpoint, headers)
                shown = answer.json().get("type", "") + answer.json().get("error", "").replace("_", "-")
                assert (answer.status_code, code in shown or "invalid-token" in shown) == (401, True), answer.text
                assert answer.headers["www-authenticate"].startswith("DPoP error=")
                assert answer.headers["dpop-nonce"]
    assert len(table) >= 7
    assert world.writes() == before


def _filled(world: World, endpoint: Endpoint) -> str:
    path = endpoint.path
    for name, value in world.ids.items():
        path = path.replace(f"{{{name}}}", value)
    return path


async def test_another_person_gets_nowhere_with_the_authors_ids(world: World) -> None:
    """With her own good token but the author's ids in the path, another person is refused and nothing is written."""
    before, walked = await world.quiet(), 0
    for endpoint in world.server.application.endpoints:
        row = f"{endpoint.method} {endpoint.path}"
        if endpoint.access not in PEOPLE or not any(name in endpoint.path for name in BELONGINGS):
            continue
        if "/room_keys/" in endpoint.path:  # a room's id is a name there, within the caller's own backup
            continue
        if row in PUBLIC_OF_A_PERSON | REPORTS or row == f"GET {V3}/presence/{{user_id}}/status":
            continue
        answer = await world.call(endpoint, auth(world.other))
        if row == f"DELETE {V3}/devices/{{device_id}}":  # a device that the caller does not have is gone already
            assert answer.json() == {}
            continue
        assert answer.status_code in (403, 404), (row, answer.status_code, answer.text)
        assert answer.json()["errcode"] in (
            "M_FORBIDDEN", "M_NOT_FOUND", "ORG_PARAPH_NOT_FOUND", "ORG_PARAPH_NOT_ENROLLED", "ORG_PARAPH_NO_SUCH_GRANT"
        ), (row, answer.text)  # fmt: skip
        walked += 1
    assert walked >= 40
    assert world.writes() == before


async def test_public_endpoints_ask_for_no_token(world: World) -> None:
    """What is for anyone answers without a token: no 401 that speaks of one, and never a failure of the server."""
    for endpoint in world.server.application.endpoints:
        if endpoint.access is Access.PUBLIC and endpoint.path not in TOKEN_IN_THE_QUERY:
            answer = await world.call(endpoint, {})
            assert "TOKEN" not in answer.text.upper() or answer.status_code != 401, (endpoint.path, answer.text)
            assert answer.status_code < 500, (endpoint.path, answer.text)


async def test_the_rightful_caller_is_never_a_failure_of_the_server(world: World) -> None:
    """With the right kind of token and an empty or odd body, every endpoint answers with something below 500."""
    tokens = {
        Access.PERSON: world.author["Authorization"],
        Access.PERSON_OR_OPERATOR: world.author["Authorization"],
        Access.PARTNER: world.tokens["partner"],
        Access.OPERATOR: world.tokens["operator"],
        Access.PUBLIC: "",
    }
    ends = ("/logout", "/logout/all", "/users/{user_id}/deactivate")  # after these she is no rightful caller any more
    table = [endpoint for endpoint in world.server.application.endpoints if not endpoint.path.endswith(ends)]
    for endpoint in table:
        for content in (b"", b"{}", b"[]", b"null", b"{", b'{"a":' * 2000, b"\xff\xfe"):
            proof = {"DPoP": world.proof(endpoint)} if endpoint.access is Access.PARTNER else {}
            answer = await world.http.request(
                endpoint.method,
                f"http://localhost{_filled(world, endpoint)}",
                content=None if endpoint.method == "GET" else content,
                headers={"Authorization": tokens[endpoint.access]} | proof,
            )
            assert answer.status_code < 500, (endpoint.method, endpoint.path, content[:20], answer.text)
            asks_again = endpoint.access is Access.PUBLIC or "flows" in answer.text
            assert answer.status_code != 401 or asks_again, (endpoint.path, answer.text)


async def test_whatever_is_not_in_the_table_does_not_exist(world: World) -> None:
    """Unknown paths answer 404 M_UNRECOGNIZED, known paths with another method 405, in the shape of their API."""
    for path in ("/_matrix/client/v3/nothing", "/_paraph/v1/admin", "/docs", "/log/../keys/log.key"):
        answer = await world.http.get(path)
        assert (answer.status_code, answer.json()["errcode"]) == (404, "M_UNRECOGNIZED")
    answer = await world.http.get("/inbox/v1/nothing")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    answer = await world.http.delete(f"{V3}/sync")
    assert (answer.status_code, answer.json()["errcode"]) == (405, "M_UNRECOGNIZED")
    assert answer.headers["allow"] == "GET"


async def test_the_end_of_an_account_leaves_its_rooms(world: World) -> None:
    """Whoever deactivates the account is out of every room and every invitation, and her grants are over."""
    room_id = world.ids["room_id"]
    invited = await world.http.post(
        f"{V3}/rooms/{room_id}/invite", json={"user_id": world.other["user_id"]}, headers=auth(world.author)
    )
    assert invited.is_success, invited.text
    url = f"/_paraph/v1/admin/users/{world.author['user_id']}/deactivate"
    ended = await world.http.post(url, json={}, headers={"Authorization": world.tokens["operator"]})
    assert ended.is_success, ended.text
    store = world.server.messenger.core.store
    after = await world.server.database.read(lambda tx: store.memberships_of(tx, world.author["user_id"]))
    assert {known.membership for known in after.values()} == {"leave"}
    live = await world.server.database.read(lambda tx: world.server.consent.live.to(tx, "marquee"))
    assert live == []
