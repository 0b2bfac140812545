"""The corpus before Go's golang.org/x/mod, where the formats overlap: nothing that Go refuses is accepted here.

What Go accepts and we refuse are second spellings of what both accept: x/mod 0.40 skips line ends within base64, takes
any bits where its padding begins, takes upper-case hex in a key id, and looks at a key's first signature only.
"""

import base64
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import pytest

from paraph.tlog import note
from tests.corpus.honest import LOG
from tests.corpus.structure import Structure
from tests.corpus.structures import ALL
from tests.tlog.sumdb import ask

pytestmark = pytest.mark.slow

LARGEST = 2**62
"""x/mod does not come back from larger sizes: its `maxpow2` overflows."""
Question = Callable[[Any], Any]


class Compared(NamedTuple):
    """Mutants that one side alone accepts, and how many both were asked about."""

    only_we: list[Any]
    only_go: list[tuple[str, Any]]
    asked: int


def compare(names: Iterable[str], kind: str, question: Question, ours: Callable[[Any], bool] | None = None) -> Compared:
    """Ask Go about every mutant of structures whose names begin so; a question of None is not asked."""
    structures = [item for item in ALL if item.name.startswith(tuple(names))]
    cases = [(item, mutant) for item in structures for mutant in item.cases() if question(mutant.data) is not None]
    verdicts = ask(**{kind: [question(mutant.data) for _, mutant in cases]})[kind]
    found = Compared([], [], len(cases))
    for (item, mutant), refusal in zip(cases, verdicts, strict=True):
        accepted = _accepts(item, mutant.data) if ours is None else ours(mutant.data)
        if accepted and refusal:
            found.only_we.append(mutant.data)
        elif not accepted and not refusal:
            found.only_go.append((mutant.mutation, mutant.data))
    return found


def _accepts(structure: Structure, data: Any) -> bool:
    try:
        structure.read(data)
    except structure.errors:
        return False
    return True


def _opens(data: bytes) -> bool:
    """Whether we open a note with the log's key alone, as Go does."""
    try:
        note.open(data, [LOG.verifier])
    except note.NoteError:
        return False
    return True


def _reencoded(encoded: bytes) -> bytes:
    return base64.b64encode(base64.b64decode(encoded))


def test_notes() -> None:
    """x/mod opens no note that we refuse, once its base64 is in its only spelling; a key's second signature aside."""
    found = compare(
        ["signed note", "signed checkpoint", "cosigned checkpoint under"],
        "Notes",
        lambda data: {"Note": data, "Vkeys": [LOG.vkey]},
        _opens,
    )
    assert found.only_we == []
    assert found.asked > 10_000
    second = [data for mutation, data in found.only_go if mutation == "forged: a good and a wrong one"]
    assert len(second) == 2
    for data in {data for _, data in found.only_go} - set(second):
        text, _, lines = data.rpartition(b"\n\n")
        words = [line.split(b" ") for line in lines.splitlines()]
        written = b"".join(b"%s %s %s\n" % (dash, name, _reencoded(encoded)) for dash, name, encoded in words)
        assert written != lines
        assert _opens(text + b"\n\n" + written)


@pytest.mark.parametrize(("name", "kind", "honest"), [("vkey", "Vkeys", LOG.vkey), ("skey", "Skeys", LOG.skey)])
def test_keys(name: str, kind: str, honest: str) -> None:
    """x/mod reads no key that we refuse, but for line ends within base64 and upper-case hex."""
    found = compare([name], kind, lambda data: data)
    assert found.only_we == []
    assert found.asked > 1000
    for _, data in found.only_go:
        secret = note.SECRET.encode() if honest.startswith(note.SECRET) else b""
        owner, identifier, encoded = data.removeprefix(secret).split(b"+", 2)
        assert secret + b"+".join([owner, identifier.lower(), _reencoded(encoded)]) == honest.encode() != data


def _hashes(*hashes: bytes) -> bool:
    """Whether Go can be asked: it knows hashes of 32 bytes only."""
    return all(len(item) == 32 for item in hashes)


def _inclusion(values: dict[str, Any]) -> dict[str, Any] | None:
    if not _hashes(values["root"], values["hash_of_leaf"], *values["proof"]) or abs(values["size"]) > LARGEST:
        return None
    if abs(values["index"]) > LARGEST:
        return None
    names = {"Proof": "proof", "Size": "size", "Root": "root", "Index": "index", "Hash": "hash_of_leaf"}
    return {go: values[name] for go, name in names.items()}


def _consistency(values: dict[str, Any]) -> dict[str, Any] | None:
    sizes = (values["old_size"], values["new_size"])
    if not _hashes(values["old_root"], values["new_root"], *values["proof"]) or max(map(abs, sizes)) > LARGEST:
        return None
    names = {"Proof": "proof", "NewSize": "new_size", "NewRoot": "new_root"}
    names |= {"OldSize": "old_size", "OldRoot": "old_root"}
    return {go: values[name] for go, name in names.items()}


def test_inclusion_proofs() -> None:
    """x/mod and we agree on every one."""
    found = compare(["inclusion proof"], "Records", _inclusion)
    assert (found.only_we, found.only_go) == ([], [])
    assert found.asked > 7000


def test_consistency_proofs() -> None:
    """x/mod and we agree on every one, but for proofs from the empty tree, which x/mod does not know."""
    found = compare(["consistency proof"], "Trees", _consistency)
    assert found.only_go == []
    assert all(values["old_size"] == 0 for values in found.only_we)
    assert found.asked > 10_000
