"""Tokens that live for minutes: logging in another device, and telling a third party who one is."""

from __future__ import annotations

from typing import Any

import httpx

from paraph.server.accounts.short_tokens import KEEP, LIFETIMES_MS, LOGIN
from paraph.server.accounts.short_tokens import OPENID as OPENID_PURPOSE
from tests.server.accounts.house import ADMIN, OPERATOR, PASSWORD, House, bearer, count, refused, stored_bytes
from tests.server.accounts.house import LOGIN as LOGIN_PATH

GET_TOKEN = "/_matrix/client/v1/login/get_token"
WHO = "/_matrix/federation/v1/openid/userinfo"
AUTH = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "author"}, "password": PASSWORD}


def openid(user_id: str = "@author:test") -> str:
    return f"/_matrix/client/v3/user/{user_id}/openid/request_token"


async def login_token(home: House, made: dict[str, str]) -> dict[str, Any]:
    answer = await home.client.post(GET_TOKEN, json={"auth": AUTH}, headers=bearer(made["access_token"]))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def by_token(home: House, token: str) -> httpx.Response:
    return await home.client.post(LOGIN_PATH, json={"type": "m.login.token", "token": token})


async def test_a_login_token_begins_one_session(home: House) -> None:
    """It logs in another device of the same person, once, within two minutes; the database does not hold it."""
    made = await home.sign_up("author")
    told = await login_token(home, made)
    assert told["expires_in_ms"] == LIFETIMES_MS[LOGIN] == 120_000
    assert told["login_token"].encode() not in stored_bytes(home.path)
    answer = await by_token(home, told["login_token"])
    assert (answer.json()["user_id"], answer.json()["device_id"] != made["device_id"]) == ("@author:test", True)
    refused(await by_token(home, told["login_token"]), 403, "M_FORBIDDEN")


async def test_a_login_token_needs_the_password_and_does_not_last(home: House) -> None:
    """A stolen access token makes none; at the end of its time a token is nobody's."""
    made = await home.sign_up("author")
    answer = await home.client.post(GET_TOKEN, json={}, headers=bearer(made["access_token"]))
    assert (answer.status_code, answer.json()["flows"]) == (401, [{"stages": ["m.login.password"]}])
    token = (await login_token(home, made))["login_token"]
    home.clock.now += LIFETIMES_MS[LOGIN]
    refused(await by_token(home, token), 403, "M_FORBIDDEN")


async def test_a_login_token_of_an_ended_account_is_dead(home: House) -> None:
    """The end of an account ends its tokens."""
    made = await home.sign_up("author")
    token = (await login_token(home, made))["login_token"]
    await home.client.post(f"{ADMIN}/users/@author:test/deactivate", headers=OPERATOR)
    refused(await by_token(home, token), 403, "M_FORBIDDEN")
    assert await count(home.database, "accounts_short_tokens") == 0


async def test_a_third_party_learns_who_the_bearer_is(home: House) -> None:
    """The token says whose it is for an hour, and logs nobody in."""
    made = await home.sign_up("author")
    answer = await home.client.post(openid(), json={}, headers=bearer(made["access_token"]))
    told = answer.json()
    assert (told["token_type"], told["matrix_server_name"], told["expires_in"]) == ("Bearer", "test", 3600)
    asked = {"access_token": told["access_token"]}
    assert (await home.client.get(WHO, params=asked)).json() == {"sub": "@author:test"}
    refused(await by_token(home, told["access_token"]), 403, "M_FORBIDDEN")
    refused(await home.who(told["access_token"]), 401, "M_UNKNOWN_TOKEN")
    home.clock.now += LIFETIMES_MS[OPENID_PURPOSE]
    refused(await home.client.get(WHO, params=asked), 401, "M_UNKNOWN_TOKEN")


async def test_openid_is_for_oneself_only(home: House) -> None:
    """Nobody makes a token that names somebody else; without or with a made-up token nobody is named."""
    made = await home.sign_up("author")
    await home.sign_up("stranger")
    path = openid("@stranger:test")
    refused(await home.client.post(path, json={}, headers=bearer(made["access_token"])), 403, "M_FORBIDDEN")
    refused(await home.client.get(WHO), 401, "M_MISSING_TOKEN")
    refused(await home.client.get(WHO, params={"access_token": made["access_token"]}), 401, "M_UNKNOWN_TOKEN")


async def test_only_the_newest_tokens_are_kept(home: House) -> None:
    """Whoever asks again and again fills no table."""
    await home.sign_up("author")
    made = []
    for _ in range(KEEP + 5):
        home.clock.now += 1
        made.append(await home.accounts.short_tokens.create("@author:test", OPENID_PURPOSE))
    assert await count(home.database, "accounts_short_tokens") == KEEP
    live = [await home.accounts.short_tokens.holder(token, OPENID_PURPOSE) for token in made]
    assert live == [None] * 5 + ["@author:test"] * KEEP
