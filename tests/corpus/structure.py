"""What the corpus knows about a structure, and the verdict over one mutant of it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any, NamedTuple


class Kind(Enum):
    """How a field is spelled, which says how it can be misspelled."""

    NUMBER = "decimal"
    BASE64 = "padded base64"
    BASE64URL = "unpadded base64url"
    HEX = "lower-case hex"
    RAW = "bytes"
    TEXT = "text"


class Field(NamedTuple):
    """A named part of the honest bytes, from `start` to before `end`."""

    name: str
    kind: Kind
    start: int
    end: int


class Mutant(NamedTuple):
    """A wrong form: what was done, and what came of it (bytes, or the values of a statement)."""

    mutation: str
    data: Any


def _no_other(_meaning: object, _data: object) -> bool:
    return False


@dataclass(frozen=True)
class Structure:
    """One structure, its honest form and who judges it.

    `read` gives a meaning or raises one of `errors`. A *verifier* accepts the honest meaning and no other. A *parser*
    may give a mutant another meaning: then `other(meaning, data)` says whether it had a right to, mostly whether the
    meaning is written back as exactly these bytes. `same` names the mutants that say the same in other bytes because
    the format has it so, and why; whatever else is accepted is a fault.
    """

    name: str
    honest: Any
    read: Callable[[Any], object]
    errors: tuple[type[Exception], ...]
    mutants: Callable[["Structure"], Iterator[Mutant]]
    fields: tuple[Field, ...] = ()
    other: Callable[[Any, Any], bool] = _no_other
    same: Mapping[str, str] = field(default_factory=dict)
    forged: Mapping[str, Any] = field(default_factory=dict)

    def cases(self) -> Iterator[Mutant]:
        """Each mutant that is not the honest form itself, the forgeries made with real keys included; each once."""
        seen = {repr(self.honest)}
        yielded = ((f"forged: {name}", data) for name, data in self.forged.items())
        for mutant in (*self.mutants(self), *(Mutant(*item) for item in yielded)):
            if (spelled := repr(mutant.data)) not in seen:
                seen.add(spelled)
                yield mutant


class Fault(NamedTuple):
    """A mutant that was accepted, or refused in a way that is not documented."""

    structure: str
    mutation: str
    verdict: str
    data: Any


@dataclass
class Tally:
    """How the cases of one structure ended."""

    refused: int = 0
    other: int = 0
    same: dict[str, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    @property
    def cases(self) -> int:
        """All of them."""
        return self.refused + self.other + sum(self.same.values()) + len(self.faults)


def judge(structure: Structure) -> Tally:
    """Put every mutant before the structure's reader."""
    meaning = structure.read(structure.honest)
    tally = Tally()
    for mutant in structure.cases():
        verdict = verdict_on(structure, meaning, mutant)
        if verdict == "refused":
            tally.refused += 1
        elif verdict == "other":
            tally.other += 1
        elif verdict in structure.same:
            tally.same[verdict] = tally.same.get(verdict, 0) + 1
        else:
            tally.faults.append(Fault(structure.name, mutant.mutation, verdict, mutant.data))
    return tally


def verdict_on(structure: Structure, honest: object, mutant: Mutant) -> str:
    """`refused`, `other`, the pattern in `same` that allows it, or what is wrong."""
    try:
        meaning = structure.read(mutant.data)
    except structure.errors:
        return "refused"
    except Exception as error:
        return f"raised {type(error).__name__}: {error}"
    if meaning != honest:
        return "other" if structure.other(meaning, mutant.data) else "accepted with another meaning"
    return next((p for p in structure.same if fnmatchcase(mutant.mutation, p)), "accepted in another spelling")
