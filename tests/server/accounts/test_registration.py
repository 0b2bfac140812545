"""Making accounts: flows, names, passwords, tokens."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.server.accounts.house import (
    ADMIN,
    DUMMY,
    OPERATOR,
    PASSWORD,
    REGISTER,
    House,
    count,
    house,
    refused,
    stored_bytes,
)

VALIDITY = "/_matrix/client/v1/register/m.login.registration_token/validity"


def body(**change: Any) -> dict[str, Any]:
    """A registration that would pass where registration is open."""
    return {"username": "author", "password": PASSWORD, "auth": DUMMY, **change}


async def test_one_request_makes_an_account_and_a_session(home: House) -> None:
    """With the dummy stage and no session, one request is enough; the token works at once."""
    answer = (await home.client.post(REGISTER, json=body(device_id="PHONE"))).json()
    assert (answer["user_id"], answer["device_id"]) == ("@author:test", "PHONE")
    who = (await home.who(answer["access_token"])).json()
    assert who == {"user_id": "@author:test", "device_id": "PHONE", "is_guest": False}


async def test_without_auth_the_flows_are_told(home: House) -> None:
    """The first 401 has session, flows and params, no error code, and its session completes the second request."""
    answer = await home.client.post(REGISTER, json=body(auth=None))
    assert answer.status_code == 401
    told = answer.json()
    assert told["flows"] == [{"stages": ["m.login.dummy"]}]
    assert told["params"] == {}
    assert "errcode" not in told
    again = await home.client.post(REGISTER, json=body(auth={**DUMMY, "session": told["session"]}))
    assert again.status_code == 200


async def test_an_empty_request_is_told_the_flows(home: House) -> None:
    """Clients probe with an empty body to learn what registration asks for."""
    answer = await home.client.post(REGISTER, json={})
    assert answer.status_code == 401
    assert answer.json()["flows"]


async def test_a_wrong_stage_fails_in_the_same_session(home: House) -> None:
    """A stage that is not offered is refused with an error code beside the flows, and the session goes on."""
    session = (await home.client.post(REGISTER, json={})).json()["session"]
    answer = await home.client.post(REGISTER, json=body(auth={"type": "m.login.sso", "session": session}))
    refused(answer, 401, "M_FORBIDDEN")
    assert answer.json()["session"] == session
    assert answer.json()["flows"]


async def test_inhibit_login_gives_no_token(home: House) -> None:
    """An account can be made without a session."""
    answer = await home.client.post(REGISTER, json=body(inhibit_login=True))
    assert answer.json() == {"user_id": "@author:test", "home_server": "test"}
    assert await count(home.database, "accounts_sessions") == 0
    assert (await home.log_in("author")).status_code == 200


async def test_a_missing_name_is_made_up(home: House) -> None:
    """The server chooses a user name where the client names none."""
    answer = await home.client.post(REGISTER, json=body(username=None))
    assert answer.status_code == 200
    assert answer.json()["user_id"].startswith("@")


@pytest.mark.parametrize(
    ("change", "status", "errcode"),
    [
        ({"username": "app-films"}, 400, "M_EXCLUSIVE"),
        ({"username": "app-"}, 400, "M_EXCLUSIVE"),
        ({"username": ""}, 400, "M_INVALID_USERNAME"),
        ({"username": "_author"}, 400, "M_INVALID_USERNAME"),
        ({"username": "aut hor"}, 400, "M_INVALID_USERNAME"),
        ({"username": "@author:test"}, 400, "M_INVALID_USERNAME"),
        ({"username": "äuthor"}, 400, "M_INVALID_USERNAME"),
        ({"username": "author\n"}, 400, "M_INVALID_USERNAME"),
        ({"username": "a" * 250}, 400, "M_INVALID_USERNAME"),
        ({"username": 7}, 400, "M_BAD_JSON"),
        ({"password": "seven77"}, 400, "M_WEAK_PASSWORD"),
        ({"password": ""}, 400, "M_WEAK_PASSWORD"),
        ({"password": "p" * 513}, 400, "M_INVALID_PARAM"),
        ({"password": None}, 400, "M_MISSING_PARAM"),
        ({"password": ["p"] * 9}, 400, "M_BAD_JSON"),
        ({"auth": "m.login.dummy"}, 400, "M_BAD_JSON"),
        ({"device_id": "with space"}, 400, "M_INVALID_PARAM"),
        ({"device_id": "D" * 256}, 400, "M_INVALID_PARAM"),
        ({"initial_device_display_name": "n" * 256}, 400, "M_INVALID_PARAM"),
        ({"initial_device_display_name": "nul\u0000"}, 400, "M_INVALID_PARAM"),
    ],
)
async def test_bad_registrations_are_refused(home: House, change: Any, status: int, errcode: str) -> None:
    """Each bad input has its error, and nothing is written."""
    refused(await home.client.post(REGISTER, json=body(**change)), status, errcode)
    assert await count(home.database, "accounts") == 0
    assert await count(home.database, "accounts_sessions") == 0


@pytest.mark.parametrize(
    ("content", "status", "errcode"),
    [
        (b"{", 400, "M_NOT_JSON"),
        (b"[]", 400, "M_BAD_JSON"),
        (b'{"username": "\\ud800"}', 400, "M_NOT_JSON"),
        (b"\xff", 400, "M_NOT_JSON"),
        (b" " * 20_000, 413, "M_TOO_LARGE"),
    ],
)
async def test_broken_bodies_are_refused(home: House, content: bytes, status: int, errcode: str) -> None:
    """What is not JSON, of another shape or too large never reaches the database."""
    refused(await home.client.post(REGISTER, content=content), status, errcode)
    assert await count(home.database, "accounts") == 0


@pytest.mark.parametrize("depth", [500, 1500, 8000])
async def test_deep_nesting_does_no_harm(home: House, depth: int) -> None:
    """How deep a body may be before it is refused depends on the Python; it is never a failure of the server."""
    deep = b'{"x": ' + b"[" * depth + b"]" * depth + b"}"
    answer = await home.client.post(REGISTER, content=deep)
    assert answer.status_code == 401 or (answer.status_code, answer.json()["errcode"]) == (400, "M_BAD_JSON")
    assert await count(home.database, "accounts") == 0


async def test_the_longest_name_fits(home: House) -> None:
    """A user id may have exactly 255 characters."""
    name = "a" * (255 - len("@:test"))
    assert (await home.sign_up(name))["user_id"] == f"@{name}:test"


async def test_all_spec_characters_make_a_name(home: House) -> None:
    """The whole grammar of the specification is allowed."""
    assert (await home.sign_up("az09._=/+-"))["user_id"] == "@az09._=/+-:test"


async def test_a_name_is_taken_once(home: House) -> None:
    """Of twenty requests for one name at once, one wins, and its password is the one that counts."""
    asks = [home.client.post(REGISTER, json=body(password=f"password {n}")) for n in range(20)]
    answers = await asyncio.gather(*asks)
    (winner,) = [n for n, answer in enumerate(answers) if answer.status_code == 200]
    for n, answer in enumerate(answers):
        if n != winner:
            refused(answer, 400, "M_USER_IN_USE")
    assert (await home.log_in("author", f"password {winner}")).status_code == 200
    assert await count(home.database, "accounts") == 1


async def test_guests_are_refused(home: House) -> None:
    """There are no guest accounts, and no other kinds."""
    refused(await home.client.post(f"{REGISTER}?kind=guest", json={}), 403, "M_GUEST_ACCESS_FORBIDDEN")
    refused(await home.client.post(f"{REGISTER}?kind=robot", json={}), 400, "M_INVALID_PARAM")


async def test_availability(home: House) -> None:
    """A free name is available; taken, reserved, malformed and absent ones say why not."""
    path = f"{REGISTER}/available"
    assert (await home.client.get(path, params={"username": "author"})).json() == {"available": True}
    await home.sign_up("author")
    refused(await home.client.get(path, params={"username": "author"}), 400, "M_USER_IN_USE")
    refused(await home.client.get(path, params={"username": "app-x"}), 400, "M_EXCLUSIVE")
    refused(await home.client.get(path, params={"username": "A!"}), 400, "M_INVALID_USERNAME")
    refused(await home.client.get(path), 400, "M_MISSING_PARAM")


async def test_closed_registration(tmp_path: Path) -> None:
    """Where registration is closed only the operator makes accounts; every door says so."""
    async with house(tmp_path / "paraph.db", registration="closed") as home:
        refused(await home.client.post(REGISTER, json=body()), 403, "M_FORBIDDEN")
        refused(await home.client.post(REGISTER, json={}), 403, "M_FORBIDDEN")
        refused(await home.client.get(f"{REGISTER}/available?username=author"), 403, "M_FORBIDDEN")
        refused(await home.client.get(VALIDITY, params={"token": "x"}), 403, "M_FORBIDDEN")
        user = {"username": "author", "password": PASSWORD}
        made = await home.client.post(f"{ADMIN}/users", json=user, headers=OPERATOR)
        assert made.json() == {"user_id": "@author:test"}
        assert (await home.log_in("author")).status_code == 200


async def registration_token(home: House, uses: int) -> str:
    """A token from the operator."""
    answer = await home.client.post(f"{ADMIN}/registration-tokens", json={"uses": uses}, headers=OPERATOR)
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["token"]
    return token


async def test_tokens_let_in_as_often_as_they_say(tmp_path: Path) -> None:
    """Of ten registrations at once with a token for three, exactly three pass; the rest write nothing."""
    async with house(tmp_path / "paraph.db", registration="token") as home:
        flows = (await home.client.post(REGISTER, json=body(auth=None))).json()["flows"]
        assert flows == [{"stages": ["m.login.registration_token"]}]
        refused(await home.client.post(REGISTER, json=body()), 401, "M_FORBIDDEN")
        token = await registration_token(home, 3)
        assert (await home.client.get(VALIDITY, params={"token": token})).json() == {"valid": True}
        auth = {"type": "m.login.registration_token", "token": token}
        asks = [home.client.post(REGISTER, json=body(username=f"author{n}", auth=auth)) for n in range(10)]
        answers = await asyncio.gather(*asks)
        assert sorted(answer.status_code for answer in answers) == [200] * 3 + [401] * 7
        assert await count(home.database, "accounts") == 3
        assert (await home.client.get(VALIDITY, params={"token": token})).json() == {"valid": False}


async def test_a_failed_registration_uses_no_token(tmp_path: Path) -> None:
    """A taken name costs nothing: token and account stand in one transaction."""
    async with house(tmp_path / "paraph.db", registration="token") as home:
        auth = {"type": "m.login.registration_token", "token": await registration_token(home, 2)}
        asks = [home.client.post(REGISTER, json=body(auth=auth)) for _ in range(5)]
        assert sorted(answer.status_code for answer in await asyncio.gather(*asks)) == [200] + [400] * 4
        assert (await home.client.post(REGISTER, json=body(username="other", auth=auth))).status_code == 200


@pytest.mark.parametrize("token", [None, 7, "", "unknown", "x" * 5000])
async def test_bad_registration_tokens(tmp_path: Path, token: Any) -> None:
    """Unknown and misshapen tokens fail the stage."""
    async with house(tmp_path / "paraph.db", registration="token") as home:
        auth = {"type": "m.login.registration_token", "token": token}
        refused(await home.client.post(REGISTER, json=body(auth=auth)), 401, "M_FORBIDDEN")
        assert await count(home.database, "accounts") == 0


async def test_no_secret_is_on_disk(tmp_path: Path) -> None:
    """Neither passwords nor access tokens nor registration tokens can be found in the database's bytes."""
    path = tmp_path / "paraph.db"
    async with house(path, registration="token") as home:
        token = await registration_token(home, 1)
        auth = {"type": "m.login.registration_token", "token": token}
        person = (await home.client.post(REGISTER, json=body(auth=auth))).json()
        during = stored_bytes(path)
    after = stored_bytes(path)
    for stored in (during, after):
        assert b"@author:test" in stored
        for secret in (PASSWORD, person["access_token"], person["access_token"][4:], token, token[5:]):
            assert secret.encode() not in stored


