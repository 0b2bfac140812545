"""What happens to a whole account: its password changes, it ends, its devices are too many."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from paraph.server.accounts.sessions import MAX_DEVICES
from paraph.server.http import MatrixError, PersonPrincipal
from paraph.server.storage import Transaction
from tests.server.accounts.house import (
    ADMIN,
    DUMMY,
    OPERATOR,
    PASSWORD,
    REGISTER,
    House,
    bearer,
    count,
    house,
    refused,
)
from tests.support.databases import databases, runs_writes_once

CHANGE = "/_matrix/client/v3/account/password"
END = "/_matrix/client/v3/account/deactivate"
REFRESH = "/_matrix/client/v3/refresh"
NEW = "another long pass phrase"


def by_password(password: str = PASSWORD, user: str = "author") -> dict[str, Any]:
    """The stage that both endpoints ask for."""
    return {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": user}, "password": password}


async def change(home: House, made: dict[str, str], **body: Any) -> httpx.Response:
    """Change the password, with the right old one unless `body` says otherwise."""
    content = {"new_password": NEW, "auth": by_password(), **body}
    return await home.client.post(CHANGE, json=content, headers=bearer(made["access_token"]))


async def end(home: House, made: dict[str, str], auth: Any = None) -> httpx.Response:
    """Deactivate the account, with the right password unless `auth` says otherwise."""
    return await home.client.post(END, json={"auth": auth or by_password()}, headers=bearer(made["access_token"]))


async def lives(home: House, made: dict[str, str]) -> bool:
    return (await home.who(made["access_token"])).status_code == 200


def just_before_the_next_write(home: House, happen: Any) -> None:
    """Let something happen after the next write was asked for and before it runs."""
    real = home.database.write

    async def slow(fn: Any) -> Any:
        home.database.write = real  # type: ignore[method-assign]
        await happen()
        return await real(fn)

    home.database.write = slow  # type: ignore[method-assign]


# --- Passwords


async def test_a_new_password_replaces_the_old_one(home: House) -> None:
    """The new one logs in, the old one does not, also after a restart."""
    made = await home.sign_up("author")
    assert (await change(home, made)).json() == {}
    refused(await home.log_in("author"), 403, "M_FORBIDDEN")
    assert (await home.log_in("author", NEW)).status_code == 200
    async with house(home.path.with_name("copy.db")) as other:
        refused(await other.log_in("author", NEW), 403, "M_FORBIDDEN")


async def test_a_changed_password_outlives_a_restart(tmp_path: Path) -> None:
    """What was answered is on disk, and neither password is."""
    async with house(tmp_path / "paraph.db") as home:
        await change(home, await home.sign_up("author"))
    async with house(tmp_path / "paraph.db") as home:
        refused(await home.log_in("author"), 403, "M_FORBIDDEN")
        assert (await home.log_in("author", NEW)).status_code == 200
    for secret in (PASSWORD, NEW):
        assert secret.encode() not in databases().stored(tmp_path / "paraph.db")


@pytest.mark.parametrize("logout_devices", [None, True, False])
@runs_writes_once
async def test_other_devices_are_logged_out_unless_told_otherwise(home: House, logout_devices: bool | None) -> None:
    """The calling session goes on in any case, and so do other people's."""
    made = await home.sign_up("author", refresh_token=True)
    other = (await home.log_in("author", refresh_token=True)).json()
    stranger = await home.sign_up("stranger")
    ended: list[str] = []
    home.accounts.on_logout.append(lambda tx, user_id, device_id: ended.append(device_id))
    body = {} if logout_devices is None else {"logout_devices": logout_devices}
    assert (await change(home, made, **body)).status_code == 200
    assert ended == ([] if logout_devices is False else [other["device_id"]])
    assert await lives(home, other) is (logout_devices is False)
    assert await lives(home, made)
    assert await lives(home, stranger)
    for pair, good in ((made, True), (other, logout_devices is False)):
        answer = await home.client.post(REFRESH, json={"refresh_token": pair["refresh_token"]})
        assert answer.status_code == (200 if good else 401)


