"""Logging in and out, tokens, authenticating again, limits."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from paraph.server.accounts.errors import InteractiveAuth
from paraph.server.accounts.passwords import Passwords
from paraph.server.accounts.sessions import MAX_CACHED_SESSIONS, SEEN_EVERY_MS
from paraph.server.http import MatrixError, PersonPrincipal, Request
from paraph.server.http.errors import ApiError
from paraph.server.storage import Transaction
from tests.server.accounts.house import DUMMY, LOGIN, PASSWORD, REGISTER, House, bearer, cheap, count, house, refused
from tests.support.databases import runs_writes_once

OUT = "/_matrix/client/v3/logout"


async def test_the_password_flow_is_offered(home: House) -> None:
    """The list of login flows holds passwords, and tokens that another device makes."""
    flows = [{"type": "m.login.password"}, {"type": "m.login.token", "get_login_token": True}]
    assert (await home.client.get(LOGIN)).json() == {"flows": flows}


@pytest.mark.parametrize("name", ["author", "@author:test"])
@pytest.mark.parametrize("legacy", [True, False])
async def test_names_that_log_in(home: House, name: str, legacy: bool) -> None:
    """Local part and full id log in, under `identifier` and under the old `user`."""
    await home.sign_up("author")
    who: dict[str, Any] = {"user": name} if legacy else {"identifier": {"type": "m.id.user", "user": name}}
    body = {"type": "m.login.password", "password": PASSWORD, "initial_device_display_name": "Laptop", **who}
    answer = await home.client.post(LOGIN, json=body)
    assert answer.json()["user_id"] == "@author:test"
    assert (await home.who(answer.json()["access_token"])).status_code == 200


@pytest.mark.parametrize(
    "name", ["nobody", "@author:elsewhere", "@", "@author", "app-films", "@app-films:test", "x" * 9000, "author\u0001"]
)
async def test_unknown_names_fail_like_wrong_passwords(home: House, name: str) -> None:
    """Whatever is wrong, the answer is the same."""
    await home.sign_up("author")
    wrong = await home.log_in("author", "wrong password")
    refused(wrong, 403, "M_FORBIDDEN")
    assert (await home.log_in(name)).json() == wrong.json()


@pytest.mark.parametrize(
    ("change", "status", "errcode"),
    [
        ({"type": "m.login.sso"}, 400, "M_UNKNOWN"),
        ({"type": "m.login.token"}, 400, "M_MISSING_PARAM"),
        ({"type": "m.login.token", "token": "pphs_made-up"}, 403, "M_FORBIDDEN"),
        ({"type": None}, 400, "M_BAD_JSON"),
        ({"identifier": {"type": "m.id.thirdparty", "medium": "email"}}, 403, "M_FORBIDDEN"),
        ({"identifier": {"type": "m.id.phone", "country": "XX", "phone": "1"}}, 403, "M_FORBIDDEN"),
        ({"identifier": None, "medium": "email", "address": "author@example.org"}, 403, "M_FORBIDDEN"),
        ({"identifier": {"type": "org.example.badge"}}, 400, "M_UNKNOWN"),
        ({"identifier": {"type": "m.id.user"}}, 400, "M_MISSING_PARAM"),
        ({"identifier": None}, 400, "M_MISSING_PARAM"),
        ({"password": None}, 400, "M_MISSING_PARAM"),
        ({"password": "p" * 513}, 400, "M_INVALID_PARAM"),
        ({"password": {}}, 400, "M_BAD_JSON"),
        ({"device_id": "\n"}, 400, "M_INVALID_PARAM"),
        ({"initial_device_display_name": "x" * 300}, 400, "M_INVALID_PARAM"),
    ],
)
async def test_bad_logins_are_refused(home: House, change: Any, status: int, errcode: str) -> None:
    """Each bad input has its error, and no session begins."""
    await home.sign_up("author")
    body = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "author"}, "password": PASSWORD}
    refused(await home.client.post(LOGIN, json=body | change), status, errcode)
    assert await count(home.database, "accounts_sessions") == 1


async def test_a_device_that_logs_in_again_loses_its_old_token(home: House) -> None:
    """One device, one token: the old one dies, also where it was remembered; other devices are left alone."""
    first = await home.sign_up("author", device_id="PHONE")
    other = (await home.log_in("author")).json()
    assert (await home.who(first["access_token"])).status_code == 200
    again = (await home.log_in("author", device_id="PHONE")).json()
    assert again["device_id"] == "PHONE"
    refused(await home.who(first["access_token"]), 401, "M_UNKNOWN_TOKEN")
    assert (await home.who(again["access_token"])).status_code == 200
    assert (await home.who(other["access_token"])).status_code == 200


async def test_logout_ends_one_session(home: House) -> None:
    """A token that logged out is dead at once, the others live."""
    first, second = await home.sign_up("author"), (await home.log_in("author")).json()
    assert (await home.client.post(OUT, headers=bearer(first["access_token"]))).json() == {}
    refused(await home.who(first["access_token"]), 401, "M_UNKNOWN_TOKEN")
    assert (await home.who(second["access_token"])).status_code == 200


async def test_logout_all_ends_every_session_of_one_person(home: House) -> None:
    """All her tokens die; nobody else's do."""
    mine = [await home.sign_up("author"), (await home.log_in("author")).json()]
    other = await home.sign_up("correspondent")
    for session in mine:
        assert (await home.who(session["access_token"])).status_code == 200
    assert (await home.client.post(f"{OUT}/all", headers=bearer(mine[0]["access_token"]))).json() == {}
    for session in mine:
        refused(await home.who(session["access_token"]), 401, "M_UNKNOWN_TOKEN")
    assert (await home.who(other["access_token"])).status_code == 200


