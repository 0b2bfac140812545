"""A partner's stream beside everything that can happen meanwhile: revocations, narrowings, other processes, kill -9."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from paraph.cli.demo.people import Operator, partner
from paraph.sdk import Change, GrantChange, MessageChange, Partner, Person, SdkError, Withheld
from paraph.sdk.clock import system_time
from paraph.sdk.person.consent import GrantTerms
from tests.conftest import StartServer
from tests.server.ledger.support import until
from tests.server.test_processes import PROMPTLY, Pair, pair
from tests.support.databases import runs_writes_once
from tests.support.matrix import PASSWORD
from tests.support.server import RunningServer

__all__ = ["pair"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

DAY = 86_400_000
PURPOSE = "films"


@dataclass
class Following:
    """A partner that follows its stream; what it was handed, as it came."""

    reader: Partner
    changes: list[Change] = field(default_factory=list)

    async def run(self) -> None:
        """Follow for ever; when the platform cannot be reached, once more."""
        while True:
            try:
                async for change in self.reader.changes(PURPOSE):
                    self.changes.append(change)
            except SdkError:
                await asyncio.sleep(0.1)

    @property
    def opened(self) -> list[str]:
        """Ids of the messages that came open, in order."""
        found = [change for change in self.changes if isinstance(change, MessageChange) and change.state == "open"]
        return [change.message.event_id for change in found]

    def became(self, what: str, grant_id: str) -> bool:
        """Whether the stream has said this of a grant."""
        told = [change for change in self.changes if isinstance(change, GrantChange)]
        return any((change.what, change.grant_id) == (what, grant_id) for change in told)


@asynccontextmanager
async def cast(server: RunningServer, at: str, folder: Path) -> AsyncIterator[tuple[Person, str, Following]]:
    """An author on `server` with a room, and a partner that follows its stream at the URL `at`."""
    operator = Operator(server.data)
    reader = await partner(at, "marquee", "Marquee", operator, folder)
    document = operator.draft("marquee", purposes=[PURPOSE])
    operator.publish(reader.sign_document(operator.sign(document)))
    await reader.publish_device()
    author = await Person.register(server.url, "author", PASSWORD)
    following = Following(reader)
    task = asyncio.create_task(following.run())
    try:
        await author.enrol()
        yield author, await author.create_room([]), following
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await author.close()
        await reader.close()


async def grant(author: Person, *rooms: str) -> str:
    """Let the partner read in these rooms."""
    terms = GrantTerms([PURPOSE], system_time() + DAY, list(rooms))
    return (await author.grant("marquee", terms)).grant.grant_id


async def accesses_lie_within_grants(author: Person) -> None:
    """No access entry of a grant stands behind its revocation, in the order of the author's own list."""
    over = set()
    for entry in await author.entries():
        if entry.kind == "revoke":
            over.add(entry.body["revocation"]["grant_id"])
        assert entry.kind != "access" or entry.body["grant_id"] not in over


async def test_across_processes_each_word_comes_once_and_none_after_its_revocation(pair: Pair, tmp_path: Path) -> None:
    """Words and revocations through A while the partner follows in B: woken at once, in order, never after the fact."""
    async with cast(pair.first, pair.second.url, tmp_path / "marquee") as (author, room_id, following):
        took, sent, withheld = [], [], 0
        for n in range(6):
            grant_id = await grant(author, room_id)
            await until(lambda grant_id=grant_id: following.became("made", grant_id))  # type: ignore[misc]
            for m in range(4):
                sent.append(await author.send_text(room_id, f"{n}.{m}"))
                if n % 2 == 0:
                    acknowledged = time.monotonic()
                    await until(lambda: sent[-1] in following.opened)
                    took.append(time.monotonic() - acknowledged)
            await author.revoke(grant_id)
            await until(lambda grant_id=grant_id: following.became("revoked", grant_id))  # type: ignore[misc]
            after = await author.send_text(room_id, "after")
            assert after not in following.opened
        withheld = sum(isinstance(change, Withheld) for change in following.changes)
        print(f"word to partner: median {sorted(took)[len(took) // 2] * 1000:.0f} ms, withheld {withheld}")  # noqa: T201
        assert max(took) < 2 * PROMPTLY
        opened = following.opened
        assert opened == [event_id for event_id in sent if event_id in set(opened)], "in order, none twice"
        whole = {event_id for n, event_id in enumerate(sent) if n // 4 % 2 == 0}
        assert whole <= set(opened)
        assert withheld > 0 or set(opened) == set(sent), "nothing is left out in silence"
        await accesses_lie_within_grants(author)


@runs_writes_once
async def test_a_room_that_is_dropped_while_the_partner_waits_is_served_no_more(
    start_server: StartServer, tmp_path: Path, dialect: str
) -> None:
    """The poll that stood before the narrowing decides by the grants of after it."""
    server = start_server()
    async with cast(server, server.url, tmp_path / "marquee") as (author, room_id, following):
        elsewhere = await author.create_room([])
        grant_id = await grant(author, room_id, elsewhere)
        await until(lambda: following.became("made", grant_id))
        await asyncio.sleep(0.2)  # the partner is in its long poll
        await author._consent.amend(grant_id, {"op": "drop_rooms", "rooms": [room_id]})
        dropped = await author.send_text(room_id, "dropped")
        kept = await author.send_text(elsewhere, "kept")
        await until(lambda: kept in following.opened)
        assert dropped not in following.opened
        assert following.became("amended", grant_id)
        entries = [entry.body for entry in await author.entries() if entry.kind == "access"]
        assert [event_id for body in entries for event_id in body["event_ids"]] == [kept]


@runs_writes_once
async def test_kill_9_of_the_platform_loses_nothing_and_repeats_nothing(
    start_server: StartServer, tmp_path: Path, dialect: str
) -> None:
    """Killed while the partner follows and the author speaks: after the start the stream goes on where it was."""
    server = start_server()
    async with cast(server, server.url, tmp_path / "marquee") as (author, room_id, following):
        await grant(author, room_id)
        sent = []
        for n in range(30):
            if n % 10 == 5:
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.start)
            while True:
                try:
                    sent.append(await author.send_text(room_id, str(n), txn_id=f"word{n}"))
                    break
                except SdkError:
                    await asyncio.sleep(0.1)
        await until(lambda: set(following.opened) >= set(sent))
        assert following.opened == sent
        assert not [event_id for event_id, times in Counter(following.opened).items() if times > 1]
        recorded = [
            event_id
            for entry in await author.entries()
            if entry.kind == "access"
            for event_id in entry.body["event_ids"]
        ]
        assert set(recorded) == set(sent)
