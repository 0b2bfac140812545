"""Webhooks at the platform: who may register what, and how it is told, again and again, of nothing but a change."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
from joserfc import jwt

from paraph.sdk import WebhookError, verify_webhook
from paraph.server.inbox.webhooks import delivery, service
from paraph.server.inbox.webhooks.parts import WebhookParts
from paraph.server.outgoing.sender import Sender
from tests.server.consent.support import PartnerParty, World, world
from tests.server.inbox.drafting import code
from tests.server.inbox.hooks import Call, Hook, hook

API = "/inbox/v1/webhooks"


class Office:
    """A partner with an endpoint, and an author who lets it read."""

    def __init__(self, here: World, endpoint: Hook) -> None:
        self.here = here
        self.endpoint = endpoint
        self.parts: WebhookParts = here.webhooks

    async def set(self) -> Office:
        self.author = await self.here.add_person("author")
        self.partner = await self.here.add_partner()
        self.room_id = await self.here.room(self.author)
        self.grant = await self.here.add_grant(self.author, self.partner, [self.room_id])
        self.endpoint.answering = lambda call: (200, self.echo(call))
        return self

    def echo(self, call: Call, **changes: Any) -> bytes:
        """What the partner answers: a challenge signed with its client key."""
        if "challenge" not in call.said:
            return b"{}"
        now = self.here.clock.now // 1000
        claims = {
            "iss": self.partner.slug,
            "sub": self.partner.slug,
            "aud": self.endpoint.url,
            "jti": call.said["challenge"],
            "exp": now + 60,
        } | changes
        signed = jwt.encode({"alg": "Ed25519"}, claims, self.partner.client, algorithms=["Ed25519"])
        return msgspec.json.encode({"challenge": signed})

    async def register(self, url: str | None = None, partner: PartnerParty | None = None) -> httpx.Response:
        headers = (partner or self.partner).headers
        return await self.here.http.post(API, json={"url": url or self.endpoint.url}, headers=headers)

    async def listed(self) -> list[dict[str, Any]]:
        answer = await self.here.http.get(API, headers=self.partner.headers)
        return list(answer.json()["webhooks"])

    async def round(self) -> float:
        """One look at what is due, and what it began is done."""
        soon = await self.parts.delivery.round()
        for task in list(self.parts.delivery._under_way.values()):
            await task
        return soon

    async def told(self) -> list[Call]:
        """What the endpoint has been told of changes."""
        return [call for call in self.endpoint.calls if call.said["type"] == "changed"]


@asynccontextmanager
async def office(path: Path) -> AsyncIterator[Office]:
    async with world(path) as here, hook() as endpoint:
        yield await Office(here, endpoint).set()


async def test_an_endpoint_is_told_that_something_changed_and_nothing_else(tmp_path: Path) -> None:
    """Signed by the published key; of several changes once; of none, nothing."""
    async with office(tmp_path) as desk:
        made = await desk.register()
        assert made.status_code == 200, made.text
        assert made.json()["webhook"]["status"] == "active"
        await desk.round()
        assert await desk.told() == []
        events = [await desk.here.send(desk.author, desk.room_id) for _ in range(3)]
        await desk.round()
        (call,) = await desk.told()
        assert set(call.said) == {"type", "timestamp"}
        for hidden in (*events, desk.room_id, desk.author.user_id, desk.grant["grant_id"]):
            assert hidden.encode() not in call.body
            assert hidden not in str(call.headers)
        jwks = (await desk.here.http.get("/oauth/jwks")).json()
        found = verify_webhook(call.headers, call.body, jwks, now=desk.here.clock.now)
        assert (found.kind, found.ts // 1000) == ("changed", desk.here.clock.now // 1000)
        await desk.round()
        assert len(await desk.told()) == 1


async def test_an_endpoint_hears_of_its_own_partners_changes_alone(tmp_path: Path) -> None:
    """What another partner was granted is nothing to it."""
    async with office(tmp_path) as desk, hook() as other:
        tempo = await desk.here.add_partner("tempo")
        assert (await desk.register()).status_code == 200
        elsewhere = await desk.here.room(desk.author)
        await desk.here.add_grant(desk.author, tempo, [elsewhere])
        await desk.here.send(desk.author, elsewhere)
        await desk.round()
        assert await desk.told() == []
        assert other.calls == []


async def test_only_the_partners_own_endpoint_is_taken(tmp_path: Path) -> None:
    """One that echoes without signing, signs something else, with another key, for another address, or refuses."""
    async with office(tmp_path) as desk:
        endpoint, tempo = desk.endpoint, await desk.here.add_partner("tempo")
        answers = [
            lambda call: (200, msgspec.json.encode({"challenge": call.said["challenge"]})),
            lambda call: (200, desk.echo(call, jti="another")),
            lambda call: (200, desk.echo(call, aud="https://elsewhere.example.org/hook")),
            lambda call: (200, desk.echo(call, exp=desk.here.clock.now // 1000 - 1)),
            lambda call: (200, desk.echo(call, iss="tempo", sub="tempo")),
            lambda _call: (200, b"{}"),
            lambda _call: (200, b"\xff"),
            lambda call: (201, desk.echo(call)),
            lambda call: (307, desk.echo(call)),
        ]
        for answering in answers:
            endpoint.answering = answering
            answer = await desk.register()
            assert (answer.status_code, code(answer)) == (422, "webhook-not-verified")
        endpoint.answering = lambda call: (200, desk.echo(call))
        assert code(await desk.register(partner=tempo)) == "webhook-not-verified"
        assert await desk.listed() == []
        jwks = (await desk.here.http.get("/oauth/jwks")).json()
        for call in endpoint.calls:
            assert verify_webhook(call.headers, call.body, jwks, now=desk.here.clock.now).kind == "verify"


async def test_addresses_and_numbers_are_bounded(tmp_path: Path) -> None:
    """Forms that no endpoint has, one where nobody listens, and more than so many."""
    async with office(tmp_path) as desk:
        assert code(await desk.register("ftp://example.org/")) == "bad-webhook-url"
        assert code(await desk.register("http://127.0.0.1:1/")) == "webhook-not-verified"
        base = desk.endpoint.url
        for number in range(service.MAX_WEBHOOKS):
            url = f"{base}/{number}"
            desk.endpoint.answering = lambda call, url=url: (200, desk.echo(call, aud=url))  # type: ignore[misc]
            assert (await desk.register(url)).status_code == 200
        assert (await desk.register(url)).status_code == 200
        calls = len(desk.endpoint.calls)
        assert code(await desk.register(f"{base}/more")) == "too-many-webhooks"
        assert len(desk.endpoint.calls) == calls


async def test_endpoints_are_listed_and_removed_by_their_partner(tmp_path: Path) -> None:
    """Another partner's are not found; nothing is told after the removal."""
    async with office(tmp_path) as desk:
        webhook_id = (await desk.register()).json()["webhook"]["webhook_id"]
        tempo = await desk.here.add_partner("tempo")
        url = f"{API}/{webhook_id}"
        assert code(await desk.here.http.delete(url, headers=tempo.headers)) == "no-such-webhook"
        (shown,) = await desk.listed()
        assert (shown["webhook_id"], shown["url"]) == (webhook_id, desk.endpoint.url)
        assert (await desk.here.http.delete(url, headers=desk.partner.headers)).status_code == 204
        assert await desk.listed() == []
        await desk.here.send(desk.author, desk.room_id)
        await desk.round()
        assert await desk.told() == []


