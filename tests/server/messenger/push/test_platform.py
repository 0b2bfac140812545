"""Pushers on a whole platform: what becomes of them with sessions and passwords, and where gateways may be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from paraph.server.app import Server, build
from paraph.server.config import Settings
from tests.server.inbox.hooks import hook
from tests.server.messenger.push.test_pushers import PATH, pusher, url_of
from tests.support.databases import databases
from tests.support.matrix import PASSWORD, V3, auth, create_room, register

ANOTHER = "another long enough pass phrase"


@pytest.fixture
def dialect() -> str:
    """SQLite is enough: what differs is tested in the parts."""
    return "sqlite"


@asynccontextmanager
async def platform(folder: Path, **settings: Any) -> AsyncIterator[tuple[Server, httpx.AsyncClient]]:
    server = build(Settings(data=folder, database="sqlite", registration="open", rate_limits=False, **settings))
    await server.start()
    transport = httpx.ASGITransport(app=server.application)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            yield server, http
    finally:
        await server.stop()


async def pushkeys(http: httpx.AsyncClient, account: dict[str, str]) -> list[str]:
    found = (await http.get(f"{V3}/pushers", headers=auth(account))).json()["pushers"]
    return sorted(one["pushkey"] for one in found)


async def log_in(http: httpx.AsyncClient, user_id: str) -> dict[str, str]:
    body = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": user_id}, "password": PASSWORD}
    made = (await http.post(f"{V3}/login", json=body)).raise_for_status().json()
    return {"user_id": user_id, "Authorization": f"Bearer {made['access_token']}"}


async def test_pushers_end_with_their_sessions(tmp_path: Path) -> None:
    """A new password ends the other sessions and their pushers, not one's own; logging out ends one's own."""
    async with platform(tmp_path) as (_, http):
        laptop = await register(http, "author")
        phone = await log_in(http, laptop["user_id"])
        for session, key in ((laptop, "laptop"), (phone, "phone")):
            body = pusher(f"https://push.example.org{PATH}", key)
            assert (await http.post(f"{V3}/pushers/set", json=body, headers=auth(session))).status_code == 200
        assert await pushkeys(http, laptop) == ["laptop", "phone"]
        change = {
            "new_password": ANOTHER,
            "auth": {
                "type": "m.login.password",
                "identifier": {"type": "m.id.user", "user": laptop["user_id"]},
                "password": PASSWORD,
            },
        }
        answer = await http.post(f"{V3}/account/password", json=change, headers=auth(laptop))
        assert answer.status_code == 200, answer.text
        assert await pushkeys(http, laptop) == ["laptop"]


async def test_a_platform_in_earnest_sends_to_public_https_alone(tmp_path: Path) -> None:
    """Plain http and private addresses are for the test profile: there a gateway next door is told."""
    async with platform(tmp_path / "earnest") as (_, http):
        author = await register(http, "author")
        body = pusher(f"http://127.0.0.1:9{PATH}")
        refused = await http.post(f"{V3}/pushers/set", json=body, headers=auth(author))
        assert (refused.status_code, refused.json()["errcode"]) == (400, "M_INVALID_PARAM")
    async with hook() as gateway, platform(tmp_path / "test", profile="test", require_encryption=False) as (_, http):
        author, other = await register(http, "author"), await register(http, "correspondent")
        set_answer = await http.post(f"{V3}/pushers/set", json=pusher(url_of(gateway)), headers=auth(other))
        assert set_answer.status_code == 200, set_answer.text
        room = await create_room(http, author)
        body = {"user_id": other["user_id"]}
        await http.post(f"{V3}/rooms/{room}/invite", json=body, headers=auth(author))
        async with asyncio.timeout(10):
            await gateway.came.wait()
    assert gateway.calls[0].said["notification"]["user_is_target"] is True
    assert databases().dialect == "sqlite"
