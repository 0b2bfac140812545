"""A device whose access token expires goes on without noticing, whatever gets lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest

from paraph.sdk import MatrixError, MemoryStore, Person, SqliteStore, Store, Transport, TransportError
from paraph.sdk.keystore import Records
from paraph.sdk.person.person import SESSION, Session
from paraph.server.accounts.model import LoginBody
from paraph.server.accounts.sessions import ACCESS_LIFETIME_MS
from paraph.server.app import Server, build, system_time
from paraph.server.config import Settings

PASSWORD = "correct horse battery staple"
URL = "http://localhost:8008"


class Platform:
    """A whole platform in this process whose clock a test moves, and a wire that can lose answers."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.later = 0
        self.lose = 0
        self.refreshes = 0
        server.accounts.sessions._clock = lambda: system_time() + self.later
        self._inner = httpx.ASGITransport(app=server.application)

    def transport(self) -> Transport:
        client = httpx.AsyncClient(transport=httpx.MockTransport(self._carry))
        return Transport(URL, client=client, sleep=lambda seconds: asyncio.sleep(0))

    async def _carry(self, request: httpx.Request) -> httpx.Response:
        answer = await self._inner.handle_async_request(request)
        await answer.aread()
        if request.url.path.endswith("/refresh"):
            self.refreshes += 1
            assert "authorization" not in request.headers
            if self.lose:
                self.lose -= 1
                raise httpx.ReadError("lost")
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    def expire(self) -> None:
        """Let every access token end that was given out until now."""
        self.later += ACCESS_LIFETIME_MS

    async def register(self, store: Store | None = None, name: str = "author") -> Person:
        return await Person.register(URL, name, PASSWORD, store=store, transport=self.transport())


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    server = build(Settings(data=tmp_path / "data", registration="open", rate_limits=False))
    await server.start()
    yield Platform(server)
    await server.stop()


def session_of(store: Store) -> Session:
    found = Records(store).get(SESSION, "self", Session)
    assert found is not None
    return found


async def test_an_expired_token_is_replaced_and_the_request_sent_again(platform: Platform) -> None:
    """Requests of every method go through; the new tokens are in the store, and the old ones are not."""
    store = MemoryStore()
    person = await platform.register(store)
    room_id = await person.create_room()
    before = session_of(store)
    platform.expire()
    event_id = await person.send_text(room_id, "after an hour")
    platform.expire()
    assert event_id in [message.event_id for message in await person.messages(room_id)]
    platform.expire()
    await person.create_room()
    after = session_of(store)
    assert platform.refreshes == 3
    assert after.access_token != before.access_token
    assert after.refresh_token != before.refresh_token
    assert (after.user_id, after.device_id) == (before.user_id, before.device_id)


async def test_many_requests_that_meet_an_expired_token_refresh_once(platform: Platform) -> None:
    """Only one of them refreshes; all of them succeed."""
    person = await platform.register()
    platform.expire()
    await asyncio.gather(*(person.grants() for _ in range(10)))
    assert platform.refreshes == 1


@pytest.mark.parametrize("lost", [1, 3])
async def test_lost_answers_to_a_refresh_lock_nobody_out(platform: Platform, lost: int) -> None:
    """The refresh is repeated with the same refresh token until an answer comes."""
    person = await platform.register()
    platform.expire()
    platform.lose = lost
    await person.grants()
    assert platform.refreshes == lost + 1


async def test_a_device_that_got_no_answer_at_all_tries_again_later(platform: Platform) -> None:
    """When the connection stays broken the request fails; the next one refreshes from where it was."""
    person = await platform.register()
    platform.expire()
    platform.lose = 1000
    with pytest.raises(TransportError):
        await person.grants()
    platform.lose = 0
    await person.grants()


async def test_the_new_tokens_are_on_disk_before_they_are_used(platform: Platform, tmp_path: Path) -> None:
    """A device that is opened again goes on, even if it went down between refresh and use."""
    key = b"k" * 32
    person = await platform.register(SqliteStore.open(tmp_path / "keys", key=key))
    platform.expire()
    await person._renew()
    await person.close()
    again = await Person.open(SqliteStore.open(tmp_path / "keys", key=key), transport=platform.transport())
    await again.grants()
    assert platform.refreshes == 1
    platform.expire()
    await again.grants()
    assert platform.refreshes == 2
    await again.close()


