"""What changed from one document to the next, field by field, for people and in JSON."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

MAX_WORDS = 250
"""Longer texts are shown whole, before and after: comparing word by word may take the square of their length."""
_ABSENT: Any = object()
_WORDS = re.compile(r"\S+\s*|\s+")


@dataclass(frozen=True, slots=True)
class Change:
    """One field that is not what it was. `path` leads to it from the document.

    `kind` is `added`, `removed` or `changed`; `before` and `after` are its values (None where there is none). For a
    list, `removed` and `added` hold the items that went and came; both empty: the same in another order. For a text,
    `words` holds runs of (`same`, `removed` or `added`, text), where both have words in common.
    """

    path: tuple[str, ...]
    kind: str
    before: Any = None
    after: Any = None
    removed: tuple[Any, ...] | None = None
    added: tuple[Any, ...] | None = None
    words: tuple[tuple[str, str], ...] | None = None

    @property
    def rendered(self) -> dict[str, Any]:
        """As JSON, without the members that say nothing about this kind of change."""
        made: dict[str, Any] = {"field": ".".join(self.path), "change": self.kind}
        if self.kind != "added":
            made["before"] = self.before
        if self.kind != "removed":
            made["after"] = self.after
        if self.added is not None and self.removed is not None:
            made |= {"items_removed": list(self.removed), "items_added": list(self.added)}
        if self.words is not None:
            made["words"] = [{"change": change, "text": text} for change, text in self.words]
        return made


def differences(before: Mapping[str, Any], after: Mapping[str, Any], *, without: Sequence[str] = ()) -> list[Change]:
    """Every field that differs, in the order of the newer document; `without` names top-level fields to leave out."""
    kept = [{name: value for name, value in side.items() if name not in without} for side in (before, after)]
    return list(_of_objects((), *kept))


def _of_objects(path: tuple[str, ...], before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    for name in [*after, *(name for name in before if name not in after)]:
        yield from _of_values((*path, name), before.get(name, _ABSENT), after.get(name, _ABSENT))


def _of_values(path: tuple[str, ...], before: Any, after: Any) -> Iterator[Change]:
    if _same(before, after):
        return
    if before is _ABSENT:
        yield Change(path, "added", after=after)
    elif after is _ABSENT:
        yield Change(path, "removed", before=before)
    elif isinstance(before, Mapping) and isinstance(after, Mapping):
        yield from _of_objects(path, before, after)
    elif isinstance(before, list) and isinstance(after, list):
        gone, come = _items(before, after), _items(after, before)
        yield Change(path, "changed", before, after, removed=gone, added=come)
    elif isinstance(before, str) and isinstance(after, str):
        yield Change(path, "changed", before, after, words=_words(before, after))
    else:
        yield Change(path, "changed", before, after)


def _same(before: Any, after: Any) -> bool:
    """Equal as JSON is: 1 is not true."""
    if isinstance(before, bool) != isinstance(after, bool):
        return False
    if isinstance(before, list) and isinstance(after, list):
        return len(before) == len(after) and all(map(_same, before, after))
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return before.keys() == after.keys() and all(_same(before[name], after[name]) for name in before)
    return bool(before == after)


def _items(these: Sequence[Any], others: Sequence[Any]) -> tuple[Any, ...]:
    """The items of `these` that `others` lacks, each as often as it is missing."""
    spare, found = Counter(map(repr, others)), []
    for item in these:
        if spare[repr(item)]:
            spare[repr(item)] -= 1
        else:
            found.append(item)
    return tuple(found)


def _words(before: str, after: str) -> tuple[tuple[str, str], ...] | None:
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    if max(len(old), len(new)) > MAX_WORDS:
        return None
    runs: list[tuple[str, str]] = []
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            runs.append(("same", "".join(old[i1:i2])))
            continue
        runs += [("removed", "".join(old[i1:i2]))] if i1 < i2 else []
        runs += [("added", "".join(new[j1:j2]))] if j1 < j2 else []
    return tuple(runs) if any(change == "same" for change, _ in runs) else None
