"""What a partner's read costs: platform and SDK together, receipts and decryption included, with few grants and many.

Everything runs in this process: the whole application without sockets, the SDK's partner with its store on disk. So its
processor time is that of both sides (and of the log and its witness, which take in the accesses meanwhile). Each round
reads the same words with a copy of the partner's store from before they were read.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.databases import Databases
from bench.figures import Limit, Outcome, Plan
from paraph.sdk import GrantTerms, MessageChange, Partner, Person, SqliteStore
from paraph.server.inbox.changes import Ask, Place
from tests.sdk.stage import DAY, PURPOSE, VERBS, Stage, stage
from tests.support.partners import publish_agreement, register_partner

AUTHORS, TEXT = 10, "x" * 300
KEY = bytes(32)
FEW, MANY = 100, 100_000
BUDGET = 5000
FLAT = 1.25


@dataclass(frozen=True)
class Read:
    """One pass over all words: processor seconds, those of the platform's side, seconds, words opened, answers."""

    cpu: float
    platform: float
    wall: float
    words: int
    answers: int


async def inbox(plan: Plan, _databases: Databases) -> Outcome:
    """A stream over few grants, then over many more that say nothing; then with short answers."""
    few, many = (10, 200) if plan.quick else (FEW, MANY)
    words = 200 if plan.quick else 5000
    figures: dict[str, Any] = {}
    async with stage(plan.directory / "inbox") as here:
        setting = _Setting(here, plan.directory / "partner")
        await setting.set()
        for name, grants, limit in (("few", few, 500), ("many", many, 500), ("short", many, 10)):
            await setting.grow_to(grants)
            if name != "short":
                await setting.speak(words)
            reads = [await setting.read(limit, words) for _ in range(plan.rounds)]
            figures[name] = _figures(reads, grants, limit)
            plan.say(f"{grants:,} grants, answers of {limit}: {figures[name]['per_second']:,.0f} messages/s and core")
    flat = figures["many"]["cpu_us"] / figures["few"]["cpu_us"]
    return Outcome(
        f"{words:,} words by {AUTHORS} authors, median of rounds: {plan.rounds}",
        [("", "CPU µs/message", "of it the platform", "messages/s and core", "requests"), *map(_row, figures.values())],
        [
            Limit("messages/s and core, server and SDK", figures["many"]["per_second"], BUDGET, at_least=True),
            Limit(f"CPU with {many:,} grants over that with {few:,}", flat, FLAT),
        ],
        figures | {"flat": flat},
        sum(words - figures[name]["words"] for name in figures),
        notes=["With answers of 10 messages by 10 authors there is one access entry, and one receipt, per message."],
    )


