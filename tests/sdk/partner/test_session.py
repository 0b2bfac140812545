"""One person's grant by its own token, with the SDK on both sides of a whole platform."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from paraph.sdk import (
    GrantSession,
    GrantTokenError,
    MessageChange,
    Partner,
    Person,
    ProblemError,
    ReceiptError,
)
from tests.sandbox.test_quickstart import printed
from tests.sdk.stage import DAY, PURPOSE, VERBS, Stage, stage

pytestmark = pytest.mark.slow

CALLBACK = "https://marquee.example/callback"


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Stage]:
    """A stage whose partner may be redirected to, and whose correspondent is enrolled, too."""
    async with stage(tmp_path) as made:
        partner = made.partner
        body = {"slug": partner.slug, "name": "Marquee", "master_key": partner.master_key}
        registered = {**body, "client_jwk": partner.client_jwk, "redirect_uris": [CALLBACK]}
        answer = await made.http.post("/_paraph/v1/admin/partners", json=registered, headers=made.operator)
        assert answer.is_success, answer.text
        await made.correspondent.enrol()
        yield made


async def granted(here: Stage, person: Person, *verbs: str) -> GrantSession:
    """The session that a person's answer to the partner's request brought."""
    details = {"verbs": list(verbs), "purposes": [PURPOSE], "until": here.now() + 10 * DAY, "rooms": [here.room_id]}
    asking = await here.partner.ask(details, CALLBACK)
    done = await person.answer(await person.consents(asking.url), agree=lambda _text: True)
    grant = await here.partner.redeem(asking, done.redirect)
    await here.partner.poll()
    return here.partner.with_grant(grant.grant_id)


async def said(stream: Any) -> list[str]:
    """The words of the open messages that a stream has now."""
    return [c.message.body or "" async for c in stream if isinstance(c, MessageChange) and c.state == "open"]


async def test_everything_that_a_grant_allows_is_done_with_its_own_token(here: Stage) -> None:
    """Read, follow, look around, propose and delete: what the partner as a whole can, for this person alone."""
    session = await granted(here, here.author, *VERBS)
    other = await granted(here, here.correspondent, "read")
    await here.author.send_text(here.room_id, "hers")
    await here.correspondent.send_text(here.room_id, "his")
    await here.partner.poll()
    page = await session.messages(here.room_id, PURPOSE)
    assert [message.body for message in page.messages] == ["hers"]
    assert {entry.body["grant_id"] for entry in page.accesses} == {session.grant_id}
    assert await said(session.changes(PURPOSE, timeout_ms=0)) == ["hers"]
    assert await said(other.changes(PURPOSE, timeout_ms=0)) == ["his"]
    assert await said(here.partner.changes(PURPOSE, timeout_ms=0)) == ["hers", "his"]
    assert [room.grants for room in await session.rooms()] == [(session.grant_id,)]
    assert [one.room_id for one in await session.metadata(PURPOSE)] == [here.room_id]
    assert await session.friends(PURPOSE) == []
    draft_id = await session.draft(here.room_id, "Shall we?")
    event_id = await here.author.drafts.seal(draft_id)
    assert (await session.draft_status(draft_id)).event_id == event_id
    assert (await session.delete(here.room_id, event_id, PURPOSE, reason="a slip")).body["event_id"] == event_id
    assert (await session.withdraw(await session.draft(here.room_id, "Or not?"))).status == "withdrawn"
    assert (await here.author.history()).complete


async def test_a_session_is_good_for_no_other_grant(here: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The platform refuses its token elsewhere; what a lying platform mixes in, the SDK refuses."""
    session, other = (
        await granted(here, here.author, "read", "metadata"),
        await granted(here, here.correspondent, "read"),
    )
    for path, params in (
        ("/inbox/v1/metadata", {"grant_id": other.grant_id, "purpose": PURPOSE}),
        (f"/oauth/grants/{other.grant_id}", {}),
        ("/inbox/v1/key-events", {"device_id": here.partner.device_id}),
    ):
        with pytest.raises(ProblemError) as refused:
            await session._auth.call("GET", path, params=params)
        assert refused.value.status in (403, 404), refused.value
    assert (await session._auth.call("GET", "/inbox/v1/grants", params={"grant_id": other.grant_id}))["grants"] == []
    await here.correspondent.send_text(here.room_id, "his")
    assert (await session.messages(here.room_id, PURPOSE)).messages == ()
    monkeypatch.setattr(session._auth, "call", here.partner.auth.call)  # as if the platform did not look at the token
    with pytest.raises(ReceiptError, match="another grant"):
        await session.messages(here.room_id, PURPOSE)


async def test_tokens_are_renewed_and_outlive_the_process(here: Stage) -> None:
    """An access token that ran out is replaced by the refresh token, which lies in the partner's store."""
    session = await granted(here, here.author, "read")
    session.use("pat_stale", here.now() + DAY)
    await here.author.send_text(here.room_id, "hers")
    assert len((await session.messages(here.room_id, PURPOSE)).messages) == 1
    again = Partner.open(here.partner._records._store, transport=here.transport(), now=here.now)
    page = await again.with_grant(session.grant_id).messages(here.room_id, PURPOSE)
    assert len(page.messages) == 1
    assert "refresh" not in repr(again.with_grant(session.grant_id))


async def test_tokens_that_are_refused_say_so(here: Stage) -> None:
    """Revoked by the person, paused, given back by the partner or unknown to it: one error, in the platform's words."""
    session = await granted(here, here.author, "read")
    await here.author.revoke(session.grant_id)
    session._auth.forget()
    with pytest.raises(GrantTokenError, match="gives nothing now") as refused:
        await session.messages(here.room_id, PURPOSE)
    assert refused.value.grant_id == session.grant_id

    paused = await granted(here, here.author, "read")
    pause_id = await here.author.pause(paused.grant_id)
    paused._auth.forget()
    with pytest.raises(GrantTokenError, match="paused"):
        await paused.rooms()
    await here.author.resume(paused.grant_id, pause_id)
    assert len(await paused.rooms()) == 1

    await paused.give_back()
    with pytest.raises(GrantTokenError, match="holds none"):
        await paused.rooms()
    assert paused.grant_id in await here.partner.grants()
    with pytest.raises(GrantTokenError):
        await here.partner.with_grant("gr_" + "A" * 22).rooms()


async def test_the_quickstarts_way_of_asking(here: Stage) -> None:
    """Asked, granted, read and revoked, by the lines that the page shows."""
    page: dict[str, Any] = {}
    exec(printed("asking.py"), page)

    async def browse(url: str) -> str:
        request = await here.author.consents(url)
        return (await here.author.answer(request, agree=lambda _text: True)).redirect

    grant_id = await page["ask"](here.partner, PURPOSE, here.now() + 10 * DAY, CALLBACK, browse)
    await here.partner.poll()
    await here.author.send_text(here.room_id, "hers")
    await here.partner.poll()
    assert await page["words"](here.partner, grant_id, PURPOSE) == ["hers"]
    await here.author.revoke(grant_id)
    assert await page["words"](here.partner, grant_id, PURPOSE) == []


async def test_a_grant_that_is_given_up_is_over_for_everybody(here: Stage) -> None:
    """The person's record says that the partner did; neither token reads under it any more."""
    session = await granted(here, here.author, "read")
    await session.give_up()
    assert session.grant_id not in await here.partner.grants()
    (revoked,) = [entry for entry in await here.author.entries() if entry.kind == "revoke"]
    assert revoked.body["revocation"]["grant_id"] == session.grant_id