async def test_the_operator_lists_the_accounts_in_pages(home: House) -> None:
    """The list goes on from `next` until it is null, and strangers do not see it."""
    for n in range(5):
        await home.sign_up(f"author{n}")
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page = (await home.client.get(f"{ADMIN}/users?limit=2&from={after}", headers=OPERATOR)).json()
        seen += [user["user_id"] for user in page["users"]]
        after = page["next"]
    assert seen == [f"@author{n}:test" for n in range(5)]
    refused(await home.client.get(f"{ADMIN}/users"), 401, "M_MISSING_TOKEN")
    person = await home.log_in("author0")
    headers = {"Authorization": f"Bearer {person.json()['access_token']}"}
    refused(await home.client.get(f"{ADMIN}/users", headers=headers), 401, "M_UNKNOWN_TOKEN")


@pytest.mark.parametrize("content", [{"uses": 0}, {"uses": -1}, {"uses": 10**9}, {"uses": "x"}, {"use": 1}])
async def test_bad_uses_are_refused(home: House, content: Any) -> None:
    """A token has at least one use and a bounded number of them; unknown fields are refused."""
    answer = await home.client.post(f"{ADMIN}/registration-tokens", json=content, headers=OPERATOR)
    assert answer.status_code == 400
    assert await count(home.database, "accounts_registration_tokens") == 0
