"""A whole platform in this process, real application and database, with people and partners of the SDK on it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from paraph.sdk import GrantTerms, Partner, Person, Transport
from paraph.sdk.clock import system_time
from paraph.server.app import Server, build
from paraph.server.config import Settings
from tests.support.databases import databases
from tests.support.matrix import PASSWORD
from tests.support.partners import publish_agreement, register_partner
from tests.support.witness import witness_policy

DAY = 86_400_000
PURPOSE = "recommendations"
VERBS = ["metadata", "read", "read:attachments", "write:draft", "delete:via-partner", "delete:authored", "friends"]


class Between(httpx.AsyncBaseTransport):
    """The way to the platform; `lie`, if there is one, changes what a person's device is shown of her drafts."""

    def __init__(self, app: Any) -> None:
        self._app = httpx.ASGITransport(app=app)
        self.lie: Callable[[dict[str, Any]], dict[str, Any]] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on, and the answer back."""
        answer = await self._app.handle_async_request(request)
        if self.lie is None or (request.method, request.url.path) != ("GET", "/_paraph/v1/drafts"):
            return answer
        return httpx.Response(200, json=self.lie(json.loads(await answer.aread())))


class Stage:
    """An author and a correspondent in a room, and a partner with an agreement. `shift` moves the SDK's clocks (ms)."""

    def __init__(
        self, server: Server, http: httpx.AsyncClient, between: Between, clock: Callable[[], int] = system_time
    ) -> None:
        self.server = server
        self.http = http
        self.between = between
        self.shift = 0
        self._clock = clock

    def now(self) -> int:
        """The time that devices and partners go by."""
        return self._clock() + self.shift

    def transport(self) -> Transport:
        """A transport of one's own to the platform."""
        return Transport(self.server.settings.base_url, client=self.http)

    @property
    def operator(self) -> dict[str, str]:
        """The operator's headers."""
        return {"Authorization": f"Bearer {self.server._admin_token}"}

    async def person(self, name: str) -> Person:
        """A person with one device."""
        url = self.server.settings.base_url
        return await Person.register(url, name, PASSWORD, transport=self.transport(), now=self.now)

    async def next_device(self, person: Person) -> Person:
        """Another enrolled device of the person, in her rooms."""
        url, name = self.server.settings.base_url, person.user_id[1:].partition(":")[0]
        secrets = person.export_secrets()
        device = await Person.login(url, name, PASSWORD, secrets=secrets, transport=self.transport(), now=self.now)
        await device.enrol()
        await device.sync()
        await person.sync()
        return device

    async def add_partner(self, slug: str) -> Partner:
        """A partner with an agreement and a device."""
        partner = Partner.create(
            self.server.settings.base_url, slug, "localhost", transport=self.transport(), now=self.now
        )
        await register_partner(self.http, self.operator, partner)
        await publish_agreement(self.http, self.operator, partner, self.server, verbs=VERBS)
        await partner.publish_device()
        return partner

    async def set(self) -> Stage:
        """Everybody is there, and the author is enrolled."""
        self.author, self.correspondent = await self.person("author"), await self.person("correspondent")
        self.partner = await self.add_partner("marquee")
        self.room_id = await self.room()
        await self.author.enrol()
        return self

    async def room(self) -> str:
        """A room of the author and the correspondent."""
        room_id = await self.author.create_room([self.correspondent.user_id])
        await self.correspondent.join(room_id)
        await self.author.sync()
        await self.correspondent.sync()
        return room_id

    def terms(self, *verbs: str, **more: Any) -> GrantTerms:
        """Terms for the room; to read, unless other verbs are named."""
        return GrantTerms([PURPOSE], self.now() + 20 * DAY, [self.room_id], verbs or ("read",), **more)

    async def grant(self, *verbs: str, partner: Partner | None = None, rooms: list[str] | None = None) -> str:
        """Let the partner do this in the room; the grant's id."""
        until = self.now() + 20 * DAY
        terms = GrantTerms([PURPOSE], until, rooms or [self.room_id], verbs or ("write:draft",))
        granted = await self.author.grant((partner or self.partner).slug, terms)
        await (partner or self.partner).poll()
        return granted.grant.grant_id

    async def read(self, person: Person) -> list[Any]:
        """The newest messages of the room, as a person reads them."""
        await person.sync()
        return [m for m in await person.messages(self.room_id) if m.type in ("m.room.message", "m.room.encrypted")]


@asynccontextmanager
async def stage(data: Path, *, clock: Callable[[], int] = system_time, **more: Any) -> AsyncIterator[Stage]:
    """A stage that is set, with `more` settings; the platform stops at the end. `clock` is everybody's (ms)."""
    settings = Settings(
        data=data,
        database=databases().setting(data / "paraph.db"),
        registration="open",
        rate_limits=False,
        witnesses=str(witness_policy(data, clock)),
        **more,
    )
    server = build(settings, clock)
    await server.start()
    try:
        between = Between(server.application)
        async with httpx.AsyncClient(transport=between, base_url=settings.base_url) as http:
            yield await Stage(server, http, between, clock).set()
    finally:
        await server.stop()