async def test_what_fails_is_tried_again_later_and_later(tmp_path: Path) -> None:
    """Under one id, with growing pauses; then told once of everything since, and all is well again."""
    async with office(tmp_path) as desk:
        await desk.register()
        desk.endpoint.answering = lambda _call: (500, b"")
        await desk.here.send(desk.author, desk.room_id)
        await desk.round()
        pauses = []
        for failures in range(1, 4):
            (shown,) = await desk.listed()
            assert (shown["status"], shown["failures"]) == ("failing", failures)
            pauses.append(shown["next_attempt"] - desk.here.clock.now)
            await desk.round()
            assert len(await desk.told()) == failures
            desk.here.clock.now = shown["next_attempt"]
            await desk.here.authenticate(desk.partner)
            await desk.here.send(desk.author, desk.room_id)
            await desk.round()
        for pause, about in zip(pauses, delivery.PAUSES_MS, strict=False):
            assert abs(pause - about) <= delivery.JITTER * about
        calls = await desk.told()
        assert len({call.headers["webhook-id"] for call in calls}) == 1
        (shown,) = await desk.listed()
        desk.here.clock.now = shown["next_attempt"]
        await desk.here.authenticate(desk.partner)
        desk.endpoint.answering = lambda _call: (200, b"")
        await desk.round()
        (shown,) = await desk.listed()
        assert (shown["status"], shown["failures"], shown["next_attempt"]) == ("active", 0, None)
        assert len(await desk.told()) == 5
        await desk.here.send(desk.author, desk.room_id)
        await desk.round()
        assert len(await desk.told()) == 5  # a moment later at the earliest
        desk.here.clock.now += delivery.AT_MOST_EVERY_MS
        await desk.round()
        assert (await desk.told())[-1].headers["webhook-id"] != calls[0].headers["webhook-id"]