async def test_the_old_password_is_asked_for(home: House) -> None:
    """Without `auth` the flows are told, whatever else the body lacks; then the same session completes."""
    made = await home.sign_up("author")
    for body in ({}, {"new_password": NEW}):
        answer = await home.client.post(CHANGE, json=body, headers=bearer(made["access_token"]))
        assert answer.status_code == 401
        assert answer.json()["flows"] == [{"stages": ["m.login.password"]}]
        assert "errcode" not in answer.json()
    auth = {**by_password(), "session": answer.json()["session"]}
    assert (await change(home, made, auth=auth)).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "errcode"),
    [
        ({"new_password": "seven77"}, 400, "M_WEAK_PASSWORD"),
        ({"new_password": ""}, 400, "M_WEAK_PASSWORD"),
        ({"new_password": "p" * 513}, 400, "M_INVALID_PARAM"),
        ({"new_password": None}, 400, "M_MISSING_PARAM"),
        ({"new_password": 12345678}, 400, "M_BAD_JSON"),
        ({"logout_devices": "no"}, 400, "M_BAD_JSON"),
        ({"logout_devices": None}, 400, "M_BAD_JSON"),
        ({"auth": "m.login.password"}, 400, "M_BAD_JSON"),
        ({"auth": by_password("wrong password")}, 401, "M_FORBIDDEN"),
        ({"auth": by_password(user="stranger")}, 403, "M_FORBIDDEN"),
        ({"auth": by_password(user="@author:elsewhere")}, 403, "M_FORBIDDEN"),
        ({"auth": DUMMY}, 401, "M_FORBIDDEN"),
        ({"auth": {"type": "m.login.email.identity"}}, 401, "M_FORBIDDEN"),
    ],
)
async def test_bad_changes_are_refused(home: House, body: Any, status: int, errcode: str) -> None:
    """Each bad input has its error; password and sessions stay as they were."""
    made = await home.sign_up("author")
    await home.sign_up("stranger")
    other = (await home.log_in("author")).json()
    refused(await change(home, made, **body), status, errcode)
    assert (await home.log_in("author")).status_code == 200
    assert await lives(home, other)


async def test_of_two_changes_at_once_one_wins(home: House) -> None:
    """Both knew the old password; the second to be written finds that it is no longer the password."""
    made = await home.sign_up("author")
    asks = [change(home, made, new_password=f"password number {n}", logout_devices=False) for n in range(4)]
    answers = await asyncio.gather(*asks)
    (winner,) = [n for n, answer in enumerate(answers) if answer.status_code == 200]
    for n, answer in enumerate(answers):
        if n != winner:
            refused(answer, 403, "M_FORBIDDEN")
        logged_in = await home.log_in("author", f"password number {n}")
        assert (logged_in.status_code == 200) is (n == winner)


async def test_a_login_that_meets_a_change_begins_no_session(home: House) -> None:
    """A login whose old password was checked just before the change leaves no session behind it."""
    made = await home.sign_up("author")

    async def meanwhile() -> None:
        assert (await change(home, made)).status_code == 200

    just_before_the_next_write(home, meanwhile)
    refused(await home.log_in("author"), 403, "M_FORBIDDEN")
    assert await count(home.database, "accounts_sessions") == 1


async def test_guesses_at_the_old_password_are_limited(limited: House) -> None:
    """A stolen access token gives ten guesses, no more."""
    made = await limited.sign_up("author")
    for _ in range(10):
        refused(await change(limited, made, auth=by_password("wrong password")), 401, "M_FORBIDDEN")
    refused(await change(limited, made), 429, "M_LIMIT_EXCEEDED")


# --- The operator's reset


def reset_path(user_id: str = "@author:test") -> str:
    return f"{ADMIN}/users/{user_id}/password"


@pytest.mark.parametrize("logout_devices", [None, True, False])
async def test_the_operator_resets_a_password(home: House, logout_devices: bool | None) -> None:
    """Without the old password; every session ends unless told otherwise."""
    made = await home.sign_up("author")
    body = {"password": NEW} | ({} if logout_devices is None else {"logout_devices": logout_devices})
    assert (await home.client.post(reset_path(), json=body, headers=OPERATOR)).json() == {}
    assert await lives(home, made) is (logout_devices is False)
    refused(await home.log_in("author"), 403, "M_FORBIDDEN")
    assert (await home.log_in("author", NEW)).status_code == 200


@pytest.mark.parametrize(
    ("user_id", "body", "status", "errcode"),
    [
        ("@nobody:test", {"password": NEW}, 404, "M_NOT_FOUND"),
        ("author", {"password": NEW}, 404, "M_NOT_FOUND"),
        ("@author%00:test", {"password": NEW}, 400, "M_INVALID_PARAM"),
        ("@gone:test", {"password": NEW}, 403, "M_USER_DEACTIVATED"),
        ("@author:test", {"password": "short"}, 400, "M_WEAK_PASSWORD"),
        ("@author:test", {}, 400, "M_BAD_JSON"),
        ("@author:test", {"password": NEW, "logout": True}, 400, "M_BAD_JSON"),
    ],
)
async def test_bad_resets_are_refused(home: House, user_id: str, body: Any, status: int, errcode: str) -> None:
    """Each bad input has its error, and nothing changes."""
    made = await home.sign_up("author")
    await home.sign_up("gone")
    await home.client.post(f"{ADMIN}/users/@gone:test/deactivate", headers=OPERATOR)
    refused(await home.client.post(reset_path(user_id), json=body, headers=OPERATOR), status, errcode)
    assert await lives(home, made)
    assert (await home.log_in("author")).status_code == 200