class _Setting:
    """Authors who grant everything, a partner that knows them, and words that it has not read."""

    def __init__(self, here: Stage, path: Path) -> None:
        self._here = here
        self._path = path
        self._grants = AUTHORS
        self._copies = 0
        self._state = ""

    async def set(self) -> None:
        """People and the partner, who has read the grants."""
        here = self._here
        partner = Partner.create(
            here.server.settings.base_url,
            "reader",
            "localhost",
            store=SqliteStore.open(self._path, key=KEY),
            transport=here.transport(),
            now=here.now,
        )
        await register_partner(here.http, here.operator, partner)
        await publish_agreement(here.http, here.operator, partner, here.server, verbs=VERBS)
        await partner.publish_device()
        self._authors = [await here.person(f"bench{n}") for n in range(AUTHORS)]
        self._rooms = [await self._granting(author) for author in self._authors]
        async for _ in partner.changes(PURPOSE, timeout_ms=0):
            pass
        await partner.close()

    async def _granting(self, author: Person) -> str:
        room_id = await author.create_room()
        await author.enrol()
        await author.grant("reader", GrantTerms([PURPOSE], self._here.now() + 20 * DAY))
        return room_id

    async def grow_to(self, grants: int) -> None:
        """More grants to the partner by people who say nothing, each with its place in the stream."""
        more = range(self._grants, grants)
        self._grants = max(self._grants, grants)

        def write(tx: Any) -> None:
            row = tx.row("SELECT * FROM consent_grants WHERE partner = 'reader' LIMIT 1")
            names = [column[1] for column in tx.rows("PRAGMA table_info(consent_grants)")]
            made = [
                dict(zip(names, row, strict=True))
                | {"grant_id": f"gr_idle{n:017d}", "person": f"@idle{n}:localhost", "seq": tx.next_position()}
                for n in more
            ]
            slots = ", ".join(f":{name}" for name in names)
            tx.run_many(f"INSERT INTO consent_grants ({', '.join(names)}) VALUES ({slots})", made)
            tx.run_many(
                "INSERT INTO feed_rows (partner, position, grant_id, kind, person, about)"
                """ VALUES ('reader', :seq, :grant_id, 'grant', :person, '{"what":"made"}')""",
                [{name: one[name] for name in ("seq", "grant_id", "person")} for one in made],
            )
            tx.run_many(
                "INSERT INTO feed_running (grant_id, partner, person, until)"
                " VALUES (:grant_id, 'reader', :person, :until)",
                [{name: one[name] for name in ("grant_id", "person", "until")} for one in made],
            )

        await self._here.server.database.write(write)

    async def speak(self, words: int) -> None:
        """Words that the partner has the keys of and has not read, behind everything that there was."""
        place = Place(self._here.server.database.position)
        self._state = self._here.server.inbox.changes.states.made(Ask("reader", PURPOSE, None, place, 1), place)
        for n in range(words):
            await self._authors[n % AUTHORS].send_text(self._rooms[n % AUTHORS], TEXT)
        partner = self._open(self._path)
        while (await partner.poll(limit=500)).late:
            pass
        await partner.close()

    def _open(self, path: Path) -> Partner:
        store = SqliteStore.open(path, key=KEY)
        return Partner.open(store, transport=self._here.transport(), now=self._here.now)

    async def read(self, limit: int, expected: int) -> Read:
        """Read every word once, with a store that never saw them."""
        self._copies += 1
        copy = self._path.with_name(f"reading{self._copies}")
        shutil.copyfile(self._path, copy)
        partner, app = self._open(copy), self._here.between._app
        await partner.poll()
        timed = app.app = Timed(app.app)
        words, cpu, wall = 0, time.process_time(), time.perf_counter()
        async for change in partner.changes(PURPOSE, state=self._state, timeout_ms=0, limit=limit):
            if isinstance(change, MessageChange):
                words += change.message.body == TEXT
                if words == expected:
                    break
        found = Read(time.process_time() - cpu, timed.cpu, time.perf_counter() - wall, words, timed.calls)
        app.app = timed.app
        await partner.close()
        copy.unlink()
        return found


class Timed:
    """The application, with a clock on the processor time that passes while it answers."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.cpu = 0.0
        self.calls = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        before = time.process_time()
        await self.app(scope, receive, send)
        self.cpu += time.process_time() - before
        self.calls += 1


def _figures(reads: list[Read], grants: int, limit: int) -> dict[str, Any]:
    cpu = median(one.cpu / one.words for one in reads)
    return {
        "grants": grants,
        "limit": limit,
        "cpu_us": 1e6 * cpu,
        "platform_us": 1e6 * median(one.platform / one.words for one in reads),
        "per_second": 1 / cpu,
        "words": min(one.words for one in reads),
        "answers": reads[0].answers,
        "wall_per_second": median(one.words / one.wall for one in reads),
    }


def _row(figures: dict[str, Any]) -> tuple[str, ...]:
    name = f"{figures['grants']:,} grants, answers of {figures['limit']}"
    cpu, platform = f"{figures['cpu_us']:.0f}", f"{figures['platform_us']:.0f}"
    return name, cpu, platform, f"{figures['per_second']:,.0f}", str(figures["answers"])
