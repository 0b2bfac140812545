"""The sandbox's people: an author who grants and revokes, and a correspondent. They do what they are told, and chat."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TypeVar

from paraph.cli.sandbox.clock import Clock
from paraph.cli.sandbox.partners import PURPOSE, VERBS
from paraph.cli.sandbox.post import Post
from paraph.cli.sandbox.words import AUTHOR, CORRESPONDENT, ROOMS, Line, lines
from paraph.sdk import DraftRule, GrantTerms, Person, SqliteStore

T = TypeVar("T")

DRAFTS = ("seal", "decline", "wait")
RETENTION_DAYS, DRAFTS_PER_DAY = 7, 100
MINUTE_MS, DAY_MINUTES = 60_000, 24 * 60


class Unknown(Exception):
    """There is no such room, person, partner or grant in the sandbox."""


class People:
    """Author and correspondent, one device each, and their rooms. One thing happens at a time."""

    def __init__(self, author: Person, correspondent: Person, post: Post, now: Callable[[], int]) -> None:
        self._people = {AUTHOR: author, CORRESPONDENT: correspondent}
        self._author = author
        self._post = post
        self._now = now
        self._busy = asyncio.Lock()
        self._lines: Iterator[Line] = lines()
        self.rooms: dict[str, str] = {}
        """Ids by name."""
        self.grants: dict[str, list[str]] = {}
        """Ids of the grants that stand, by partner."""
        self.drafts = "seal"
        """What the author does with drafts, one of `DRAFTS`."""

    async def meet(self) -> None:
        """Make the rooms, and enrol both devices."""
        correspondent = self._people[CORRESPONDENT]
        for name in ROOMS:
            room_id = await self._author.create_room([correspondent.user_id], name)
            await correspondent.sync()
            await correspondent.join(room_id)
            self.rooms[name] = room_id
        await self._author.sync()
        for person in self._people.values():
            await person.enrol()

    async def chat(self) -> Line:
        """Say the next line of the conversation."""
        line = next(self._lines)
        await self.say(line.room, line.speaker, line.text)
        return line

    async def say(self, room: str, speaker: str, text: str) -> str:
        """Let somebody say something; returns the event id. Raises Unknown."""
        room_id, person = self._room(room), _of(self._people, speaker, "person")
        async with self._busy:
            return await person.send_text(room_id, text)

    async def catch_up(self) -> None:
        """Let both devices take in what is new; the author deals with drafts."""
        async with self._busy:
            for person in self._people.values():
                await person.sync()
            if self.drafts == "decline":
                for draft in await self._author.drafts.waiting():
                    await self._author.drafts.decline(draft.draft_id, "not today")

    async def grant(self, partner: str, rooms: list[str], minutes: int = 30 * DAY_MINUTES) -> str:
        """Let a partner use some rooms in every way that its agreement allows; returns the grant's id."""
        room_ids = [self._room(name) for name in rooms]
        terms = GrantTerms([PURPOSE], self._now() + minutes * MINUTE_MS, room_ids, VERBS, RETENTION_DAYS)
        async with self._busy:
            state = await self._author.grant(partner, terms)
            self._granted(partner, state.grant.grant_id)
            await self._author.sync()
        return state.grant.grant_id

    async def revoke(self, partner: str) -> list[str]:
        """Revoke every grant that stands for a partner; returns their ids."""
        async with self._busy:
            ended = self.grants.pop(partner, [])
            for grant_id in ended:
                await self._author.revoke(grant_id)
            self._set_rules()
        if not ended:
            raise Unknown(f"{partner} has no grant")
        return ended

    async def answer(self, link: str, *, decline: bool = False) -> str:
        """Answer what a partner asks the author for; returns the address for her browser."""
        async with self._busy:
            request = await self._author.consents(link)
            if decline:
                return await self._author.decline(request)
            done = await self._author.answer(request)
            self._granted(request.partner, done.grant.grant.grant_id)
            return done.redirect

    async def treat_drafts(self, how: str) -> None:
        """Seal drafts as they come, decline them, or let them wait."""
        if how not in DRAFTS:
            raise Unknown(f"no way {how!r} to treat drafts; there are {', '.join(DRAFTS)}")
        async with self._busy:
            self.drafts = how
            self._set_rules()
            await self._author.drafts.apply_rules()

    async def lose_keys(self) -> None:
        """From now on the author's messages are under new keys, which partners do not get."""
        async with self._busy:
            self._post.losing = True
            with self._author._records.step():
                for room_id in self.rooms.values():
                    self._author.engine.outbound.discard(room_id)

    async def find_keys(self) -> int:
        """Let the lost keys arrive; how many shares of keys there were."""
        async with self._busy:
            return await self._post.find()

    async def turn(self, clock: Clock, forward: int) -> int:
        """Let so many milliseconds pass while nobody does anything; the new time. Raises CannotTurn."""
        async with self._busy:
            return await clock.turn(forward)

    def _room(self, name: str) -> str:
        return _of(self.rooms, name, "room")

    def _granted(self, partner: str, grant_id: str) -> None:
        self.grants.setdefault(partner, []).append(grant_id)
        self._set_rules()

    def _set_rules(self) -> None:
        """Drafts for any room are sealed without asking; the grant bounds which there can be."""
        drafts = self._author.drafts
        for rule in drafts.rules():
            drafts.remove_rule(rule.partner)
        if self.drafts == "seal":
            for partner in self.grants:
                drafts.set_rule(DraftRule(partner, tuple(self.rooms.values()), DRAFTS_PER_DAY))


@contextlib.asynccontextmanager
async def people(url: str, folder: Path, now: Callable[[], int]) -> AsyncIterator[People]:
    """Author and correspondent on a platform, who have met, going by `now` (ms); their keys lie in `folder`."""
    async with contextlib.AsyncExitStack() as stack:
        post = Post(url)
        stack.push_async_callback(post.close)
        devices = []
        for name, transport in ((AUTHOR, post.transport()), (CORRESPONDENT, None)):
            store = SqliteStore.open(folder / f"{name}.keys", key=secrets.token_bytes(32))
            password = secrets.token_urlsafe(18)
            devices.append(await Person.register(url, name, password, store=store, transport=transport, now=now))
            stack.push_async_callback(devices[-1].close)
        made = People(devices[0], devices[1], post, now)
        await made.meet()
        yield made


def _of(known: dict[str, T], name: str, what: str) -> T:
    if name not in known:
        raise Unknown(f"no {what} {name!r} in the sandbox; there are {', '.join(map(repr, known))}")
    return known[name]