@pytest.mark.parametrize("path", ["password", "deactivate"])
async def test_only_the_operator_has_power_over_accounts(home: House, path: str) -> None:
    """A person's own token does not open the operator's endpoints, not even for her own account."""
    made = await home.sign_up("author")
    body = {"password": NEW}
    answer = await home.client.post(
        f"{ADMIN}/users/@author:test/{path}", json=body, headers=bearer(made["access_token"])
    )
    refused(answer, 401, "M_UNKNOWN_TOKEN")
    assert await lives(home, made)


# --- Deactivation


async def test_a_deactivated_account_is_over(home: House) -> None:
    """Every session ends, nobody logs in, and the account does not exist for other rooms."""
    made = await home.sign_up("author", refresh_token=True)
    other = (await home.log_in("author")).json()
    assert await lives(home, other)
    assert (await end(home, made)).json() == {"id_server_unbind_result": "success"}
    for session in (made, other):
        refused(await home.who(session["access_token"]), 401, "M_UNKNOWN_TOKEN")
    refused(await home.client.post(REFRESH, json={"refresh_token": made["refresh_token"]}), 401, "M_UNKNOWN_TOKEN")
    refused(await home.log_in("author"), 403, "M_FORBIDDEN")
    refused(await home.log_in("author", ""), 403, "M_FORBIDDEN")
    assert not await home.database.read(lambda tx: home.accounts.exists(tx, "@author:test"))
    assert await count(home.database, "accounts_sessions") == 0


async def test_the_name_is_never_free_again(home: House) -> None:
    """Neither registration nor the operator can make another account of this name."""
    await end(home, await home.sign_up("author"))
    refused(await home.client.get(f"{REGISTER}/available?username=author"), 400, "M_USER_IN_USE")
    body = {"username": "author", "password": NEW, "auth": DUMMY}
    refused(await home.client.post(REGISTER, json=body), 400, "M_USER_IN_USE")
    answer = await home.client.post(f"{ADMIN}/users", json={"username": "author", "password": NEW}, headers=OPERATOR)
    refused(answer, 400, "M_USER_IN_USE")


async def test_the_operators_list_shows_who_left(home: House) -> None:
    """A deactivated account stays in the list, with the time it ended."""
    made = await home.sign_up("author")
    await home.sign_up("stranger")
    home.clock.now += 5
    await end(home, made)
    users = (await home.client.get(f"{ADMIN}/users", headers=OPERATOR)).json()["users"]
    assert [(user["user_id"], user["deactivated"]) for user in users] == [
        ("@author:test", home.clock.now),
        ("@stranger:test", None),
    ]


async def test_deactivation_outlives_a_restart(tmp_path: Path) -> None:
    """What was answered is on disk."""
    async with house(tmp_path / "paraph.db") as home:
        made = await home.sign_up("author")
        await end(home, made)
    async with house(tmp_path / "paraph.db") as home:
        assert not await lives(home, made)
        refused(await home.log_in("author"), 403, "M_FORBIDDEN")


@runs_writes_once
async def test_rooms_are_left_and_devices_go_in_the_same_transaction(home: House) -> None:
    """Hooks run once, while account and devices are still there; what one raises undoes everything."""
    made = await home.sign_up("author", device_id="PHONE")
    await home.log_in("author", device_id="LAPTOP")
    seen: list[str] = []

    def leave(tx: Transaction, user_id: str) -> None:
        assert home.accounts.exists(tx, user_id)
        seen.append(f"{user_id} leaves")

    def fail(tx: Transaction, user_id: str, device_id: str) -> None:
        raise MatrixError(409, "M_UNKNOWN", "not now")

    home.accounts.on_deactivate.append(leave)
    home.accounts.on_logout.append(fail)
    refused(await end(home, made), 409, "M_UNKNOWN")
    assert await lives(home, made)
    assert (await home.log_in("author", device_id="LAPTOP")).status_code == 200
    seen.clear()
    home.accounts.on_logout[:] = [lambda tx, user_id, device_id: seen.append(device_id)]
    assert (await end(home, made)).status_code == 200
    assert seen == ["@author:test leaves", "LAPTOP", "PHONE"]


async def test_the_password_is_asked_for_before_the_end(home: House) -> None:
    """Without it the flows are told; a wrong one, or another's, fails; the account goes on."""
    made, _ = await home.sign_up("author"), await home.sign_up("stranger")
    answer = await home.client.post(END, json={}, headers=bearer(made["access_token"]))
    assert answer.status_code == 401
    assert answer.json()["flows"] == [{"stages": ["m.login.password"]}]
    for auth in (by_password("wrong password"), DUMMY):
        refused(await end(home, made, auth), 401, "M_FORBIDDEN")
    refused(await end(home, made, by_password(user="stranger")), 403, "M_FORBIDDEN")
    refused(await end(home, made, "m.login.password"), 400, "M_BAD_JSON")
    assert await lives(home, made)


