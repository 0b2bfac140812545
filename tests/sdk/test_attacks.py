"""Attacks on the main job against a real server: each was, or would be, a way past a promise."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio

from paraph.protocol.signing import SigningKey, sign
from paraph.sdk import MatrixError, Person, ProblemError, Transport
from paraph.sdk.transport import CLIENT
from tests.sdk.partner.test_partner import PURPOSE, Scene
from tests.sdk.person.test_person import PASSWORD
from tests.support.server import RunningServer

pytestmark = pytest.mark.slow


@pytest_asyncio.fixture
async def scene(server: RunningServer) -> AsyncIterator[Scene]:
    """A fresh scene on the module's server."""
    made = await Scene(server).set()
    yield made
    await made.close()


def session_of(scene: Scene) -> str:
    """The session of the author's last message."""
    current = scene.author.engine.outbound.current(scene.room_id)
    assert current is not None
    return current.session_id


async def test_room_closed_a_moment_ago(scene: Scene) -> None:
    """A message sent after a member closed the room is closed to partners, though the author has not synced since."""
    await scene.grant()
    await scene.author.send_text(scene.room_id, "open")
    assert await scene.opened() == ["open"]
    await scene.correspondent.close_room(scene.room_id)
    await scene.author.send_text(scene.room_id, "private")
    private = session_of(scene)
    with pytest.raises(ProblemError, match="room-closed"):
        await scene.partner.messages(scene.room_id, PURPOSE)
    await scene.correspondent.close_room(scene.room_id, closed=False)
    assert await scene.opened() == ["open"]
    assert scene.partner.engine.inbound.claims(private) == [], "it was not served, and would not have opened"


async def test_room_closed_when_the_view_was_refreshed_in_between(scene: Scene) -> None:
    """Knowing the newest version of the grants is no knowledge of the room: its state is looked at for each version."""
    await scene.grant()
    await scene.author.send_text(scene.room_id, "open")
    await scene.correspondent.close_room(scene.room_id)
    scene.author._consent.forget_view()
    await scene.author._consent.fresh_view()
    await scene.author.send_text(scene.room_id, "private")
    private = session_of(scene)
    await scene.correspondent.close_room(scene.room_id, closed=False)
    assert await scene.opened() == ["open"]
    assert scene.partner.engine.inbound.claims(private) == [], "it was not served, and would not have opened"


async def test_room_stays_closed_when_its_closer_left(scene: Scene) -> None:
    """Who closed the room and left has left it closed: for the platform and for the author's device."""
    await scene.grant()
    await scene.correspondent.close_room(scene.room_id)
    await scene.correspondent.leave(scene.room_id)
    await scene.author.sync()
    await scene.author.send_text(scene.room_id, "private")
    with pytest.raises(ProblemError, match="room-closed"):
        await scene.partner.messages(scene.room_id, PURPOSE)
    room = scene.author.rooms.get(scene.room_id)
    assert room is not None
    assert room.settings.closed


async def post(transport: Transport, url: str, body: dict[str, Any], user_id: str) -> None:
    """A request that wants the person's password again (Matrix, "User-Interactive Authentication")."""
    auth = {"type": "m.login.password", "password": PASSWORD, "identifier": {"type": "m.id.user", "user": user_id}}
    try:
        await transport.json("POST", url, body)
    except MatrixError as error:
        await transport.json("POST", url, {**body, "auth": {**auth, "session": error.body["session"]}})


class Renamed(Transport):
    """A transport whose login asks for a device id of the caller's choice."""

    device_id = ""

    async def json(self, method: str, path: str, body: Any = None, **more: Any) -> dict[str, Any]:
        """Send the request, a login with the device id."""
        named = {**body, "device_id": self.device_id} if path == f"{CLIENT}/login" else body
        return await super().json(method, path, named, **more)


async def test_one_authors_replaced_device_does_not_blind_the_partner(scene: Scene) -> None:
    """An author whose device id came back with other keys costs the partner her own words until it enrols, no more."""
    await scene.grant()
    await scene.grant(scene.correspondent)
    author, transport = scene.author, Renamed(scene.server.url)
    transport.device_id, secrets = author.device_id, author.export_secrets()
    await author._transport.json("POST", CLIENT + "/logout", {})
    again = await Person.login(scene.server.url, author.user_id, PASSWORD, secrets=secrets, transport=transport)
    try:
        await scene.correspondent.sync()
        await scene.correspondent.send_text(scene.room_id, "still here")
        assert await scene.opened() == ["still here"]
        await again.enrol()
        await again.sync()
        await again.send_text(scene.room_id, "back again")
        assert await scene.opened() == ["still here", "back again"]
    finally:
        await again.close()


async def test_one_authors_new_identity_does_not_blind_the_partner(scene: Scene) -> None:
    """An author who starts over with another identity takes her own words from the partner, nobody else's."""
    await scene.grant()
    await scene.grant(scene.correspondent)
    user_id, transport = scene.author.user_id, Transport(scene.server.url)
    other = await Person.login(scene.server.url, user_id, PASSWORD, transport=transport)
    master, self_signing = SigningKey.generate(), SigningKey.generate()
    keys = {
        f"{usage}_key": sign(
            {"user_id": user_id, "usage": [usage], "keys": {key.key_id: key.public_key}},
            user_id,
            master.key_id,
            master.sign,
        )
        for usage, key in (("master", master), ("self_signing", self_signing))
    }
    try:
        await post(transport, CLIENT + "/keys/device_signing/upload", keys, user_id)
        await scene.correspondent.send_text(scene.room_id, "still here")
        await scene.author.send_text(scene.room_id, "by a device that no identity of hers vouches for")
        assert await scene.opened() == ["still here", None]
    finally:
        await other.close()


async def test_partner_learns_nothing_of_other_grants(scene: Scene) -> None:
    """What a partner gets of an event says neither how often its author's grants changed nor whom she answers."""
    await scene.grant()
    theirs = await scene.correspondent.send_text(scene.room_id, "a question")
    answer = {"msgtype": "m.text", "body": "an answer", "m.relates_to": {"m.in_reply_to": {"event_id": theirs}}}
    await scene.author.send(scene.room_id, "m.room.message", answer)
    served = await scene.partner.auth.call("GET", f"/inbox/v1/rooms/{quote(scene.room_id)}/messages?purpose={PURPOSE}")
    (event,) = served["messages"]
    assert set(event["content"]) == {"algorithm", "sender_key", "device_id", "session_id", "ciphertext"}
    await scene.partner.poll()
    (message,) = (await scene.partner.messages(scene.room_id, PURPOSE)).messages
    assert message.body == "an answer"
    assert theirs not in str(message.content)
    await scene.correspondent.sync()
    newest = (await scene.correspondent.messages(scene.room_id))[-1]
    assert newest.content["m.relates_to"] == answer["m.relates_to"]


async def test_an_account_that_ended_grants_nothing(scene: Scene) -> None:
    """Who deactivated her account cannot revoke any more: her grants end with it."""
    await scene.grant()
    await scene.author.send_text(scene.room_id, "before the end")
    assert await scene.opened() == ["before the end"]
    await post(scene.author._transport, CLIENT + "/account/deactivate", {}, scene.author.user_id)
    with pytest.raises(ProblemError, match="not-granted"):
        await scene.partner.messages(scene.room_id, PURPOSE)
    assert await scene.partner.grants() == []
