"""A partner's stream over the real platform: each word once, in order, whatever breaks off in between."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from paraph.sdk import Change, GrantChange, MemoryStore, MessageChange, Partner, ReceiptError, Withheld
from paraph.sdk.partner.changes import LATE, WAITING
from tests.sdk.stage import PURPOSE, Stage, stage
from tests.support.databases import runs_writes_once

pytestmark = [pytest.mark.slow, runs_writes_once]


@pytest.fixture(autouse=True)
def _on_both_databases(dialect: str) -> None:
    """Every test runs on SQLite and on PostgreSQL."""


async def now(partner: Partner, **more: Any) -> list[Change]:
    """What is new, without waiting."""
    return [change async for change in partner.changes(PURPOSE, timeout_ms=0, **more)]


def said(changes: list[Change]) -> list[str | None]:
    """Words of open messages; the state of closed ones; what became of grants."""
    found: list[str | None] = []
    for change in changes:
        if isinstance(change, MessageChange):
            found.append(change.message.body if change.state == "open" else change.state)
        elif isinstance(change, GrantChange):
            found.append(change.what)
        else:
            found.append(type(change).__name__)
    return found


async def read_grant(here: Stage, **more: Any) -> str:
    """A grant to read, of which the partner has heard nothing yet."""
    await here.author.sync()
    return (await here.author.grant("marquee", here.terms(**more))).grant.grant_id


async def test_each_word_comes_once_and_in_order_with_any_page_size(tmp_path: Path) -> None:
    """Two authors, several answers: every granted word is handed out, no other, and the next iteration goes on."""
    async with stage(tmp_path) as here:
        await here.correspondent.enrol()
        await read_grant(here)
        for n in range(5):
            await here.author.send_text(here.room_id, f"a{n}")
            await here.correspondent.send_text(here.room_id, f"c{n}")
        assert said(await now(here.partner, limit=2)) == ["made", "a0", "a1", "a2", "a3", "a4"]
        await here.correspondent.grant("marquee", here.terms())
        await here.author.send_text(here.room_id, "a5")
        await here.correspondent.send_text(here.room_id, "c5")
        assert said(await now(here.partner)) == ["made", "a5", "c5"]
        assert await now(here.partner) == []


async def test_breaking_off_and_going_on_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    """In the middle of an answer, with a new iteration at once, and after closing and opening the store."""
    async with stage(tmp_path) as here:
        await read_grant(here)
        for n in range(6):
            await here.author.send_text(here.room_id, f"a{n}")
        found: list[Change] = []
        for most in (2, 3):
            async for change in here.partner.changes(PURPOSE, timeout_ms=0):
                found.append(change)
                if len(found) == most:
                    break
        store = here.partner._records._store
        await here.partner._changes.close()
        again = Partner.open(store, transport=here.transport(), now=here.now)
        found += await now(again)
        assert said(found) == ["made", *(f"a{n}" for n in range(6))]


async def test_what_was_taken_in_is_handed_out_after_a_kill_even_if_it_was_revoked_meanwhile(tmp_path: Path) -> None:
    """An access that was recorded is never lost: the answer is in the store before anything of it is handed out."""
    async with stage(tmp_path) as here:
        store = MemoryStore()
        grant_id = await read_grant(here)
        await here.author.send_text(here.room_id, "one")
        here.partner._records._store, kept = store, here.partner._records._store
        store._values |= kept._values
        store.pickle_key = kept.pickle_key
        stream = here.partner.changes(PURPOSE, timeout_ms=0)
        first = await anext(stream)
        copy = MemoryStore()
        copy.pickle_key, copy._values = store.pickle_key, dict(store._values)
        await stream.aclose()
        await here.author.revoke(grant_id)
        killed = Partner.open(copy, transport=here.transport(), now=here.now)
        assert said(await now(killed)) == ["made", "one", "revoked"]
        assert said([first]) == ["made"]


async def test_a_message_whose_key_is_late_is_said_to_be_pending_and_comes_when_it_opens(tmp_path: Path) -> None:
    """Closed once, open once: whether the key comes to the iteration or to a call of `poll`."""
    async with stage(tmp_path) as here:
        await read_grant(here)
        await now(here.partner)
        held: list[Any] = []
        real = here.partner.engine.receive

        def late(part: Any, at: int) -> Any:
            if part.to_device:
                held.append(part)
                part = type(part)()
            return real(part, at)

        here.partner.engine.receive = late  # type: ignore[method-assign]
        await here.author.send_text(here.room_id, "one")
        await here.author.send_text(here.room_id, "two")
        assert said(await now(here.partner)) == ["key-pending", "key-pending"]
        assert await now(here.partner) == []
        here.partner.engine.receive = lambda part, at: real(held[0], at)  # type: ignore[method-assign]
        news = await here.partner.poll()
        here.partner.engine.receive = real  # type: ignore[method-assign]
        assert [message.body for message in news.late] == ["one", "two"]
        assert said(await now(here.partner)) == ["one", "two"]
        assert await now(here.partner) == []
        assert not here.partner._records.items(WAITING, Any)
        assert not here.partner._records.items(LATE, Any)


async def test_nothing_is_opened_before_the_grant_key_shows_the_label(tmp_path: Path) -> None:
    """The words wait, closed, and come when the grant key has come."""
    async with stage(tmp_path) as here:
        await read_grant(here)
        taken = here.partner._book.take_key
        keys: list[Any] = []

        def withheld(event: Any) -> None:
            keys.append(event)

        here.partner._book.take_key = withheld  # type: ignore[method-assign, assignment]
        await here.author.send_text(here.room_id, "one")
        assert said(await now(here.partner)) == ["made", "key-pending"]
        here.partner._book.take_key = taken  # type: ignore[method-assign]
        with here.partner._records.step():
            known = [taken(event) for event in keys]
            released, refused = here.partner._intake.release([grant_id for grant_id in known if grant_id])
            for event, _ in released:
                here.partner._changes.came(event, "open")
        assert refused == ()
        assert said(await now(here.partner)) == ["one"]


async def test_what_was_withheld_comes_back_with_the_grant(tmp_path: Path) -> None:
    """Unread words of before a pause and of before a closing come once the grant gives them again; none comes twice."""
    async with stage(tmp_path) as here:
        grant_id = await read_grant(here)
        await now(here.partner)
        await here.author.send_text(here.room_id, "one")
        pause_id = await here.author.pause(grant_id)
        await here.author.send_text(here.room_id, "in the pause")
        changes = await now(here.partner)
        assert said(changes) == ["Withheld", "paused"]
        assert isinstance(changes[0], Withheld)
        assert (changes[0].room_id, changes[0].why) == (here.room_id, "not-granted")
        await here.author.resume(grant_id, pause_id)
        await here.author.send_text(here.room_id, "two")
        assert sorted(map(str, said(await now(here.partner)))) == ["one", "resumed", "two"]
        await here.author.send_text(here.room_id, "three")
        await here.correspondent.close_room(here.room_id)
        assert said(await now(here.partner)) == ["Withheld", "closed"]
        await here.correspondent.close_room(here.room_id, closed=False)
        await here.author.sync()
        await here.author.send_text(here.room_id, "four")
        assert sorted(map(str, said(await now(here.partner)))) == ["four", "reopened", "three"]
        assert await now(here.partner) == []


async def test_following_waits_and_is_woken(tmp_path: Path) -> None:
    """One iteration without an end: a word comes while it waits, a revocation too."""
    async with stage(tmp_path) as here:
        grant_id = await read_grant(here)
        found: asyncio.Queue[Change] = asyncio.Queue()

        async def follow() -> None:
            async for change in here.partner.changes(PURPOSE):
                found.put_nowait(change)

        following = asyncio.create_task(follow())
        try:
            assert said([await asyncio.wait_for(found.get(), 20)]) == ["made"]
            await here.author.send_text(here.room_id, "one")
            got = [await asyncio.wait_for(found.get(), 20)]
            if said(got) == ["key-pending"]:  # the word was faster than its key
                got = [await asyncio.wait_for(found.get(), 20)]
            assert said(got) == ["one"]
            await here.author.revoke(grant_id)
            assert said([await asyncio.wait_for(found.get(), 20)]) == ["revoked"]
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


@pytest.mark.parametrize(
    "lie",
    [
        lambda answer: answer["accesses"].clear(),
        lambda answer: answer["accesses"][0]["entry"]["body"]["event_ids"].pop(),
        lambda answer: answer["changes"].append(
            {"kind": "message", "grant_id": "gr_other", "event": answer["changes"][-1]["event"]}
        ),
        lambda answer: answer["changes"][-1].update(grant_id="gr_other"),
        lambda answer: answer["changes"][-1]["event"].update(room_id="!other:localhost"),
        lambda answer: answer["accesses"][0]["receipt"].update(deadline=1),
        lambda answer: answer["accesses"].append(answer["accesses"][0]),
    ],
)
async def test_an_answer_without_fitting_records_is_refused_and_leaves_no_trace(tmp_path: Path, lie: Any) -> None:
    """Nothing of it is handed out or kept, and the honest answer is taken afterwards."""
    async with stage(tmp_path) as here:
        await read_grant(here)
        await here.author.send_text(here.room_id, "one")
        call = here.partner.auth.call

        async def lying(method: str, url: str, *args: Any, **more: Any) -> dict[str, Any]:
            answer = await call(method, url, *args, **more)
            if url == "/inbox/v1/changes" and answer["accesses"]:
                lie(answer)
            return answer

        here.partner.auth.call = lying  # type: ignore[method-assign]
        with pytest.raises(ReceiptError):
            await now(here.partner)
        here.partner.auth.call = call  # type: ignore[method-assign]
        assert said(await now(here.partner)) == ["made", "one"]