async def test_a_session_that_ended_is_over(platform: Platform) -> None:
    """After a logout from elsewhere there is nothing to refresh: the error says so, and nothing is tried for ever."""
    person = await platform.register()
    other = await Person.login(URL, "author", PASSWORD, transport=platform.transport())
    await other._transport.json("POST", "/_matrix/client/v3/logout/all", {})
    for _ in range(2):
        with pytest.raises(MatrixError) as caught:
            await person.grants()
        assert (caught.value.status, caught.value.errcode) == (401, "M_UNKNOWN_TOKEN")
    assert platform.refreshes == 0
    platform.expire()
    with pytest.raises(MatrixError):
        await person.grants()


async def test_a_login_gets_tokens_to_refresh_too(platform: Platform) -> None:
    """A second device goes on after an hour just like the first."""
    await platform.register()
    store = MemoryStore()
    other = await Person.login(URL, "author", PASSWORD, store=store, transport=platform.transport())
    platform.expire()
    await other.grants()
    assert platform.refreshes == 1


async def test_tokens_are_in_no_representation(platform: Platform) -> None:
    """Neither token shows when a session is printed."""
    store = MemoryStore()
    await platform.register(store)
    session = session_of(store)
    assert session.refresh_token is not None
    for secret in (session.access_token, session.refresh_token):
        assert secret not in repr(session)


async def test_a_store_from_before_has_no_refresh_token(platform: Platform) -> None:
    """A session without one opens and works; when its access token is refused, that is the end of it."""
    store = MemoryStore()
    person = await platform.register(store)
    plain = await platform.server.accounts.login(
        LoginBody("m.login.password", user="author", password=PASSWORD, device_id=person.device_id)
    )
    old = {"base_url": URL, "user_id": plain.user_id, "device_id": plain.device_id, "access_token": plain.access_token}
    store.commit({(SESSION, "self"): msgspec.json.encode(old)})
    again = await Person.open(store, transport=platform.transport())
    platform.expire()
    await again.grants()
    await platform.server.accounts.logout_all(person.user_id)
    with pytest.raises(MatrixError) as caught:
        await again.grants()
    assert caught.value.errcode == "M_UNKNOWN_TOKEN"
    assert platform.refreshes == 0


async def test_a_request_that_was_overtaken_by_a_refresh_is_sent_again() -> None:
    """Refused because it still carried the token before the present one, it goes out with the present one."""
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"])
        if len(seen) > 1:
            return httpx.Response(200, json={})
        transport.token = "new"
        return httpx.Response(401, json={"errcode": "M_UNKNOWN_TOKEN", "error": "unknown", "soft_logout": False})

    async def renew() -> None:
        raise AssertionError("there is a new token already")

    transport = Transport(URL, client=httpx.AsyncClient(transport=httpx.MockTransport(answer)))
    transport.token, transport.renew = "old", renew
    await transport.json("POST", "/x", {})
    assert seen == ["Bearer old", "Bearer new"]


@pytest.mark.parametrize(
    "refusal",
    [
        (401, {"errcode": "M_UNKNOWN_TOKEN", "error": "logged out", "soft_logout": False}),
        (401, {"errcode": "M_UNKNOWN_TOKEN", "error": "logged out"}),
        (401, {"errcode": "M_UNKNOWN_TOKEN", "error": "odd", "soft_logout": "true"}),
        (401, {"session": "s", "flows": [], "soft_logout": True}),
        (403, {"errcode": "M_FORBIDDEN", "error": "no", "soft_logout": True}),
    ],
)
async def test_only_an_expired_token_is_renewed(refusal: tuple[int, dict[str, object]]) -> None:
    """Every other refusal reaches the caller at once."""

    async def renew() -> None:
        raise AssertionError("this is not about an expired token")

    client = httpx.AsyncClient(
        transport=httpx.MockTransport(lambda request: httpx.Response(refusal[0], json=refusal[1]))
    )
    transport = Transport(URL, client=client)
    transport.token, transport.renew = "token", renew
    with pytest.raises(MatrixError):
        await transport.json("GET", "/x")
