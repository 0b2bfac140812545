"""What the sandbox's commands make happen, as a partner's program sees it."""

from __future__ import annotations

import asyncio
import subprocess

import pytest

from paraph.sdk import ConsentRefusedError, DraftStatus, Partner, ProblemError
from paraph.sdk.clock import system_time
from tests.sandbox.conftest import PARTNERS
from tests.sandbox.support import PARAPH, PURPOSE, RunningSandbox, all_read, device

pytestmark = pytest.mark.slow

CALLBACK = "http://127.0.0.1:8765/callback"
DAY = 86_400_000


async def settled(partner: Partner, draft_id: str) -> DraftStatus:
    """What becomes of a draft that does not wait."""
    async with asyncio.timeout(30):
        while True:
            status = await partner.draft_status(draft_id)
            if status.status not in ("queued", "claimed"):
                return status
            await asyncio.sleep(0.2)


async def test_say_is_read_by_the_partner_of_the_room(sandbox: RunningSandbox) -> None:
    """The author's words come under an event id that the command prints; the correspondent's do not."""
    done = subprocess.run(
        [PARAPH, "sandbox", "say", "I saw it twice", "--data", sandbox.folder], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    sandbox.say("I did not", speaker="correspondent")
    async with device(sandbox.file("marquee")) as partner:
        (message,) = [m for m in await all_read(partner, sandbox.said["rooms"]["films"]) if m.body == "I saw it twice"]
        assert message.event_id in done.stdout
        assert "I did not" not in [m.body for m in await all_read(partner, message.room_id)]


async def test_lost_keys_leave_messages_pending_until_they_are_found(sandbox: RunningSandbox) -> None:
    """What is said meanwhile is listed and closed; with the keys it opens, as late news."""
    films = sandbox.said["rooms"]["films"]
    async with device(sandbox.file("marquee")) as partner:
        sandbox.tell("lose-keys")
        event_id = sandbox.say("under a key that got lost")
        await partner.poll()
        page = await partner.messages(films, PURPOSE)
        assert page.pending == (event_id,)
        with_the_room = sum(partner.endswith("=films") for partner in PARTNERS)
        assert sandbox.tell("find-keys")["found"] == with_the_room
        news = await partner.poll(timeout_ms=5_000)
        assert [(m.event_id, m.body) for m in news.late] == [(event_id, "under a key that got lost")]


async def test_revoke_and_grant(sandbox: RunningSandbox) -> None:
    """A revocation ends every grant at once; another one may follow, for other rooms."""
    music = sandbox.said["rooms"]["music"]
    async with device(sandbox.file("opus")) as partner:
        assert sandbox.tell("revoke", partner="opus")["revoked"]
        assert await partner.grants() == []
        with pytest.raises(ProblemError):
            await partner.messages(music, PURPOSE)
        made = sandbox.tell("grant", partner="opus", rooms=["music", "films"], minutes=3)["grant_id"]
        assert await partner.grants() == [made]
        assert {room.room_id for room in await partner.rooms()} == {music, sandbox.said["rooms"]["films"]}


async def test_drafts_are_sealed_declined_or_left(sandbox: RunningSandbox) -> None:
    """As the author was told to treat them."""
    films = sandbox.said["rooms"]["films"]
    async with device(sandbox.file("marquee")) as partner:
        (grant_id,) = await partner.grants()
        sealed = await settled(partner, await partner.draft(grant_id, films, "Friday?"))
        assert (sealed.status, sealed.room_id) == ("sealed", films)
        sandbox.tell("drafts", how="decline")
        declined = await settled(partner, await partner.draft(grant_id, films, "Saturday?"))
        assert (declined.status, declined.reason) == ("declined", "not today")
        sandbox.tell("drafts", how="wait")
        waits = await partner.draft(grant_id, films, "Sunday?")
        sandbox.say("meanwhile")
        await asyncio.sleep(2.5)
        assert (await partner.draft_status(waits)).status == "queued"
        sandbox.tell("drafts", how="seal")
        assert (await settled(partner, waits)).status == "sealed"


async def test_answer_is_the_person_in_the_authorization_flow(sandbox: RunningSandbox) -> None:
    """She grants what the program asks for, or declines; the program redeems the address that the command prints."""
    wanted = {"verbs": ["read"], "purposes": [PURPOSE], "until": system_time() + 5 * DAY, "retention_days": 1}
    async with device(sandbox.file("marquee")) as partner:
        asking = await partner.ask(wanted, CALLBACK)
        granted = await partner.redeem(asking, sandbox.tell("answer", link=asking.url, decline=False)["redirect"])
        assert granted.grant_id in await partner.grants()
        asking = await partner.ask(wanted, CALLBACK)
        with pytest.raises(ConsentRefusedError):
            await partner.redeem(asking, sandbox.tell("answer", link=asking.url, decline=True)["redirect"])


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["say", "hello", "--room", "football"], "no room 'football'"),
        (["say", "hello", "--as", "stranger"], "no person 'stranger'"),
        (["revoke", "--partner", "umbra"], "umbra has no grant"),
        (["drafts", "burn"], "no way 'burn'"),
        (["grant", "--partner", "umbra"], "umbra"),
    ],
)
def test_what_cannot_be_done_is_explained(sandbox: RunningSandbox, words: list[str], why: str) -> None:
    """A command that asks for the impossible fails, says why, and the sandbox goes on."""
    done = subprocess.run([PARAPH, "sandbox", *words, "--data", sandbox.folder], capture_output=True, text=True)
    assert done.returncode == 1
    assert why in done.stderr
    assert sandbox.say("all is well")