async def test_sessions_outlive_a_restart_and_logouts_too(tmp_path: Path) -> None:
    """What was answered is on disk: a live token lives on, a dead one stays dead."""
    async with house(tmp_path / "paraph.db") as home:
        kept, ended = await home.sign_up("author"), (await home.log_in("author")).json()
        await home.client.post(OUT, headers=bearer(ended["access_token"]))
    async with house(tmp_path / "paraph.db") as home:
        assert (await home.who(kept["access_token"])).status_code == 200
        refused(await home.who(ended["access_token"]), 401, "M_UNKNOWN_TOKEN")


@runs_writes_once
async def test_hooks_join_the_transaction(home: House) -> None:
    """Other rooms see sessions begin and end; what they raise undoes the whole write."""
    seen: list[tuple[str, ...]] = []

    def ends(tx: Transaction, user_id: str, device_id: str) -> None:
        seen.append(("out", user_id, device_id))

    def begins(tx: Transaction, user_id: str, device_id: str, name: str | None) -> None:
        if device_id == "REFUSED":
            raise MatrixError(400, "M_INVALID_PARAM", "not this device")
        seen.append(("in", user_id, device_id, name or ""))

    home.accounts.on_login.append(begins)
    home.accounts.on_logout.append(ends)
    person = await home.sign_up("author", device_id="PHONE", initial_device_display_name="Phone")
    await home.client.post(OUT, headers=bearer(person["access_token"]))
    assert seen == [("in", "@author:test", "PHONE", "Phone"), ("out", "@author:test", "PHONE")]
    body = {"username": "other", "password": PASSWORD, "auth": DUMMY, "device_id": "REFUSED"}
    refused(await home.client.post(REGISTER, json=body), 400, "M_INVALID_PARAM")
    assert await count(home.database, "accounts") == 1


async def test_last_seen_is_written_rarely(home: House) -> None:
    """Using a token writes at most once in ten minutes."""
    person = await home.sign_up("author", device_id="PHONE")

    async def seen() -> dict[str, int]:
        await home.database.write(lambda tx: None)  # whatever was queued before is durable after this
        return await home.database.read(lambda tx: home.accounts.last_seen(tx, "@author:test"))

    start = home.clock.now
    home.clock.now += SEEN_EVERY_MS - 1
    await home.who(person["access_token"])
    assert await seen() == {"PHONE": start}
    home.clock.now += 1
    await home.who(person["access_token"])
    await asyncio.sleep(0)
    assert await seen() == {"PHONE": start + SEEN_EVERY_MS}


async def test_unknown_tokens_are_not_remembered(home: House) -> None:
    """Random tokens neither pass nor fill the memory."""
    for n in range(50):
        assert await home.accounts.authenticate(f"pph_{n}") is None
    assert len(home.accounts.sessions._recent) == 0
    assert MAX_CACHED_SESSIONS < 10**6


