"""Interactive authentication: sessions that are good for one operation, and pages on which a stage is passed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paraph.server.accounts.interaction import LENGTH, LIFETIME_MS, Interactions, OtherOperation
from tests.server.accounts.house import PASSWORD, REGISTER, House, bearer, count, house, refused
from tests.support.databases import runs_on_sqlite

TOKENS = "/_matrix/client/v1/login/get_token"
CHANGE = "/_matrix/client/v3/account/password"
PASSWORDS, DUMMIES, INVITATIONS = "m.login.password", "m.login.dummy", "m.login.registration_token"
NEW = "another long pass phrase"


def page(stage: str) -> str:
    return f"/_matrix/client/v3/auth/{stage}/fallback/web"


async def asked(home: House, made: dict[str, str], path: str = TOKENS, **body: Any) -> httpx.Response:
    return await home.client.post(path, json=body, headers=bearer(made["access_token"]))


async def session_of(home: House, made: dict[str, str], path: str = TOKENS) -> str:
    """The session that a request without `auth` begins."""
    answer = await asked(home, made, path)
    assert answer.status_code == 401
    found: str = answer.json()["session"]
    return found


def by_password(session: str | None = None, user: str = "author") -> dict[str, Any]:
    auth = {"type": PASSWORDS, "identifier": {"type": "m.id.user", "user": user}, "password": PASSWORD}
    return auth if session is None else auth | {"session": session}


async def test_asking_what_is_needed_tells_the_flow_and_writes_nothing(home: House) -> None:
    """A first 401 has flows, params, an empty list of completed stages and a session, no error code and no row."""
    made = await home.sign_up("author")
    answer = await asked(home, made)
    assert answer.status_code == 401
    told = answer.json()
    assert (told["flows"], told["params"], told["completed"]) == ([{"stages": [PASSWORDS]}], {}, [])
    assert len(told["session"]) == LENGTH
    assert "errcode" not in told
    assert await count(home.database, "accounts_passed_stages") == 0


async def test_a_session_is_good_for_the_operation_it_was_begun_for(home: House) -> None:
    """The right password in a session of another request, or of another person, is refused with 403."""
    made, stranger = await home.sign_up("author"), await home.sign_up("stranger")
    session = await session_of(home, made, CHANGE)
    refused(await asked(home, made, auth=by_password(session)), 403, "M_FORBIDDEN")
    refused(await asked(home, stranger, CHANGE, auth=by_password(session, "stranger")), 403, "M_FORBIDDEN")
    assert (await asked(home, made, CHANGE, new_password=NEW, auth=by_password(session))).status_code == 200


@pytest.mark.parametrize("session", ["", "made-up", "A" * LENGTH, "é" * LENGTH, "=" * LENGTH])
async def test_a_session_that_nobody_began_begins_a_new_one(home: House, session: str) -> None:
    """Whatever a client makes up is answered with an error, the flows and a good session."""
    made = await home.sign_up("author")
    answer = await asked(home, made, auth=by_password(session))
    refused(answer, 401, "M_FORBIDDEN")
    again = await asked(home, made, auth=by_password(answer.json()["session"]))
    assert again.status_code == 200


async def test_a_session_ends_after_an_hour(home: House) -> None:
    """Its last minute is still good; then a new one is told."""
    made = await home.sign_up("author")
    session = await session_of(home, made)
    home.clock.now += LIFETIME_MS - 60_000
    assert (await asked(home, made, auth=by_password(session))).status_code == 200
    home.clock.now += 60_000
    answer = await asked(home, made, auth=by_password(session))
    refused(answer, 401, "M_FORBIDDEN")
    assert answer.json()["session"] != session


async def test_every_changed_session_is_unknown(home: House) -> None:
    """A session with any character changed is none of this platform's, or is for nothing."""
    made = await home.sign_up("author")
    session = await session_of(home, made)
    for at in range(0, LENGTH, 5):
        other = session[:at] + ("B" if session[at] != "B" else "C") + session[at + 1 :]
        assert (await asked(home, made, auth=by_password(other))).status_code in (401, 403)


# --- Pages


async def test_the_password_page_passes_the_stage(home: House) -> None:
    """After its form the request succeeds with the session alone, once."""
    made = await home.sign_up("author")
    session = await session_of(home, made)
    shown = await home.client.get(page(PASSWORDS), params={"session": session})
    assert shown.headers["content-type"].startswith("text/html")
    assert (session in shown.text, "script-src 'sha256-" in shown.headers["content-security-policy"]) == (True, True)
    assert (await asked(home, made, auth={"session": session})).json()["session"] == session
    form = {"session": session, "user": "Author", "password": PASSWORD}
    done = await home.client.post(page(PASSWORDS), data=form)
    assert (done.status_code, "onAuthDone" in done.text, "authDone" in done.text) == (200, True, True)
    assert (await asked(home, made, auth={"session": session})).status_code == 200
    assert (await asked(home, made, auth={"session": session})).status_code == 401


