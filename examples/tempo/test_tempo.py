"""What Tempo makes of what it reads. No platform is needed: `python -m pytest test_tempo.py`."""

from collections.abc import AsyncIterator

import pytest
from tempo import Taste, Tempo

from paraph.sdk import Change, GrantChange, Message, MessageChange, ProblemError, Via

ROOM = "!room:example.org"


def said(text: str, grant_id: str = "gr_a", state: str = "open", via: Via | None = None) -> MessageChange:
    """A message by an author."""
    content = {"msgtype": "m.text", "body": text} if state == "open" else {}
    message = Message(ROOM, "$event", "@author:example.org", 1, "m.room.message", content, via=via)
    return MessageChange(grant_id, message, state)


def on_repeat(*pieces: str, grant_id: str = "gr_a") -> list[Change]:
    """An author who has these pieces on repeat."""
    return [said(f'I have "{piece}" on repeat', grant_id) for piece in pieces]


class Stream:
    """A partner as far as Tempo sees it: changes come, drafts go."""

    def __init__(self, *changes: Change, refuses: bool = False) -> None:
        self._changes = changes
        self._refuses = refuses
        self.drafts: list[tuple[str, str, str]] = []

    async def changes(self, purpose: str, *, timeout_ms: int | None) -> AsyncIterator[Change]:
        """What there is."""
        assert purpose == "recommendations"
        for change in self._changes:
            yield change

    async def draft(self, grant_id: str, room_id: str, text: str) -> str:
        """Take the draft, or refuse it as the platform does."""
        if self._refuses:
            raise ProblemError(403, "not-granted", "not granted")
        self.drafts.append((grant_id, room_id, text))
        return "dr_1"


async def played(*changes: Change, refuses: bool = False) -> tuple[Stream, Tempo]:
    """Tempo after these changes, and the partner that it spoke through."""
    stream = Stream(*changes, refuses=refuses)
    tempo = Tempo(stream, "recommendations")  # type: ignore[arg-type]
    await tempo.run(timeout_ms=0)
    return stream, tempo


def test_three_different_pieces_make_a_playlist_and_it_starts_over() -> None:
    """Each piece counts once, and only if it is loved."""
    taste = Taste()
    assert taste.hear('I have "Boléro" on repeat') is None
    assert taste.hear('still "Boléro" on repeat') is None
    assert taste.hear('I never got on with "Gymnopédie"') is None
    found = taste.hear('"Clair de lune" on repeat, and "The Entertainer" on repeat')
    assert found == 'My playlist of the day: "Boléro", "Clair de lune", "The Entertainer"'
    assert taste.pieces == []


async def test_it_proposes_to_the_author_whose_words_they_were() -> None:
    """The tastes of two authors are kept apart."""
    stream, _ = await played(*on_repeat("a", "b", grant_id="gr_a"), *on_repeat("c", "d", "e", grant_id="gr_b"))
    assert stream.drafts == [("gr_b", ROOM, 'My playlist of the day: "c", "d", "e"')]


async def test_what_it_proposed_itself_is_no_taste_of_hers() -> None:
    """Its own playlists, come back as messages, teach it nothing."""
    via = Via("tempo", "dr_1", confirmed=True)
    stream, tempo = await played(*[said(f'"{piece}" on repeat', via=via) for piece in "abc"])
    assert (stream.drafts, tempo.tastes) == ([], {})


async def test_closed_messages_are_left() -> None:
    """A message whose key has not come changes nothing."""
    stream, tempo = await played(*[said("", state="key-pending")] * 3)
    assert (stream.drafts, tempo.tastes) == ([], {})


@pytest.mark.parametrize(("what", "kept"), [("revoked", 0), ("expired", 0), ("ended", 0), ("paused", 1)])
async def test_it_forgets_with_the_grant(what: str, kept: int) -> None:
    """Nothing of a grant that is over stays; a pause is no end."""
    _, tempo = await played(*on_repeat("a", "b"), GrantChange("gr_a", "@author:example.org", what))
    assert len(tempo.tastes) == kept


async def test_a_refused_draft_is_no_reason_to_stop(capsys: pytest.CaptureFixture[str]) -> None:
    """The next one is tried all the same."""
    stream, _ = await played(*on_repeat("a", "b", "c"), *on_repeat("d", "e", "f"), refuses=True)
    assert stream.drafts == []
    assert capsys.readouterr().out.count("no playlist") == 2