async def test_a_logout_during_a_lookup_wins(home: House) -> None:
    """A session that was read before its logout became durable is not remembered after it."""
    person = await home.sign_up("author")
    real, principal = home.database.read, PersonPrincipal(person["user_id"], person["device_id"])

    async def slow(fn: Any) -> Any:
        found = await real(fn)
        await home.accounts.logout(principal)
        return found

    home.database.read = slow  # type: ignore[method-assign]
    await home.accounts.authenticate(person["access_token"])
    home.database.read = real  # type: ignore[method-assign]
    assert await home.accounts.authenticate(person["access_token"]) is None


# --- Passwords


async def test_hashes_are_argon2id_with_our_parameters() -> None:
    """The stored text names algorithm and parameters."""
    passwords = Passwords()
    try:
        assert (await passwords.hash(PASSWORD)).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    finally:
        passwords.close()


async def test_old_parameters_are_replaced_at_login(tmp_path: Path) -> None:
    """A hash made with other parameters is made anew once the password is known, and goes on working."""
    path = tmp_path / "paraph.db"
    stronger = PasswordHasher(time_cost=2, memory_cost=16, parallelism=1)

    async def stored(home: House) -> str:
        row = await home.database.read(lambda tx: tx.row("SELECT password_hash FROM accounts"))
        assert row is not None
        return str(row[0])

    async with house(path) as home:
        await home.sign_up("author")
        assert "m=8,t=1" in await stored(home)
    async with house(path, passwords=lambda: Passwords(stronger)) as home:
        refused(await home.log_in("author", "wrong password"), 403, "M_FORBIDDEN")
        assert "m=8,t=1" in await stored(home)
        assert (await home.log_in("author")).status_code == 200
        assert "m=16,t=2" in await stored(home)
        assert (await home.log_in("author")).status_code == 200


async def test_unknown_accounts_cost_the_same_work() -> None:
    """A guess at a missing account runs the hash function just as one at an existing account does."""

    class Counting(PasswordHasher):
        checks = 0

        def verify(self, *args: Any) -> Any:
            self.checks += 1
            return super().verify(*args)

    hasher = Counting(time_cost=1, memory_cost=8, parallelism=1)
    passwords = Passwords(hasher)
    try:
        stored = await passwords.hash(PASSWORD)
        assert not (await passwords.verify("wrong", stored)).right
        assert not (await passwords.verify("wrong", None)).right
        assert hasher.checks == 2
    finally:
        passwords.close()


async def test_too_many_hashes_at_once_are_turned_away() -> None:
    """Beyond the bound the answer is 503 at once, and the room frees up again."""
    passwords = Passwords(cheap(), max_waiting=4)
    try:
        results = await asyncio.gather(*(passwords.hash(PASSWORD) for _ in range(10)), return_exceptions=True)
        refusals = [result for result in results if isinstance(result, ApiError)]
        assert len(refusals) == 6
        assert {refusal.status for refusal in refusals} == {503}
        assert await passwords.hash(PASSWORD)
    finally:
        passwords.close()


# --- Limits


async def test_login_attempts_are_limited_per_address(limited: House) -> None:
    """Ten at once from one address, then one each five seconds; another address is not affected."""
    await limited.sign_up("author")
    for n in range(10):
        refused(await limited.log_in(f"nobody{n}"), 403, "M_FORBIDDEN")
    answer = await limited.log_in("author")
    refused(answer, 429, "M_LIMIT_EXCEEDED")
    assert 0 < answer.json()["retry_after_ms"] <= 5000
    assert int(answer.headers["retry-after"]) >= 1
    limited.client = limited.client_at("192.0.2.2")
    assert (await limited.log_in("author")).status_code == 200
    limited.client = limited.client_at("192.0.2.1")
    limited.clock.now += 5000
    assert (await limited.log_in("author")).status_code == 200


async def test_failed_logins_are_limited_per_account(limited: House) -> None:
    """From ever new addresses one account takes ten guesses; then even the right password has to wait."""
    await limited.sign_up("author")
    for n in range(10):
        limited.client = limited.client_at(f"192.0.2.{n}")
        refused(await limited.log_in("author", f"guess number {n}"), 403, "M_FORBIDDEN")
    limited.client = limited.client_at("198.51.100.1")
    refused(await limited.log_in("author"), 429, "M_LIMIT_EXCEEDED")
    refused(await limited.log_in("@author:test"), 429, "M_LIMIT_EXCEEDED")
    refused(await limited.log_in("nobody"), 403, "M_FORBIDDEN")
    limited.clock.now += 5000
    assert (await limited.log_in("author")).status_code == 200


