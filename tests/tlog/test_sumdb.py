"""Go's golang.org/x/mod judges our notes and proofs: an implementation that shares nothing with ours."""

import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from paraph.tlog import checkpoint, note
from paraph.tlog.checkpoint import Checkpoint
from paraph.tlog.cosignature import CosignatureSigner
from tests.tlog.strategies import HASHES, LEAVES, LOG, OTHER, TREE, flip

pytestmark = pytest.mark.slow

SOURCE = Path(__file__).parent / "go"
SIZES = [1, 2, 3, 5, 8, 13, 255, 256, 257, 512, 700]


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Go program, built. Skips, and says why, where Go or its module proxy is missing."""
    if shutil.which("go") is None:
        pytest.skip("go is not on the PATH: golang.org/x/mod did not judge our notes and proofs")
    program = tmp_path_factory.mktemp("go") / "sumdb"
    built = subprocess.run(
        ["go", "build", "-buildvcs=false", "-mod=readonly", "-o", program, "."],
        cwd=SOURCE,
        capture_output=True,
        text=True,
        timeout=110,
    )
    unreachable = ("dial tcp", "i/o timeout", "no such host", "connection refused", "module lookup disabled")
    if built.returncode and any(reason in built.stderr for reason in unreachable):
        pytest.skip(f"golang.org/x/mod cannot be fetched, so it did not judge our notes and proofs: {built.stderr}")
    assert built.returncode == 0, built.stderr
    return program


def ask(judge: Path, **questions: Any) -> Any:
    """Put questions to the program; byte strings travel as base64."""
    asked = json.dumps(
        {"Skey": LOG.skey, "Text": "text\n"} | questions, default=lambda item: base64.b64encode(item).decode()
    )
    done = subprocess.run([judge], input=asked, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_go_opens_our_checkpoint(judge: Path) -> None:
    """note.Open takes our signed checkpoint, cosigned too, with our vkey; and refuses it damaged or under another."""
    text = Checkpoint(LOG.name, 700, TREE.root()).text
    signed = checkpoint.sign(Checkpoint(LOG.name, 700, TREE.root()), LOG)
    witness = CosignatureSigner("witness.example", bytes(32))
    cosigned = note.encode(text, [*note.parse(signed)[1], witness.cosign(text, 1_700_000_000)])
    notes = [
        {"Note": signed.decode(), "Vkeys": [LOG.vkey]},
        {"Note": cosigned.decode(), "Vkeys": [LOG.vkey]},
        {"Note": signed.decode().replace("700", "701"), "Vkeys": [LOG.vkey]},
        {"Note": signed.decode(), "Vkeys": [OTHER.vkey]},
    ]
    verdicts = ask(judge, Notes=notes)["Notes"]
    assert verdicts[:2] == ["", ""]
    assert "invalid signature" in verdicts[2]
    assert "no verifiable signatures" in verdicts[3]


def test_we_open_gos_note(judge: Path) -> None:
    """Go, given our skey, signs what we would have signed."""
    signed = ask(judge, Text="a text\n\nof Go's\n")["Signed"].encode()
    assert signed == note.sign("a text\n\nof Go's\n", [LOG])
    assert note.open(signed, [LOG.verifier]).text == "a text\n\nof Go's\n"


def test_go_checks_our_inclusion_proofs(judge: Path) -> None:
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
    verdicts = ask(judge, Records=true + false)["Records"]
    assert verdicts[: len(true)] == [""] * len(true)
    assert all(verdicts[len(true) :])
    assert len(verdicts) == 3 * len(true)


def test_go_checks_our_consistency_proofs(judge: Path) -> None:
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
    verdicts = ask(judge, Trees=true + false)["Trees"]
    assert verdicts[: len(true)] == [""] * len(true)
    assert all(verdicts[len(true) :])
    assert len(verdicts) == 3 * len(true)
