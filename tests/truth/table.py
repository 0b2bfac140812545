"""The table for people: a row for each change and group of verbs, a sign for each time at which something is said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.truth.model import (
    AUTHOR,
    CHANGES,
    CORRESPONDENT,
    DRAFTS,
    NEVER,
    OTHER,
    TALKED,
    THEIRS,
    VERBS,
    Kind,
    Step,
    Word,
    design,
    has_key,
    times,
)

OPENS, CLOSED, NOTHING, CLEAR = "●", "·", " ", "–"
LEGEND = (
    f"`{OPENS}` opens, `{CLOSED}` stays closed, `{CLEAR}` no ciphertext (a reaction stands in clear, what was redacted"
    " is gone), blank: nothing is said then."
)
COLUMNS: tuple[tuple[str, str, Kind], ...] = (
    *((kind.value, TALKED, kind) for kind in Kind),
    ("another granted room", OTHER, Kind.TEXT),
    ("a room never granted", NEVER, Kind.TEXT),
)


def expected(change: str, verb: str) -> tuple[frozenset[Word], frozenset[Word]]:
    """What is said in a row, and what of it opens by the design."""
    model, drafting = design(change, verb), design(change, DRAFTS)
    speaker = CORRESPONDENT if change == THEIRS else AUTHOR
    steps: list[Step | None] = [None, None, Step.GRANT, *CHANGES[change]]
    for time, step in enumerate(steps):
        for one in (model, drafting) if step is not None else ():
            one.step(step)  # type: ignore[arg-type]
        for _, room, kind in COLUMNS:
            if (kind is not Kind.DRAFT or drafting.covers(room)) and speaker_says(speaker, room, kind):
                model.say(Word(time, room, speaker, kind))
    return frozenset(model.said), frozenset(model.opens)


def speaker_says(speaker: str, room: str, kind: Kind) -> bool:
    """A correspondent speaks in one room, and seals no drafts."""
    return speaker == AUTHOR or (room == TALKED and kind is not Kind.DRAFT)


def cells(change: str, said: Iterable[Word], opens: Iterable[Word]) -> list[str]:
    """A row: for each column a sign for each time."""
    said, opens = set(said), set(opens)
    return [
        "".join(_sign([w for w in said if (w.time, w.room, w.kind) == (time, room, kind)], opens) for time in range(n))
        for n in [len(times(change))]
        for _, room, kind in COLUMNS
    ]


def _sign(words: Sequence[Word], opens: set[Word]) -> str:
    if not words:
        return NOTHING
    if not has_key(words[0].kind):
        return CLEAR
    return OPENS if any(word in opens for word in words) else CLOSED


def rows() -> list[tuple[str, str, list[str]]]:
    """By the design: change, the verbs for which it is so, cells."""
    made: list[tuple[str, str, list[str]]] = []
    for change in CHANGES:
        groups: dict[tuple[str, ...], list[str]] = {}
        for verb in VERBS:
            groups.setdefault(tuple(cells(change, *expected(change, verb))), []).append(verb)
        made += [(change, "; ".join(verbs), list(row)) for row, verbs in groups.items()]
    return made


def markdown() -> str:
    """The rows in which anything opens; kinds and verbs for which all is the same stand together."""
    columns = grouped([row for _, _, row in rows()])
    lines = ["| change | said | verbs | " + " | ".join(name for name, _ in columns) + " |"]
    lines.append("|---" * (3 + len(columns)) + "|")
    for change, verbs, row in rows():
        if not any(OPENS in cell for cell in row):
            continue
        told = " → ".join(times(change)[3:]) or "-"
        lines.append(f"| {change} | {told} | {verbs} | " + " | ".join(f"`{row[at]}`" for _, at in columns) + " |")
    return "\n".join(lines)


def grouped(made: list[list[str]]) -> list[tuple[str, int]]:
    """Columns that say the same in every row, under one name, with the place of the first of them."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for at in range(len(COLUMNS)):
        groups.setdefault(tuple(row[at] for row in made), []).append(at)
    return [(", ".join(COLUMNS[at][0] for at in group), group[0]) for group in groups.values()]
