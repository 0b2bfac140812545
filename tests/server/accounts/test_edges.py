"""What is the same at every endpoint: names of paths, where a token may stand, encodings, other origins; and addresses,
which accounts do not have."""

from __future__ import annotations

import pytest

from tests.server.accounts.house import OPERATOR, REGISTER, WHOAMI, House, bearer, count, refused
from tests.support.databases import runs_on_sqlite

pytestmark = runs_on_sqlite
V3 = "/_matrix/client/v3"


@pytest.mark.parametrize(
    ("name", "status", "errcode"),
    [
        ("account/3pid", 403, "M_THREEPID_DENIED"),
        ("account/3pid/add", 403, "M_THREEPID_DENIED"),
        ("account/3pid/bind", 403, "M_THREEPID_DENIED"),
        ("account/3pid/email/requestToken", 400, "M_THREEPID_MEDIUM_NOT_SUPPORTED"),
        ("account/3pid/msisdn/requestToken", 400, "M_THREEPID_MEDIUM_NOT_SUPPORTED"),
        ("account/password/email/requestToken", 400, "M_THREEPID_MEDIUM_NOT_SUPPORTED"),
        ("account/password/msisdn/requestToken", 400, "M_THREEPID_MEDIUM_NOT_SUPPORTED"),
        ("register/email/requestToken", 400, "M_THREEPID_MEDIUM_NOT_SUPPORTED"),
        ("register/msisdn/requestToken", 400, "M_THREEPID_MEDIUM_NOT_SUPPORTED"),
    ],
)
async def test_addresses_are_refused_by_name(home: House, name: str, status: int, errcode: str) -> None:
    """There are no mail addresses and numbers here, and each request about one says so."""
    made = await home.sign_up("author")
    refused(await home.client.post(f"{V3}/{name}", json={}, headers=bearer(made["access_token"])), status, errcode)


async def test_there_is_no_address_to_take_away(home: House) -> None:
    """The list is empty; taking one away succeeds, with nothing unbound anywhere."""
    head = bearer((await home.sign_up("author"))["access_token"])
    assert (await home.client.get(f"{V3}/account/3pid", headers=head)).json() == {"threepids": []}
    for name in ("delete", "unbind"):
        answer = await home.client.post(f"{V3}/account/3pid/{name}", json={}, headers=head)
        assert answer.json() == {"id_server_unbind_result": "no-support"}


async def test_older_names_and_tokens_in_the_query(home: House) -> None:
    """`r0` means `v3`, and a person's token may stand in the query; the operator's may not."""
    made = await home.sign_up("author")
    older = WHOAMI.replace("/v3/", "/r0/")
    assert (await home.client.get(older, headers=bearer(made["access_token"]))).json()["user_id"] == "@author:test"
    query = {"access_token": made["access_token"]}
    assert (await home.client.get(older, params=query)).json()["user_id"] == "@author:test"
    refused(await home.client.get(WHOAMI, params={"access_token": "pph_no"}), 401, "M_UNKNOWN_TOKEN")
    refused(await home.client.get(WHOAMI, params={"access_tokens": "x"}), 401, "M_MISSING_TOKEN")
    operator = {"access_token": OPERATOR["Authorization"].removeprefix("Bearer ")}
    refused(await home.client.get("/_paraph/v1/admin/users", params=operator), 401, "M_MISSING_TOKEN")
    refused(await home.client.get(WHOAMI.replace("/v3/", "/r1/")), 404, "M_UNRECOGNIZED")


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        (b'{"test": "a\x81"}', "M_NOT_JSON"),
        (b'{"a\x81": 1}', "M_NOT_JSON"),
        (b"\xef\xbb\xbf{}", "M_NOT_JSON"),
        ('{"test": "ä"}'.encode("utf-16"), "M_NOT_JSON"),
        (b'{"username": NaN}', "M_NOT_JSON"),
        (b"{", "M_NOT_JSON"),
        (b"[]", "M_BAD_JSON"),
        (b'"text"', "M_BAD_JSON"),
        (b'{"username": 1e400}', "M_BAD_JSON"),
    ],
)
async def test_bodies_are_utf8_and_json(home: House, body: bytes, errcode: str) -> None:
    """Bytes that are no UTF-8 are no JSON, even in members that nobody asked for."""
    refused(await home.client.post(REGISTER, content=body), 400, errcode)
    assert await count(home.database, "accounts") == 0


async def test_other_origins_may_ask(home: House) -> None:
    """Browsers of any origin get their preflight answered and may read errors too; HEAD has no body."""
    asked = await home.client.options(REGISTER)
    assert (asked.status_code, asked.content) == (204, b"")
    for answer in (asked, await home.client.get(WHOAMI), await home.client.get(f"{V3}/nothing")):
        assert answer.headers["access-control-allow-origin"] == "*"
        assert {"GET", "POST", "PUT", "DELETE", "OPTIONS"} <= set(
            answer.headers["access-control-allow-methods"].replace(" ", "").split(",")
        )
        assert "Authorization" in answer.headers["access-control-allow-headers"]
    head = await home.client.head(f"{V3}/login")
    assert (head.status_code, int(head.headers["content-length"]) > 0) == (200, True)


async def test_there_is_no_oauth_for_people(home: House) -> None:
    """Clients that look for it are told so in the way that the specification asks for."""
    refused(await home.client.get("/_matrix/client/v1/auth_metadata"), 404, "M_UNRECOGNIZED")
