"""Go's golang.org/x/mod judges our notes and proofs: an implementation that shares nothing with ours."""

from pathlib import Path
from typing import Any

import pytest

from paraph.tlog import checkpoint, note
from paraph.tlog.checkpoint import Checkpoint
from paraph.tlog.cosignature import CosignatureSigner
from tests.audit.logs import KEY, LogWriter, private
from tests.audit.logs import flip as flip_file
from tests.tlog.strategies import HASHES, LEAVES, LOG, OTHER, TREE, flip
from tests.tlog.sumdb import ask

pytestmark = pytest.mark.slow

SIZES = [1, 2, 3, 5, 8, 13, 255, 256, 257, 512, 700]


def test_go_opens_our_checkpoint() -> None:
    """note.Open takes our signed checkpoint, cosigned too, with our vkey; and refuses it damaged or under another."""
    text = Checkpoint(LOG.name, 700, TREE.root()).text
    signed = checkpoint.sign(Checkpoint(LOG.name, 700, TREE.root()), LOG)
    witness = CosignatureSigner("witness.example", bytes(32))
    cosigned = note.encode(text, [*note.parse(signed)[1], witness.cosign(text, 1_700_000_000)])
    notes = [
        {"Note": signed, "Vkeys": [LOG.vkey]},
        {"Note": cosigned, "Vkeys": [LOG.vkey]},
        {"Note": signed.replace(b"700", b"701"), "Vkeys": [LOG.vkey]},
        {"Note": signed, "Vkeys": [OTHER.vkey]},
    ]
    verdicts = ask(Notes=notes)["Notes"]
    assert verdicts[:2] == ["", ""]
    assert "invalid signature" in verdicts[2]
    assert "no verifiable signatures" in verdicts[3]


def test_we_open_gos_note() -> None:
    """Go, given our skey, signs what we would have signed."""
    signed = ask(Text="a text\n\nof Go's\n")["Signed"].encode()
    assert signed == note.sign("a text\n\nof Go's\n", [LOG])
    assert note.open(signed, [LOG.verifier]).text == "a text\n\nof Go's\n"


def test_go_checks_our_inclusion_proofs() -> None:
    """tlog.CheckRecord takes each true proof and refuses the same for another leaf or root."""
    true: list[dict[str, Any]] = [
        {
            "Proof": TREE.inclusion_proof(index, size),
            "Size": size,
            "Root": TREE.root(size),
            "Index": index,
            "Leaf": LEAVES[index],
        }
        for size in SIZES
        for index in sorted({0, size // 2, size - 1})
    ]
    false = [question | {"Leaf": b"forged"} for question in true]
    false += [question | {"Root": flip(question["Root"], 7)} for question in true]
    verdicts = ask(Records=true + false)["Records"]
    assert verdicts[: len(true)] == [""] * len(true)
    assert all(verdicts[len(true) :])
    assert len(verdicts) == 3 * len(true)


def test_go_checks_our_consistency_proofs() -> None:
    """tlog.CheckTree takes each true proof and refuses the same for a forked or later tree."""
    true: list[dict[str, Any]] = [
        {
            "Proof": TREE.consistency_proof(old, new),
            "NewSize": new,
            "NewRoot": TREE.root(new),
            "OldSize": old,
            "OldRoot": TREE.root(old),
        }
        for new in SIZES
        for old in SIZES
        if old <= new
    ]
    false = [question | {"OldRoot": flip(question["OldRoot"], 9)} for question in true]
    false += [question | {"NewRoot": HASHES[7]} for question in true]
    verdicts = ask(Trees=true + false)["Trees"]
    assert verdicts[: len(true)] == [""] * len(true)
    assert all(verdicts[len(true) :])
    assert len(verdicts) == 3 * len(true)


def test_go_reads_a_whole_log(tmp_path: Path) -> None:
    """x/mod's TileHashReader authenticates every record of a published log, and finds one turned bit."""
    LogWriter(tmp_path).epoch([private(n) for n in range(300)]).epoch([private(n) for n in range(300, 700)])
    question = {"Directory": str(tmp_path), "Vkey": KEY.vkey}
    assert ask(Logs=[question])["Logs"] == [{"Records": 702, "Error": ""}]
    for path, said in (("tile/entries/001", "is not the one that was signed"), ("tile/0/001", "inconsistent tile")):
        flip_file(tmp_path / path, 8 * 1000)
        assert said in ask(Logs=[question])["Logs"][0]["Error"]
        flip_file(tmp_path / path, 8 * 1000)
