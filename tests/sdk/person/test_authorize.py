"""The flow with both sides' own clients: the partner asks, the person's device signs less, the partner is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from paraph.protocol.authorization import InboxDetails
from paraph.protocol.documents import parse
from paraph.protocol.errors import ScopeError
from paraph.sdk import (
    ConsentRefusedError,
    ConsentRequest,
    GrantTerms,
    GrantTokenError,
    MatrixError,
    Person,
    ProblemError,
    SdkError,
    TrustError,
)
from paraph.sdk.clock import system_time
from paraph.sdk.person.authorize import request_of
from tests.sdk.partner.test_partner import DAY, PURPOSE, Scene
from tests.sdk.person.test_person import PASSWORD
from tests.support.server import RunningServer

pytestmark = pytest.mark.slow

CALLBACK = "https://marquee.example/callback"


def asked(**changes: Any) -> dict[str, Any]:
    """What the partner asks for."""
    details = {"verbs": ["read"], "purposes": [PURPOSE], "until": system_time() + 60 * DAY, "retention_days": 5}
    return details | changes


@pytest_asyncio.fixture
async def scene(server: RunningServer) -> AsyncIterator[Scene]:
    """An enrolled author, a room, and a partner that may be redirected to."""
    made = await Scene(server).set()
    partner = made.partner
    body = {"slug": partner.slug, "name": "Marquee", "master_key": partner.master_key}
    await made.operator.post("/partners", {**body, "client_jwk": partner.client_jwk, "redirect_uris": [CALLBACK]})
    await made.author.enrol()
    yield made
    await made.close()


async def test_asked_narrowed_signed_and_redeemed(scene: Scene) -> None:
    """The device shows and signs exactly what it grants; the partner learns that, and can open what follows."""
    asking = await scene.partner.ask(asked(), CALLBACK)
    request = await scene.author.consents(asking.url)
    assert (request.partner, request.name, request.status) == (scene.partner.slug, "Marquee", "open")
    assert request.asked.document["purposes"] == [PURPOSE]
    texts: list[str] = []
    terms = replace(request.terms(), rooms=[scene.room_id], until=system_time() + 7 * DAY, retention_days=0)

    def agree(text: str) -> bool:
        texts.append(text)
        return True

    done = await scene.author.answer(request, terms, agree=agree)
    assert "promises to keep nothing" in texts[0]
    assert done.redirect.startswith(f"{CALLBACK}?code=")
    granted = await scene.partner.redeem(asking, done.redirect)
    assert granted.grant_id == done.grant.grant.grant_id
    assert (granted.details["rooms"], granted.details["retention_days"]) == ([scene.room_id], 0)
    await scene.partner.poll()
    await scene.author.send_text(scene.room_id, "to be read")
    await scene.partner.poll(5000)
    page = await scene.partner.messages(scene.room_id, PURPOSE)
    assert [message.body for message in page.messages] == ["to be read"]
    session = scene.partner.with_grant(granted.grant_id)
    assert await session.details() == granted.details
    await scene.author.revoke(granted.grant_id)
    with pytest.raises(GrantTokenError):
        await session.details()


@pytest.mark.parametrize(
    ("purposes", "granted"), [([PURPOSE, "advertising"], (PURPOSE,)), ([PURPOSE], (PURPOSE,)), (["advertising"], None)]
)
def test_advertising_is_off_by_default(purposes: list[str], granted: tuple[str, ...] | None) -> None:
    """Asked for among others it is left out, alone it is refused, and granted only where the person says so."""
    details = parse(InboxDetails, {"type": "paraph_inbox", **asked(purposes=purposes)})
    request = ConsentRequest("id", "marquee", "Marquee", details, CALLBACK, 0, "open")
    if granted is None:
        with pytest.raises(SdkError, match="never granted by default"):
            request.terms()
    else:
        assert request.terms().purposes == granted
    assert request.terms(advertising=True).purposes == tuple(purposes)


async def test_no_is_an_answer(scene: Scene) -> None:
    """Declined, the partner is told so; not agreed to, nothing is signed and the request stays open."""
    asking = await scene.partner.ask(asked(), CALLBACK)
    request = await scene.author.consents(asking.url)
    with pytest.raises(ConsentRefusedError):
        await scene.author.answer(request, agree=lambda _text: False)
    assert (await scene.author.consents(asking.url)).status == "open"
    redirect = await scene.author.decline(request)
    with pytest.raises(ConsentRefusedError, match="access_denied"):
        await scene.partner.redeem(asking, redirect)
    with pytest.raises(MatrixError, match="ORG_PARAPH_CONFLICT"):
        await scene.author.answer(request)  # as this device saw it, it is open
    with pytest.raises(SdkError, match="answered before"):
        await scene.author.answer(await scene.author.consents(asking.url))
    assert await scene.author.grants() == []


async def test_a_device_signs_nothing_wider_than_is_asked_for(scene: Scene) -> None:
    """Whatever the caller gives as terms."""
    asking = await scene.partner.ask(asked(rooms=[scene.room_id]), CALLBACK)
    request = await scene.author.consents(asking.url)
    wider = GrantTerms([PURPOSE], request.asked.until, None, ["read"], 5)
    for terms in (wider, replace(wider, rooms=[scene.room_id], until=request.asked.until + 1)):
        with pytest.raises(ScopeError):
            await scene.author.answer(request, terms)
    assert await scene.author.grants() == []


async def test_an_answer_of_elsewhere_is_not_redeemed(scene: Scene) -> None:
    """Another session's state, a missing or another issuer: the code is not sent anywhere."""
    asking = await scene.partner.ask(asked(), CALLBACK)
    request = await scene.author.consents(asking.url)
    done = await scene.author.answer(request, replace(request.terms(), rooms=[scene.room_id]))
    for spoilt in (
        done.redirect.partition("&iss=")[0],
        done.redirect.replace("&iss=", "&iss=https%3A%2F%2Felsewhere.example&was="),
        done.redirect.replace("state=", "state=x"),
        CALLBACK,
    ):
        with pytest.raises(TrustError):
            await scene.partner.redeem(asking, spoilt)
    assert (await scene.partner.redeem(asking, done.redirect)).grant_id
    with pytest.raises(ProblemError, match="invalid_grant"):
        await scene.partner.redeem(asking, done.redirect)


async def test_a_device_answers_only_its_own_platform(scene: Scene, server: RunningServer) -> None:
    """An address of another host, or of another page, is refused before anything is sent."""
    asking = await scene.partner.ask(asked(), CALLBACK)
    request_uri = asking.url.rpartition("request_uri=")[2].replace("%3A", ":")
    assert request_of(request_uri, server.url) == request_of(asking.url, server.url) == request_uri.rpartition(":")[2]
    for link in (
        asking.url.replace("127.0.0.1", "elsewhere.example"),
        asking.url.replace("/oauth/authorize", "/oauth/token"),
        f"{server.url}/oauth/authorize?client_id=x",
        "",
        "urn:ietf:params:oauth:request_uri:",
    ):
        with pytest.raises(SdkError):
            request_of(link, server.url)
    other = await Person.register(server.url, f"other-{system_time()}", PASSWORD)
    assert (await scene.author.consents(asking.url)).status == "open"
    with pytest.raises(MatrixError, match="404"):
        await other.consents(asking.url)
    await other.close()
