"""Two partners on one platform: neither can see, infer or exhaust the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from paraph.sdk import DraftError, MessageChange, Partner, ProblemError
from tests.sandbox.support import PURPOSE, RunningSandbox, device, program

pytestmark = pytest.mark.slow

TEMPO = Path(__file__).resolve().parent.parent.parent / "examples" / "tempo" / "tempo.py"
BURST = 100


@dataclass
class Two:
    """Devices of both partners, with the grant and the room of each."""

    films: Partner
    music: Partner
    films_grant: str
    music_grant: str
    films_room: str
    music_room: str


@pytest_asyncio.fixture
async def two(sandbox: RunningSandbox) -> AsyncIterator[Two]:
    """Scope reads about films, Tempo about music; the author talks with the same person about both."""
    sandbox.say("about a film", room="films")
    sandbox.say("about a song", room="music")
    async with device(sandbox.file("scope")) as films, device(sandbox.file("tempo")) as music:
        (films_grant,), (music_grant,) = await films.grants(), await music.grants()
        rooms = sandbox.said["rooms"]
        yield Two(films, music, films_grant, music_grant, rooms["films"], rooms["music"])


async def refusal(call: Any) -> tuple[int, str]:
    """Status and kind of what the platform refuses."""
    with pytest.raises(ProblemError) as refused:
        await call
    return refused.value.status, refused.value.kind.rpartition(":")[2]


async def heard(partner: Partner) -> list[str | None]:
    """All words that the partner opens."""
    stream = partner.changes(PURPOSE, timeout_ms=1_000)
    return [change.message.body async for change in stream if isinstance(change, MessageChange)]


def test_tempo_runs_beside_the_other(sandbox: RunningSandbox) -> None:
    """The program as it stands: it hears of music alone, proposes a playlist, and her device sends it."""
    for piece in ("Clair de lune", "Boléro", "Gymnopédie"):
        sandbox.say(f'I have "{piece}" on repeat today.', room="music")
        sandbox.say(f'I have "{piece}" on repeat too.', room="music", speaker="correspondent")
        sandbox.say(f'A film with "{piece}" on repeat.', room="films")
    done = program(TEMPO, sandbox.file("tempo"), "4000")
    assert done.returncode == 0, done.stderr
    steps = [line.partition(": ")[2] for line in done.stdout.splitlines()]
    assert (steps[0], steps.count("proposed"), steps[-1]) == ("proposed", 1, "sealed")


async def test_words_and_rooms(two: Two) -> None:
    """Each has its own room and the author's words there, and nothing of the other's."""
    assert [room.room_id for room in await two.films.rooms()] == [two.films_room]
    assert [room.room_id for room in await two.music.rooms()] == [two.music_room]
    films, music = await heard(two.films), await heard(two.music)
    assert "about a film" in films
    assert "about a song" not in films
    assert "about a film" not in music


async def test_the_others_room_is_refused_like_one_that_there_is_not(two: Two) -> None:
    """Whether a room exists, and whether anybody reads in it, cannot be told from the refusal."""
    nowhere = await refusal(two.music.messages("!nowhere:localhost", PURPOSE))
    assert await refusal(two.music.messages(two.films_room, PURPOSE)) == nowhere == (403, "not-granted")


async def test_the_others_grant_is_refused_like_one_that_there_is_not(two: Two) -> None:
    """Grants, the metadata under them and drafts: known to their own partner alone."""
    unknown = "gr_" + "A" * 22
    assert await refusal(two.music.metadata(two.films_grant, PURPOSE)) == await refusal(
        two.music.metadata(unknown, PURPOSE)
    )
    assert await two.music.grants(two.films_grant) == await two.music.grants(unknown) == []
    with pytest.raises(DraftError):
        await two.music.draft(two.films_grant, two.films_room, "hello")
    draft_id = await two.films.draft(two.films_grant, two.films_room, "Friday?")
    nothing = await refusal(two.music.draft_status("dr_" + "A" * 22))
    assert await refusal(two.music.draft_status(draft_id)) == nothing == (404, "no-such-draft")
    assert await refusal(two.music.withdraw(draft_id)) == nothing


async def test_the_others_keys_and_places_are_of_no_use(two: Two) -> None:
    """Key events of the other's device are refused; its place in a room opens nothing here."""
    events = two.music.auth.call("GET", "/inbox/v1/key-events", params={"device_id": two.films.device_id})
    never = two.music.auth.call("GET", "/inbox/v1/key-events", params={"device_id": "NEVERTHERE"})
    assert await refusal(events) == await refusal(never) == (404, "no-such-device")
    place = (await two.films.messages(two.films_room, PURPOSE)).next
    assert place is not None
    assert (await refusal(two.music.messages(two.music_room, PURPOSE, since=place)))[0] == 400
    held = {session.session_id for session in two.music.engine.inbound.all()}
    assert held.isdisjoint(session.session_id for session in two.films.engine.inbound.all())


async def test_receipts_name_nobody_else(two: Two) -> None:
    """The entries that come with an answer are of one's own reads."""
    for partner, room_id in ((two.films, two.films_room), (two.music, two.music_room)):
        accesses = (await partner.messages(room_id, PURPOSE)).accesses
        assert accesses
        assert {entry.partner for entry in accesses} == {partner.slug}


async def test_the_same_person_has_another_name_for_each(two: Two) -> None:
    """The correspondent of both rooms cannot be recognised by putting two partners' answers side by side."""
    (films,) = await two.films.metadata(two.films_grant, PURPOSE)
    (music,) = await two.music.metadata(two.music_grant, PURPOSE)
    assert (len(films.correspondents), len(music.correspondents)) == (1, 1)
    assert set(films.correspondents).isdisjoint(music.correspondents)


async def test_the_limits_of_one_are_not_the_others(two: Two, sandbox: RunningSandbox) -> None:
    """One partner asks until it is told to wait; the other one is answered at once."""
    await two.films.rooms()
    await two.music.rooms()
    answers: list[int] = []
    async with httpx.AsyncClient(base_url=sandbox.said["url"], timeout=30) as http:

        async def ask(partner: Partner) -> int:
            url = "/inbox/v1/device-keys"
            answer = await http.post(
                url, json={"device_id": partner.device_id}, headers=partner.auth.prove("POST", url)
            )
            return answer.status_code

        for _ in range(6 * BURST // 10):
            answers += await asyncio.gather(*(ask(two.music) for _ in range(10)))
            if 429 in answers:
                break
        assert 429 in answers
        assert await ask(two.films) != 429
    assert [room.room_id for room in await two.films.rooms()] == [two.films_room]
