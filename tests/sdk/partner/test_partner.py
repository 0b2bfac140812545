"""The main job against a real server: a person lets a partner read her own words, and takes it back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from paraph.protocol.base64 import unb64
from paraph.protocol.signing import SigningKey, sign
from paraph.sdk import GrantTerms, MatrixError, NotEnrolledError, Partner, Person, ProblemError, SqliteStore
from paraph.sdk.clock import system_time
from tests.sdk.person.test_person import PASSWORD, received, room_of
from tests.support.server import RunningServer

pytestmark = pytest.mark.slow

DAY = 86_400_000
PURPOSE = "recommendations"


class Operator:
    """The operator of a running server."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        token = (server.data / "keys" / "admin-token").read_text().strip()
        self.http = httpx.AsyncClient(base_url=server.url, headers={"authorization": f"Bearer {token}"})

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self.http.post(f"/_paraph/v1/admin{path}", json=body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def platform(self) -> dict[str, Any]:
        return dict((await self.http.get("/_paraph/v1/platform")).json())

    def sign(self, document: dict[str, Any], server_name: str) -> dict[str, Any]:
        seed = unb64((self.server.data / "keys" / "operator.key").read_text().strip(), 32)
        return sign(document, server_name, "ed25519:operator", SigningKey.from_seed(seed).sign)

    async def admit(self, partner: Partner) -> dict[str, Any]:
        """Register the partner, publish an agreement and the partner's device."""
        body = {"slug": partner.slug, "name": "Marquee", "master_key": partner.master_key}
        await self.post("/partners", {**body, "client_jwk": partner.client_jwk})
        platform = await self.platform()
        now = system_time()
        document = {
            "type": "org.paraph.agreement",
            "partner": partner.slug,
            "name": "Marquee",
            "version": 1,
            "predecessor": None,
            "master_key": partner.master_key,
            "operator_key": platform["operator_key"],
            "signatories": [
                {"party": "operator", "name": "O", "role": "Director"},
                {"party": "partner", "name": "P", "role": "Director"},
            ],
            "consideration": {"operator": "Service", "partner": "Fee"},
            "ties": [],
            "purposes": [PURPOSE],
            "verbs": ["read"],
            "max_duration_days": 90,
            "max_retention_days": 30,
            "report": {"interfaces": ["inbox"], "initiation_surfaces": ["home"], "variants": ["a"]},
            "limits": {},
            "from": now - 1000,
            "until": now + 100 * DAY,
            "notice_days": 14,
            "reason": None,
        }
        agreement = self.sign(partner.sign_document(document), platform["server_name"])
        await self.post("/agreements", {"agreement": agreement})
        await partner.publish_device()
        return agreement


class Scene:
    """An author and a correspondent in a room, a partner with an agreement, the operator."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.operator = Operator(server)

    async def set(self) -> Scene:
        url, name = self.server.url, uuid4().hex[:10]
        self.author = await Person.register(url, f"a{name}", PASSWORD)
        self.correspondent = await Person.register(url, f"c{name}", PASSWORD)
        self.partner = Partner.create(url, f"m{name}", (await self.operator.platform())["server_name"])
        await self.operator.admit(self.partner)
        self.room_id = await room_of(self.author, self.correspondent)
        return self

    async def close(self) -> None:
        for party in (self.author, self.correspondent, self.partner):
            await party.close()
        await self.operator.http.aclose()

    @property
    def terms(self) -> GrantTerms:
        return GrantTerms(purposes=[PURPOSE], until=system_time() + 30 * DAY, rooms=[self.room_id])

    async def grant(self, person: Person | None = None) -> str:
        person = person or self.author
        await person.enrol()
        return (await person.grant(self.partner.slug, self.terms)).grant.grant_id

    async def opened(self) -> list[str | None]:
        """What the partner reads in the room: texts, None for what it cannot open."""
        await self.partner.poll()
        page = await self.partner.messages(self.room_id, PURPOSE)
        return [message.body for message in page.messages]


MakeScene = Callable[[], Awaitable[Scene]]


@pytest_asyncio.fixture
async def scene(server: RunningServer) -> AsyncIterator[Scene]:
    """A fresh scene on the module's server."""
    made = await Scene(server).set()
    yield made
    await made.close()


async def test_partner_reads_the_authors_words_and_nothing_else(scene: Scene) -> None:
    """From the grant on the partner opens what the author writes; not what was before, not the correspondent."""
    await scene.author.send_text(scene.room_id, "before")
    grant_id = await scene.grant()
    await scene.author.send_text(scene.room_id, "mine")
    await scene.correspondent.send_text(scene.room_id, "theirs")
    last = await scene.author.send_text(scene.room_id, "mine again")
    assert (await received(scene.correspondent, last)).body == "mine again"
    assert await scene.opened() == ["mine", "mine again"]
    assert [(r.room_id, r.grants) for r in await scene.partner.rooms()] == [(scene.room_id, (grant_id,))]


async def test_everything_is_on_record(scene: Scene) -> None:
    """Enrolment, grant, key shares and accesses are all in the author's own, proven list."""
    grant_id = await scene.grant()
    sent = await scene.author.send_text(scene.room_id, "mine")
    await scene.opened()
    entries = await scene.author.entries(prove=True)
    kinds = [entry.kind for entry in entries]
    assert kinds == ["device", "grant", "key-share", "key-share", "access"]
    session = entries[3].body["session"]
    assert (session["room_id"], session["first_index"]) == (scene.room_id, 0)
    assert entries[4].body == {
        "grant_id": grant_id,
        "purpose": PURPOSE,
        "room_id": scene.room_id,
        "event_ids": [sent],
    }


async def test_revocation_bites(scene: Scene) -> None:
    """After a revocation the platform refuses, and the next message is in a session the partner never had."""
    grant_id = await scene.grant()
    await scene.author.send_text(scene.room_id, "granted")
    before = scene.author.engine.outbound.current(scene.room_id)
    assert await scene.opened() == ["granted"]
    await scene.author.revoke(grant_id)
    await scene.author.send_text(scene.room_id, "closed")
    after = scene.author.engine.outbound.current(scene.room_id)
    assert before is not None
    assert after is not None
    assert before.session_id != after.session_id
    assert all(r.user_id != scene.partner.user_id for r in after.recipients)
    await scene.partner.poll()
    assert scene.partner.engine.inbound.claims(after.session_id) == []
    with pytest.raises(ProblemError):
        await scene.partner.messages(scene.room_id, PURPOSE)


async def test_device_that_missed_a_revocation_is_told(server: RunningServer, scene: Scene) -> None:
    """A second device that acts on an older state is refused, looks again, rotates and sends."""
    grant_id = await scene.grant()
    second = await Person.login(server.url, scene.author.user_id, PASSWORD, secrets=scene.author.export_secrets())
    try:
        await second.enrol()
        await second.sync()
        await second.send_text(scene.room_id, "granted")
        shared = second.engine.outbound.current(scene.room_id)
        assert shared is not None
        assert scene.partner.user_id in {r.user_id for r in shared.recipients}
        await scene.author.revoke(grant_id)
        await second.send_text(scene.room_id, "closed")
        current = second.engine.outbound.current(scene.room_id)
        assert current is not None
        assert scene.partner.user_id not in {r.user_id for r in current.recipients}
    finally:
        await second.close()


async def test_pause_resume_and_closed_room(scene: Scene) -> None:
    """A pause and a closed room keep the partner out until they are taken back."""
    grant_id = await scene.grant()
    await scene.author.send_text(scene.room_id, "one")
    pause_id = await scene.author.pause(grant_id)
    await scene.author.send_text(scene.room_id, "paused")
    await scene.author.resume(grant_id, pause_id)
    await scene.author.send_text(scene.room_id, "two")
    await scene.correspondent.close_room(scene.room_id)
    await scene.author.sync()
    await scene.author.send_text(scene.room_id, "private")
    await scene.correspondent.close_room(scene.room_id, closed=False)
    await scene.author.sync()
    await scene.author.send_text(scene.room_id, "three")
    texts = await scene.opened()
    assert [text for text in texts if text is not None] == ["one", "two", "three"]


async def test_correspondents_see_the_grant(scene: Scene) -> None:
    """The room shows whose words which partner may read."""
    await scene.grant()
    await scene.correspondent.sync()
    room = scene.correspondent.rooms.get(scene.room_id)
    assert room is not None
    (shown,) = room.partners[scene.author.user_id]
    assert shown["partner"] in (scene.partner.slug, scene.partner.user_id)


async def test_both_sides_grant(scene: Scene) -> None:
    """When both grant, both are read, each under an access entry of their own."""
    await scene.grant()
    await scene.grant(scene.correspondent)
    await scene.author.send_text(scene.room_id, "a")
    await scene.correspondent.send_text(scene.room_id, "c")
    await scene.partner.poll()
    page = await scene.partner.messages(scene.room_id, PURPOSE)
    assert [m.body for m in page.messages] == ["a", "c"]
    assert {entry.person for entry in page.accesses} == {scene.author.user_id, scene.correspondent.user_id}


async def test_key_that_comes_after_the_message(scene: Scene) -> None:
    """A message read before its key came is pending, and opens when the key comes."""
    await scene.grant()
    sent = await scene.author.send_text(scene.room_id, "patience")
    page = await scene.partner.messages(scene.room_id, PURPOSE)
    assert page.pending == (sent,)
    news = await scene.partner.poll()
    assert [m.body for m in news.late] == ["patience"]
    assert len(news.grant_keys) == 1


async def test_partner_goes_on_from_its_store(scene: Scene, tmp_path: Path) -> None:
    """A partner that is restarted keeps keys, grants and its place among the key events."""
    stored = Partner.create(
        scene.server.url,
        f"s{uuid4().hex[:10]}",
        (await scene.operator.platform())["server_name"],
        store=SqliteStore.open(tmp_path / "partner", passphrase="secret"),
    )
    await scene.operator.admit(stored)
    await scene.author.enrol()
    await scene.author.grant(stored.slug, scene.terms)
    await scene.author.send_text(scene.room_id, "one")
    await stored.poll()
    await stored.close()
    again = Partner.open(SqliteStore.open(tmp_path / "partner", passphrase="secret"))
    await again.upkeep()
    page = await again.messages(scene.room_id, PURPOSE)
    assert [m.body for m in page.messages] == ["one"]
    assert (await again.poll()).grant_keys == ()
    await again.close()


async def test_wrong_purpose_and_ended_device_are_refused(scene: Scene) -> None:
    """A purpose that was not granted opens nothing; an ended device gets no further keys."""
    await scene.grant()
    await scene.author.send_text(scene.room_id, "x")
    with pytest.raises(ProblemError):
        await scene.partner.messages(scene.room_id, "advertising")
    await scene.partner.end_device()
    await scene.author.send_text(scene.room_id, "y")
    current = scene.author.engine.outbound.current(scene.room_id)
    assert current is not None
    assert scene.partner.user_id not in {r.user_id for r in current.recipients}


async def test_grant_by_a_device_without_identity_is_refused(server: RunningServer, scene: Scene) -> None:
    """A device that only knows the password cannot enrol, and so grants nothing."""
    intruder = await Person.login(server.url, scene.author.user_id, PASSWORD)
    try:
        intruder._consent.adopt_log_key(bytes(32))
        with pytest.raises(NotEnrolledError):
            await intruder.grant(scene.partner.slug, scene.terms)
        with pytest.raises(MatrixError):
            await intruder._transport.json("POST", "/_paraph/v1/grants", {"grant": {}})
    finally:
        await intruder.close()
