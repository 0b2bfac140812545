"""What the sandbox's people say when nobody tells them: remarks about films, music and nothing much."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

AUTHOR, CORRESPONDENT = "author", "correspondent"
FILMS, MUSIC, PRIVATE = "films", "music", "between us"
ROOMS = (FILMS, MUSIC, PRIVATE)
PRIVATE_EVERY = 3

_THINGS = {
    FILMS: ("The Third Man", "Metropolis", "City Lights", "Nosferatu", "The General", "Sunrise"),
    MUSIC: ("Clair de lune", "The Entertainer", "Boléro", "The Lark Ascending", "Gymnopédie", "Maple Leaf Rag"),
    PRIVATE: ("the dentist", "my rent", "the job interview", "her birthday"),
}
_SAYS = {
    FILMS: ('I could watch "{}" again tonight.', 'Not "{}", please. The ending is too sad.'),
    MUSIC: ('I have "{}" on repeat today.', 'I never got on with "{}".'),
    PRIVATE: ("I keep thinking about {}.", "Do not worry about {}."),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One message: where, by whom, what."""

    room: str
    speaker: str
    text: str


def lines() -> Iterator[Line]:
    """Remarks without end, each by the author and then answered by the correspondent; mostly not of private matters."""
    for turn in count():
        for room in ROOMS if turn % PRIVATE_EVERY == 0 else (FILMS, MUSIC):
            thing = _THINGS[room][turn % len(_THINGS[room])]
            for speaker, form in zip((AUTHOR, CORRESPONDENT), _SAYS[room], strict=True):
                yield Line(room, speaker, form.format(thing))