async def test_registrations_are_limited_per_address(limited: House) -> None:
    """Twenty at once, then one each five seconds."""
    for n in range(20):
        await limited.sign_up(f"author{n}")
    body = {"username": "late", "password": PASSWORD, "auth": DUMMY}
    refused(await limited.client.post(REGISTER, json=body), 429, "M_LIMIT_EXCEEDED")
    limited.clock.now += 5000
    await limited.sign_up("late")


async def test_registrations_are_limited_per_name(limited: House) -> None:
    """From ever new addresses one name takes twenty tries; other names are not affected."""
    body = {"username": "author", "password": PASSWORD, "auth": DUMMY}
    answers = []
    for n in range(21):
        limited.client = limited.client_at(f"192.0.2.{n}")
        answers.append((await limited.client.post(REGISTER, json=body)).status_code)
    assert answers == [200] + [400] * 19 + [429]
    await limited.sign_up("other")


# --- Authenticating again


def asked(address: str = "192.0.2.7") -> Request:
    """A request of a person, as a handler of another room holds it."""
    return Request("POST", {}, b"", [], b"", address, PersonPrincipal("@author:test", "PHONE"))


async def test_the_password_is_asked_for(home: House) -> None:
    """Without `auth` the flows are told, without an error code."""
    with pytest.raises(InteractiveAuth) as needed:
        await home.accounts.check_user_interactive(asked(), "@author:test", None, "test")
    assert needed.value.status == 401
    assert needed.value.extra["flows"] == [{"stages": ["m.login.password"]}]
    assert b"errcode" not in needed.value.reply().body


@pytest.mark.parametrize("who", [{}, {"user": "author"}, {"identifier": {"type": "m.id.user", "user": "@author:test"}}])
async def test_the_right_password_passes(home: House, who: dict[str, Any]) -> None:
    """The account's own password passes, whichever way the account is named."""
    await home.sign_up("author")
    session = home.accounts.interactions.begin("test @author:test")
    auth = {"type": "m.login.password", "password": PASSWORD, "session": session, **who}
    await home.accounts.check_user_interactive(asked(), "@author:test", auth, "test")


@pytest.mark.parametrize(
    "auth",
    [
        {"type": "m.login.password", "password": "wrong password"},
        {"type": "m.login.password"},
        {"type": "m.login.password", "password": 7},
        {"type": "m.login.dummy"},
    ],
)
async def test_everything_else_fails(home: House, auth: dict[str, Any]) -> None:
    """No password, a wrong one or another stage: 401 with an error code and the same session."""
    await home.sign_up("author")
    session = home.accounts.interactions.begin("test @author:test")
    with pytest.raises(InteractiveAuth) as needed:
        await home.accounts.check_user_interactive(asked(), "@author:test", {**auth, "session": session}, "test")
    assert needed.value.extra["session"] == session
    assert b"M_FORBIDDEN" in needed.value.reply().body


async def test_guessing_again_is_limited(limited: House) -> None:
    """Attempts here count like logins: a stolen token is no way around the limit."""
    await limited.sign_up("author")
    auth = {"type": "m.login.password", "password": "wrong password"}
    for n in range(10):
        with pytest.raises(InteractiveAuth):
            await limited.accounts.check_user_interactive(asked(f"192.0.2.{n}"), "@author:test", auth, "test")
    with pytest.raises(ApiError) as refusal:
        await limited.accounts.check_user_interactive(asked("198.51.100.1"), "@author:test", auth, "test")
    assert refusal.value.status == 429


async def test_guessing_again_is_limited_per_address_too(limited: House) -> None:
    """One address cannot try its luck on many accounts."""
    for n in range(10):
        auth = {"type": "m.login.password", "password": "wrong password"}
        with pytest.raises(InteractiveAuth):
            await limited.accounts.check_user_interactive(asked(), f"@author{n}:test", auth, "test")
    with pytest.raises(ApiError) as refusal:
        await limited.accounts.check_user_interactive(asked(), "@author:test", auth, "test")
    assert refusal.value.status == 429