@runs_writes_once
async def test_deactivating_twice_is_once(home: House) -> None:
    """Two requests at once both succeed, and hooks run once; the operator may repeat it for ever."""
    made, seen = await home.sign_up("author"), list[str]()
    home.accounts.on_deactivate.append(lambda tx, user_id: seen.append(user_id))
    answers = await asyncio.gather(*(end(home, made) for _ in range(3)))
    assert {answer.status_code for answer in answers} == {200}
    ended = home.clock.now
    home.clock.now += 1000
    for _ in range(2):
        answer = await home.client.post(f"{ADMIN}/users/@author:test/deactivate", headers=OPERATOR)
        assert (answer.status_code, answer.json()) == (200, {})
    assert seen == ["@author:test"]
    users = (await home.client.get(f"{ADMIN}/users", headers=OPERATOR)).json()["users"]
    assert users[0]["deactivated"] == ended


async def test_the_operator_deactivates(home: House) -> None:
    """Without a password, with the same effect; unknown people are not found."""
    made = await home.sign_up("author")
    assert (await home.client.post(f"{ADMIN}/users/@author:test/deactivate", headers=OPERATOR)).status_code == 200
    assert not await lives(home, made)
    for user_id in ("@nobody:test", "author"):
        answer = await home.client.post(f"{ADMIN}/users/{user_id}/deactivate", headers=OPERATOR)
        refused(answer, 404, "M_NOT_FOUND")


async def test_a_login_that_meets_the_end_begins_no_session(home: House) -> None:
    """A login whose password was checked just before the account ended is refused."""
    made = await home.sign_up("author")

    async def meanwhile() -> None:
        assert (await end(home, made)).status_code == 200

    just_before_the_next_write(home, meanwhile)
    refused(await home.log_in("author"), 403, "M_FORBIDDEN")
    assert await count(home.database, "accounts_sessions") == 0


@pytest.mark.parametrize("logout_devices", [True, False])
async def test_a_change_that_meets_the_end_changes_nothing(home: House, logout_devices: bool) -> None:
    """A deactivated account gets no new password, whoever asks."""
    made = await home.sign_up("author")
    proof = await home.accounts.entrance.prove("@author:test", PASSWORD)
    await end(home, made)
    person = PersonPrincipal("@author:test", made["device_id"])
    with pytest.raises(MatrixError):
        await home.accounts.change_password(person, proof, NEW, logout_devices=logout_devices)
    with pytest.raises(MatrixError):
        await home.accounts.reset_password("@author:test", NEW, logout_devices=logout_devices)
    for password in (PASSWORD, NEW):
        refused(await home.log_in("author", password), 403, "M_FORBIDDEN")


async def test_the_end_that_meets_a_change_is_refused(home: House) -> None:
    """Whoever proved a password that is no longer the password ends nothing."""
    made = await home.sign_up("author")
    proof = await home.accounts.entrance.prove("@author:test", PASSWORD)
    await change(home, made)
    with pytest.raises(MatrixError):
        await home.accounts.deactivate("@author:test", proof)
    assert await lives(home, made)


# --- Devices


async def test_an_account_has_a_bounded_number_of_devices(home: House) -> None:
    """Beyond it a login is refused and says what to do: log one out, or take its place."""
    made = await home.sign_up("author", device_id="D0")
    asks = [home.log_in("author", device_id=f"D{n}") for n in range(1, MAX_DEVICES + 5)]
    answers = await asyncio.gather(*asks)
    assert [answer.status_code for answer in answers].count(200) == MAX_DEVICES - 1
    late = next(answer for answer in answers if answer.status_code != 200)
    refused(late, 403, "ORG_PARAPH_TOO_MANY_DEVICES")
    assert str(MAX_DEVICES) in late.json()["error"]
    assert await count(home.database, "accounts_sessions") == MAX_DEVICES
    assert (await home.log_in("author", device_id="D0")).status_code == 200
    assert not await lives(home, made)
    await home.sign_up("stranger")
    await home.accounts.logout(PersonPrincipal("@author:test", "D0"))
    assert (await home.log_in("author", device_id="ONE-MORE")).status_code == 200


async def test_there_are_no_addresses(home: House) -> None:
    """Clients ask for mail addresses and telephone numbers: nobody has any here."""
    made = await home.sign_up("author")
    answer = await home.client.get("/_matrix/client/v3/account/3pid", headers=bearer(made["access_token"]))
    assert answer.json() == {"threepids": []}