async def test_a_wrong_password_on_the_page_passes_nothing(home: House) -> None:
    """The page says so and shows the form again; the request goes on asking."""
    made = await home.sign_up("author")
    session = await session_of(home, made)
    form = {"session": session, "user": "author", "password": "wrong password"}
    again = await home.client.post(page(PASSWORDS), data=form)
    assert (again.status_code, "<form" in again.text, 'role="alert"' in again.text) == (403, True, True)
    assert (await asked(home, made, auth={"session": session})).status_code == 401


async def test_somebody_elses_password_on_the_page_does_not_count(home: House) -> None:
    """The stage is passed by the owner of the account or by nobody."""
    made = await home.sign_up("author")
    await home.sign_up("stranger")
    session = await session_of(home, made)
    form = {"session": session, "user": "stranger", "password": PASSWORD}
    assert (await home.client.post(page(PASSWORDS), data=form)).status_code == 200
    refused(await asked(home, made, auth={"session": session}), 403, "M_FORBIDDEN")


async def test_a_password_that_changed_after_the_page_does_not_count(home: House) -> None:
    """What was proven was the old password."""
    made = await home.sign_up("author")
    session = await session_of(home, made, CHANGE)
    form = {"session": session, "user": "author", "password": PASSWORD}
    await home.client.post(page(PASSWORDS), data=form)
    assert (await asked(home, made, CHANGE, new_password=NEW, auth=by_password())).status_code == 200
    answer = await asked(home, made, CHANGE, new_password="a third pass phrase", auth={"session": session})
    refused(answer, 403, "M_FORBIDDEN")


async def test_an_account_is_made_through_the_page(home: House) -> None:
    """Where registration is open, the page has only a button; the request then needs nothing but the session."""
    session = (await home.client.post(REGISTER, json={})).json()["session"]
    assert (await home.client.post(page(DUMMIES), data={"session": session})).status_code == 200
    body = {"username": "author", "password": PASSWORD, "auth": {"session": session}}
    assert (await home.client.post(REGISTER, json=body)).json()["user_id"] == "@author:test"


async def test_a_registration_token_is_given_on_the_page(tmp_path: Path) -> None:
    """A good token passes and is used up by the account; a bad one does not pass; another stage is not offered."""
    async with house(tmp_path / "paraph.db", registration="token") as home:
        token, _ = await home.accounts.invitations.create(1)
        session = (await home.client.post(REGISTER, json={})).json()["session"]
        bad = await home.client.post(page(INVITATIONS), data={"session": session, "token": "pphr_no"})
        other = await home.client.post(page(DUMMIES), data={"session": session})
        assert (bad.status_code, other.status_code) == (403, 404)
        await home.client.post(page(INVITATIONS), data={"session": session, "token": token})
        body = {"username": "author", "password": PASSWORD, "auth": {"session": session}}
        assert (await home.client.post(REGISTER, json=body)).status_code == 200
        assert not await home.accounts.invitations.is_valid(token)


async def test_pages_that_are_not_there(home: House) -> None:
    """Stages that this server does not have, no session, an unknown one: each is refused, and nothing is kept."""
    refused(await home.client.get(page("m.login.recaptcha"), params={"session": "s"}), 404, "M_NOT_FOUND")
    refused(await home.client.get(page(PASSWORDS)), 400, "M_MISSING_PARAM")
    form = {"session": '"><script>', "user": "author", "password": PASSWORD}
    answer = await home.client.post(page(PASSWORDS), data=form)
    assert (answer.status_code, '"><script>' in answer.text) == (403, False)
    assert await count(home.database, "accounts_passed_stages") == 0


# --- Any session


def _sessions(now: int = 1_800_000_000_000) -> Interactions:
    return Interactions(None, lambda: now, b"k" * 32)  # type: ignore[arg-type]  # nothing here is kept


@runs_on_sqlite
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(max_size=80) | st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef0123456789-_=", min_size=LENGTH, max_size=LENGTH)
)
def test_no_text_that_was_not_begun_is_a_session(text: str) -> None:
    """Whatever it is, it is unknown, and no failure."""
    assert not _sessions().is_live(text)
    assert not _sessions().is_for(text, "anything")


@runs_on_sqlite
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=60), st.text(max_size=60), st.integers(0, 2**45))
def test_a_session_is_its_operations_at_any_time(one: str, other: str, now: int) -> None:
    """It is good for the operation it was begun for, for no other one, and under no other key."""
    session = _sessions(now).begin(f"1{one}")
    assert _sessions(now).is_for(session, f"1{one}")
    assert not Interactions(None, lambda: now, b"x").is_live(session)  # type: ignore[arg-type]
    if one != other:
        with pytest.raises(OtherOperation):
            _sessions(now).is_for(session, f"1{other}")
