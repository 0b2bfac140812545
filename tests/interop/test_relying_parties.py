"""Other people's OAuth clients, with all their checks, complete the flow against the real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from paraph.sdk import Partner
from paraph.sdk.clock import system_time
from paraph.sdk.partner.client_assertion import new_client_key
from tests.interop.relying_parties import ClientError, NodeParty, RelyingParty, RequestsParty
from tests.sdk.partner.test_partner import DAY, PURPOSE, Scene
from tests.support.server import RunningServer

pytestmark = pytest.mark.slow

CALLBACK = "http://localhost:4711/callback"
LIBRARIES = ("oauth4webapi", "openid-client", "requests-oauth2client")


@pytest_asyncio.fixture
async def scene(server: RunningServer) -> AsyncIterator[Scene]:
    """An author who has enrolled, and the partner's own SDK beside the library."""
    made = await Scene(server).set()
    await made.author.enrol()
    yield made
    await made.close()


@pytest_asyncio.fixture(params=LIBRARIES)
async def party(request: pytest.FixtureRequest, node: str) -> AsyncIterator[RelyingParty]:
    """A partner made with one of the libraries."""
    made = RequestsParty() if request.param == "requests-oauth2client" else await NodeParty.start(node, request.param)
    yield made
    await made.close()


async def begin(scene: Scene, party: RelyingParty, partner: Partner | None = None) -> str:
    """Register the partner's callback; let the library ask."""
    partner = partner or scene.partner
    body = {"slug": partner.slug, "name": "Marquee", "master_key": partner.master_key}
    body |= {"client_jwk": partner.client_jwk, "redirect_uris": [CALLBACK]}  # type: ignore[dict-item]
    await scene.operator.post("/partners", body)
    details = {"type": "paraph_inbox", "verbs": ["read"], "purposes": [PURPOSE], "until": system_time() + 20 * DAY}
    return await party.begin(
        issuer=scene.operator.server.url,
        client_id=partner.slug,
        jwk=dict(partner._record.client_jwk),
        redirect_uri=CALLBACK,
        details=[details],
    )


async def test_the_whole_flow(scene: Scene, party: RelyingParty) -> None:
    """Discovery, pushed request, code, tokens, reading, refreshing, introspection, revocation, client credentials."""
    request = await scene.author.consents(await begin(scene, party))
    done = await scene.author.answer(request, replace(request.terms(), rooms=[scene.room_id]))
    tokens = await party.finish(redirect=done.redirect)
    assert tokens["token_type"].lower() == "dpop"
    assert tokens["authorization_details"][0]["rooms"] == [scene.room_id]
    grant_id = done.grant.grant.grant_id
    listed = (await party.read(path="/inbox/v1/grants"))["grants"]
    assert [item["grant"]["grant_id"] for item in listed] == [grant_id]
    path = f"/inbox/v1/rooms/{scene.room_id.replace('!', '%21').replace(':', '%3A')}/messages?purpose={PURPOSE}"
    sent = await scene.author.send_text(scene.room_id, "to be read")
    assert [event["event_id"] for event in (await party.read(path=path))["messages"]] == [sent]
    renewed = await party.refresh()
    assert renewed["access_token"] != tokens["access_token"]
    assert (await party.read(path="/inbox/v1/rooms"))["rooms"][0]["room_id"] == scene.room_id
    told = await party.introspect()
    assert (told["active"], told["grant_id"], told["sub"]) == (True, grant_id, scene.author.user_id)
    await party.revoke()
    assert (await party.introspect())["active"] is False
    assert (await party.whole())["token_type"].lower() == "dpop"
    assert len((await party.read(path="/inbox/v1/grants"))["grants"]) == 1


async def test_their_checks_find_what_ours_promise(scene: Scene, party: RelyingParty) -> None:
    """Each library refuses an answer without `iss`, with another's, or of another session, and takes the right one."""
    request = await scene.author.consents(await begin(scene, party))
    done = await scene.author.answer(request, replace(request.terms(), rooms=[scene.room_id]))
    for spoilt in (
        done.redirect.partition("&iss=")[0],
        done.redirect.replace("&iss=", "&iss=http%3A%2F%2Felsewhere.example&was="),
        done.redirect.replace("state=", "state=x"),
    ):
        with pytest.raises(ClientError, match=r"(?i)iss\b|issuer|state"):
            await party.finish(redirect=spoilt)
    assert (await party.finish(redirect=done.redirect))["access_token"]


async def test_declined(scene: Scene, party: RelyingParty) -> None:
    """What the person declines, the library reports as access_denied."""
    redirect = await scene.author.decline(await scene.author.consents(await begin(scene, party)))
    with pytest.raises(ClientError, match=r"(?i)access_?denied"):
        await party.finish(redirect=redirect)


async def test_a_stranger_gets_nowhere(scene: Scene, party: RelyingParty) -> None:
    """A client with another key than the registered one is refused as invalid_client."""
    with pytest.raises(ClientError, match=r"(?i)invalid_?client"):
        await party.begin(
            issuer=scene.operator.server.url,
            client_id=scene.partner.slug,
            jwk=new_client_key(),
            redirect_uri=CALLBACK,
            details=[{"type": "paraph_inbox"}],
        )