async def test_410_and_days_of_failures_end_it(tmp_path: Path) -> None:
    """Nothing more is sent until the partner registers the endpoint anew."""
    async with office(tmp_path) as desk:
        await desk.register()
        desk.endpoint.answering = lambda _call: (410, b"")
        await desk.here.send(desk.author, desk.room_id)
        await desk.round()
        assert [shown["status"] for shown in await desk.listed()] == ["gone"]
        await desk.here.send(desk.author, desk.room_id)
        await desk.round()
        assert len(await desk.told()) == 1
        desk.endpoint.answering = lambda call: (200, desk.echo(call))
        assert (await desk.register()).json()["webhook"]["status"] == "active"
        desk.endpoint.answering = lambda _call: (503, b"")
        start = desk.here.clock.now
        await desk.here.send(desk.author, desk.room_id)
        for _ in range(len(delivery.PAUSES_MS) + 1):
            await desk.round()
            desk.here.clock.now += 2 * max(map(int, delivery.PAUSES_MS))
        await desk.here.authenticate(desk.partner)
        assert [shown["status"] for shown in await desk.listed()] == ["unreachable"]
        assert sum(delivery.PAUSES_MS) > 3 * 24 * 3600 * 1000
        assert start < desk.here.clock.now


async def test_a_crash_loses_no_change(tmp_path: Path) -> None:
    """Another process, or the same one later, tells what was not told; the id is that of the first attempt."""
    async with office(tmp_path) as desk:
        await desk.register()
        desk.endpoint.answering = lambda _call: (500, b"")
        await desk.here.send(desk.author, desk.room_id)
        await desk.round()
        first = (await desk.told())[0].headers["webhook-id"]
        desk.endpoint.answering = lambda _call: (200, b"")
        here = desk.here
        desk.parts = WebhookParts(here.database, here.inbox.opaque, here.clock, Sender(anywhere=True))
        here.clock.now += 60_000
        await desk.round()
        await desk.parts.stop()
        assert [call.headers["webhook-id"] for call in await desk.told()] == [first, first]


async def test_it_is_told_by_itself_and_by_one_process(tmp_path: Path) -> None:
    """Sending wakes the process that has the role; one that has it not sends nothing."""

    class Nobody:
        async def take(self) -> bool:
            return False

        async def held(self) -> bool:
            return False

        async def release(self) -> None: ...

    async with office(tmp_path) as desk:
        await desk.register()
        desk.parts.delivery._role = Nobody()
        await desk.parts.start()
        await desk.here.send(desk.author, desk.room_id)
        await desk.parts.delivery.stop()
        assert await desk.told() == []
        here = desk.here
        second = WebhookParts(here.database, here.inbox.opaque, here.clock, Sender(anywhere=True))
        await second.start()
        await desk.endpoint.next(2)
        for task in list(second.delivery._under_way.values()):
            await task
        here.clock.now += delivery.AT_MOST_EVERY_MS
        await here.send(desk.author, desk.room_id)
        await desk.endpoint.next(3)
        await second.stop()
        assert len(await desk.told()) == 2


async def test_the_published_key_is_the_only_one(tmp_path: Path) -> None:
    """Ed25519, public half alone; a call signed by nobody's key is refused."""
    async with office(tmp_path) as desk:
        jwks = (await desk.here.http.get("/oauth/jwks")).json()
        (jwk,) = jwks["keys"]
        assert (jwk["kty"], jwk["crv"], jwk["use"]) == ("OKP", "Ed25519", "sig")
        assert "d" not in jwk
        await desk.register()
        call = desk.endpoint.calls[0]
        try:
            verify_webhook(call.headers, call.body, {"keys": []}, now=desk.here.clock.now)
        except WebhookError:
            pass
        else:
            raise AssertionError("a call was taken without a key")
        assert json.loads(call.body)["type"] == "verify"
