"""A session that ended writes nothing more, and no process believes for long what it remembers of one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from paraph.server.accounts.errors import SessionEnded
from paraph.server.accounts.sessions import MAX_LAG
from paraph.server.http import PersonPrincipal
from paraph.server.storage import guarding
from tests.server.accounts.house import House, house


async def test_a_logout_earlier_in_the_same_batch_is_seen(home: House) -> None:
    """What was let in before the logout and is written after it is refused; what was written before it stays."""
    session = await home.sign_up("author")
    person, token = PersonPrincipal(session["user_id"], session["device_id"]), session["access_token"]
    assert await home.accounts.authenticate(token) == person
    written: list[str] = []

    async def write(text: str) -> None:
        with guarding(lambda tx: home.accounts.sessions.confirm(tx, token)):
            await home.database.write(lambda _tx: written.append(text))

    results = await asyncio.gather(
        write("before"), home.accounts.logout(person), write("after"), return_exceptions=True
    )
    assert list(results[:2]) == [None, None]
    assert isinstance(results[2], SessionEnded)
    assert written[-1:] == ["before"]
    assert "after" not in written


async def test_a_write_is_let_through_for_a_session_that_is_not_in_memory(home: House) -> None:
    """What was forgotten is looked up: only an ended session is refused."""
    session = await home.sign_up("author")
    home.accounts.sessions._recent = type(home.accounts.sessions._recent)(1)
    await home.database.write(lambda tx: home.accounts.sessions.confirm(tx, session["access_token"]))
    with pytest.raises(SessionEnded):
        await home.database.write(lambda tx: home.accounts.sessions.confirm(tx, session["access_token"] + "x"))


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
async def test_a_process_that_hears_nothing_asks_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off from the others' announcements it believes its memory for MAX_LAG seconds, and no longer."""
    async with house(tmp_path / "paraph.db") as here, house(tmp_path / "paraph.db") as there:
        session = await here.sign_up("author")
        token = session["access_token"]
        assert await there.accounts.authenticate(token) is not None
        deaf = type(there.database)
        monkeypatch.setattr(there.database._watch, "look_again", lambda: None)  # type: ignore[attr-defined]
        monkeypatch.setattr(there.database, "_catch_up", lambda _tx: None)
        await here.accounts.logout(PersonPrincipal(session["user_id"], session["device_id"]))
        monkeypatch.setattr(deaf, "lag", MAX_LAG)
        assert await there.accounts.authenticate(token) is not None
        monkeypatch.setattr(deaf, "lag", MAX_LAG + 0.001)
        assert await there.accounts.authenticate(token) is None
