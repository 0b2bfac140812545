"""Suspended and locked accounts on the whole platform, and what the log says of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from paraph.protocol.identifiers import PLATFORM
from paraph.server.accounts.moderation import WHILE_LOCKED, WHILE_SUSPENDED
from paraph.server.app import Server, build
from paraph.server.config import Settings
from tests.support.matrix import V3, auth, ciphertext, create_room, register


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """A whole platform in this process."""
    server = build(Settings(data=tmp_path, registration="open", rate_limits=False))
    await server.start()
    yield server
    await server.stop()


async def test_what_a_suspended_and_a_locked_person_may_do_is_in_the_table(server: Server) -> None:
    """Each row of the two lists is an endpoint that the application has."""
    rows = {f"{endpoint.method} {endpoint.path}" for endpoint in server.application.endpoints}
    assert WHILE_SUSPENDED - rows == set()
    assert WHILE_LOCKED < WHILE_SUSPENDED


async def test_an_operators_acts_are_public_and_name_nobody(server: Server) -> None:
    """A suspended person syncs, reads, redacts, leaves and ends her account, and says nothing; the log counts acts."""
    transport = httpx.ASGITransport(app=server.application)
    operator = {"Authorization": f"Bearer {server._admin_token}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        author, other = await register(http, "author"), await register(http, "other")
        room = f"{V3}/rooms/{await create_room(http, author)}"
        sent = await http.put(f"{room}/send/m.room.encrypted/1", json=ciphertext("before"), headers=auth(author))
        path = f"/_matrix/client/v1/admin/suspend/{author['user_id']}"
        assert (await http.put(path, json={"suspended": True}, headers=operator)).status_code == 200
        refused = [
            await http.put(f"{room}/send/m.room.encrypted/2", json=ciphertext("after"), headers=auth(author)),
            await http.put(f"{room}/state/m.room.topic", json={"topic": "t"}, headers=auth(author)),
            await http.post(f"{room}/invite", json={"user_id": other["user_id"]}, headers=auth(author)),
            await http.post(f"{V3}/createRoom", json={}, headers=auth(author)),
            await http.put(f"{V3}/profile/{author['user_id']}/displayname", json={}, headers=auth(author)),
        ]
        assert [(one.status_code, one.json()["errcode"]) for one in refused] == [(403, "M_USER_SUSPENDED")] * 5
        event_id = sent.json()["event_id"]
        allowed = [
            await http.get(f"{V3}/sync", headers=auth(author)),
            await http.get(f"{room}/messages", params={"dir": "b"}, headers=auth(author)),
            await http.put(f"{room}/redact/{event_id}/3", json={}, headers=auth(author)),
            await http.post(f"{V3}/keys/query", json={"device_keys": {}}, headers=auth(author)),
            await http.post(f"{room}/leave", json={}, headers=auth(author)),
        ]
        assert [one.status_code for one in allowed] == [200] * 5
    records = await server.database.read(lambda tx: server.ledger.public_records(tx, PLATFORM, ["admin"]))
    assert [record["document"] for record in records] == [{"type": "org.paraph.admin", "act": "suspended"}]
