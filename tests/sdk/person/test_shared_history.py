"""Older words under a grant: what the partner can open with everything it ever got, against the whole database."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from vodozemac import InboundGroupSession, MegolmMessage

from paraph.sdk import Partner, Person
from paraph.server.inbox.serving import Source
from tests.sdk.partner.test_changes import now, said
from tests.sdk.stage import PURPOSE, Stage, stage
from tests.support.databases import runs_writes_once

pytestmark = [pytest.mark.slow, runs_writes_once]


@pytest.fixture(autouse=True)
def _on_both_databases(dialect: str) -> None:
    """Every test runs on SQLite and on PostgreSQL."""


async def openable(here: Stage, partner: Partner) -> list[str]:
    """The words in *all* ciphertext of the database that any key which the partner ever got opens, sorted.

    The partner's own checks are left aside: this is what the keys are worth.
    """
    rows = await here.server.database.read(
        lambda tx: tx.rows("SELECT json FROM events WHERE type = 'm.room.encrypted' ORDER BY position")
    )
    messages = [json.loads(bytes(row[0]))["content"]["ciphertext"] for row in rows]
    found = set()
    for session in partner.engine.inbound.all():
        group = InboundGroupSession.from_pickle(session.pickle, partner._records.pickle_key)
        for text in messages:
            try:
                opened = group.decrypt(MegolmMessage.from_base64(text))
            except ValueError:
                continue
            found.add(json.loads(opened.plaintext)["content"]["body"])
    return sorted(found)


async def date_after(here: Stage) -> int:
    """A time that all words so far lie before, and all further ones not."""
    await asyncio.sleep(0.02)
    made = here.now()
    await asyncio.sleep(0.02)
    return made


async def says(here: Stage, person: Person, *words: str, room_id: str | None = None) -> None:
    for word in words:
        await person.send_text(room_id or here.room_id, word)


async def test_the_partner_can_open_exactly_the_words_from_the_date_on(tmp_path: Path) -> None:
    """In the middle of a session; not one word of before, none of the correspondent's, none of another room."""
    async with stage(tmp_path) as here:
        elsewhere = await here.room()
        await says(here, here.author, "before 1", "before 2")
        await says(here, here.correspondent, "theirs")
        date = await date_after(here)
        await says(here, here.author, "older 1")
        await says(here, here.author, "elsewhere", room_id=elsewhere)
        await says(here, here.author, "older 2")
        await says(here, here.correspondent, "theirs too")
        granted = await here.author.grant("marquee", here.terms(history=date))
        await says(here, here.author, "new")
        assert said(await now(here.partner)) == ["made", "older 1", "older 2", "new"]
        assert await openable(here, here.partner) == ["new", "older 1", "older 2"]
        shares = [entry.body["session"] for entry in await here.author.entries() if entry.kind == "key-share"]
        assert [s["first_index"] for s in shares if s is not None and s["room_id"] == here.room_id] == [2, 4]
        await here.author.revoke(granted.grant.grant_id)
        await says(here, here.author, "later")
        await here.partner.poll()
        assert await openable(here, here.partner) == ["new", "older 1", "older 2"]


async def test_each_device_shares_its_own_words_and_nobody_elses(tmp_path: Path) -> None:
    """A second device gives its own sessions when it learns of the grant; imported ones are handed on by none."""
    async with stage(tmp_path) as here:
        date = await date_after(here)
        await says(here, here.author, "by the first")
        second = await here.next_device(here.author)
        try:
            second.import_room_keys(here.author.export_room_keys())
            await says(here, second, "by the second")
            await here.author.sync()
            await here.author.grant("marquee", here.terms(history=date))
            await here.partner.poll()
            assert await openable(here, here.partner) == ["by the first"]
            await second.sync()
            await here.partner.poll()
            assert await openable(here, here.partner) == ["by the first", "by the second"]
            changes = await now(here.partner)
            assert sorted(map(str, said(changes))) == ["by the first", "by the second", "made"]
            entries = [entry.body for entry in await here.author.entries() if entry.kind == "key-share"]
            shared = {(body["device_id"], body["session"]["session_id"]) for body in entries if body["session"]}
            assert len({session for _, session in shared}) == len(shared) == 2
        finally:
            await second.close()


async def test_sessions_without_a_record_are_shared_whole_or_not_at_all(tmp_path: Path) -> None:
    """A device that kept no record at first: only what it began after the date, or wrote since it keeps one."""
    async with stage(tmp_path) as here:
        await says(here, here.author, "before")
        date = await date_after(here)
        await says(here, here.author, "unrecorded")
        records = here.author._records
        with records.step():
            for name, _ in records.items("sent", dict[str, Any]):
                records.delete("sent", name)
        await says(here, here.author, "recorded")
        await here.author.grant("marquee", here.terms(history=date))
        await here.partner.poll()
        assert await openable(here, here.partner) == ["recorded"]
        tempo = await here.add_partner("tempo")
        await here.author.grant("tempo", here.terms(history=date - 60_000))
        await tempo.poll()
        assert await openable(here, tempo) == ["before", "recorded", "unrecorded"]


async def test_a_closed_room_and_a_grant_without_history_share_no_older_words(tmp_path: Path) -> None:
    """Nothing older without consent to it; nothing in a closed room before it is open again."""
    async with stage(tmp_path) as here:
        date = await date_after(here)
        await says(here, here.author, "older")
        await here.author.grant("marquee", here.terms())
        await here.partner.poll()
        assert await openable(here, here.partner) == []
        await here.correspondent.close_room(here.room_id)
        await here.author.sync()
        await here.author.grant("marquee", here.terms(history=date))
        await here.partner.poll()
        assert await openable(here, here.partner) == []
        await here.correspondent.close_room(here.room_id, closed=False)
        await here.author.sync()
        await here.partner.poll()
        assert await openable(here, here.partner) == ["older"]


async def test_a_platform_that_serves_more_than_the_date_gives_away_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Times are the device's: a platform that serves the words of before as well serves what stays closed."""
    async with stage(tmp_path) as here:
        await says(here, here.author, "before")
        date = await date_after(here)
        await says(here, here.author, "older")
        monkeypatch.setattr(Source, "opens", lambda *_: True)
        await here.author.grant("marquee", here.terms(history=date))
        changes = await now(here.partner)
        assert said(changes) == ["made", "not-granted", "older"]
        assert await openable(here, here.partner) == ["older"]


async def test_messages_gives_the_same_and_the_stream_does_not_repeat_it(tmp_path: Path) -> None:
    """Whoever reads a room at once is not handed its older words again."""
    async with stage(tmp_path) as here:
        date = await date_after(here)
        await says(here, here.author, "older")
        await here.author.grant("marquee", here.terms(history=date))
        await says(here, here.author, "new")
        await here.partner.poll()
        page = await here.partner.messages(here.room_id, PURPOSE)
        assert [message.body for message in page.messages] == ["older", "new"]
        assert said(await now(here.partner)) == ["made", "new"], "what was read before is not handed out as older"
