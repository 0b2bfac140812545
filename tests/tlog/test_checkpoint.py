"""Checkpoints: three lines, one spelling, signed by the log itself."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraph.tlog import checkpoint, note
from paraph.tlog.checkpoint import Checkpoint, CheckpointError, MalformedCheckpoint, WrongLog
from paraph.tlog.cosignature import CosignatureSigner
from paraph.tlog.merkle import EMPTY_ROOT
from paraph.tlog.note import NoteError, Signer, UnverifiedNote
from tests.tlog.strategies import LOG, OTHER, TREE, digests, flip

POINT = Checkpoint(LOG.name, 5, TREE.root(5))
SIGNED = checkpoint.sign(POINT, LOG)
ROOT = POINT.text.split("\n")[2]


def test_the_text_is_the_specifications() -> None:
    """The example of C2SP tlog-checkpoint is read and written back."""
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    point = checkpoint.parse(text)
    assert (point.origin, point.size) == ("example.com/behind-the-sofa", 20852163)
    assert point.root.hex().startswith("0ac5186a")
    assert point.text == text


@given(st.integers(1, 2**63 - 1), digests)
def test_checkpoints_round_trip(size: int, root: bytes) -> None:
    """Signed and opened, a checkpoint is the same."""
    point = Checkpoint(LOG.name, size, root)
    assert checkpoint.open(checkpoint.sign(point, LOG), LOG.verifier) == point


def test_the_empty_tree() -> None:
    """Size 0 has the root of nothing, and no other."""
    point = Checkpoint(LOG.name, 0, EMPTY_ROOT)
    assert checkpoint.open(checkpoint.sign(point, LOG), LOG.verifier) == point
    with pytest.raises(MalformedCheckpoint):
        Checkpoint(LOG.name, 0, TREE.root(1))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        f"{LOG.name}\n5\n",
        f"{LOG.name}\n5\n{ROOT}",
        f"{LOG.name}\n5\n{ROOT}\n\n",
        f"{LOG.name}\n5\n{ROOT}\nextension\n",
        f"\n5\n{ROOT}\n",
        f"{LOG.name}\n05\n{ROOT}\n",
        f"{LOG.name}\n+5\n{ROOT}\n",
        f"{LOG.name}\n-5\n{ROOT}\n",
        f"{LOG.name}\n 5\n{ROOT}\n",
        f"{LOG.name}\n1_0\n{ROOT}\n",
        f"{LOG.name}\n٥\n{ROOT}\n",
        f"{LOG.name}\n{2**63}\n{ROOT}\n",
        f"{LOG.name}\n5\n{ROOT[:-1]}\n",
        f"{LOG.name}\n5\n{ROOT[:-4]}\n",
        f"{LOG.name}\n5\n{ROOT.replace('=', '')}\n",
        f"{LOG.name}\n5\n {ROOT}\n",
    ],
)
def test_malformed_checkpoints(text: str) -> None:
    """Extension lines, other spellings of numbers and lenient base64 are refused."""
    with pytest.raises(MalformedCheckpoint):
        checkpoint.parse(text)


@given(st.text(max_size=80))
def test_a_checkpoint_is_read_only_if_it_is_written_so(text: str) -> None:
    """Whatever is read has exactly this text."""
    for candidate in (text, f"origin\n7\n{text}", f"origin\n{text}\n{ROOT}\n"):
        try:
            point = checkpoint.parse(candidate)
        except MalformedCheckpoint:
            continue
        assert point.text == candidate


@pytest.mark.parametrize("wrong", [{"origin": ""}, {"origin": "a\nb"}, {"size": -1}, {"size": 2**63}, {"root": b""}])
def test_impossible_checkpoints_cannot_be_made(wrong: dict[str, Any]) -> None:
    """What could not be read back is not written."""
    with pytest.raises(MalformedCheckpoint):
        replace(POINT, **wrong)


@given(st.integers(0, 8 * len(SIGNED) - 1))
def test_every_turned_bit_is_found(bit: int) -> None:
    """A signed checkpoint with any one bit changed is refused."""
    with pytest.raises((NoteError, CheckpointError)):
        checkpoint.open(flip(SIGNED, bit), LOG.verifier)


def test_sizes_and_roots_cannot_be_exchanged() -> None:
    """A signature over one size and root does not carry over to another."""
    for text in (Checkpoint(LOG.name, 6, POINT.root).text, Checkpoint(LOG.name, 5, TREE.root(6)).text):
        _, signatures = note.parse(SIGNED)
        with pytest.raises(note.InvalidSignature):
            checkpoint.open(note.encode(text, signatures), LOG.verifier)


def test_another_logs_checkpoint_is_refused() -> None:
    """The log's key must have signed, and the origin must be the log's."""
    with pytest.raises(UnverifiedNote):
        checkpoint.open(checkpoint.sign(POINT, OTHER), LOG.verifier)
    elsewhere = checkpoint.sign(Checkpoint("elsewhere.example/log", 5, POINT.root), LOG)
    with pytest.raises(WrongLog, match=r"elsewhere\.example/log"):
        checkpoint.open(elsewhere, LOG.verifier)
    assert checkpoint.open(elsewhere, LOG.verifier, origin="elsewhere.example/log").size == 5


def test_a_cosigner_cannot_stand_in_for_the_log() -> None:
    """A checkpoint that only a known cosigner signed is refused."""
    witness = CosignatureSigner("witness.example", bytes(32))
    stranger = Signer("stranger.example", bytes(32))
    signed = note.encode(POINT.text, [witness.cosign(POINT.text, 7)])
    with pytest.raises(WrongLog, match="did not sign"):
        checkpoint.open_signed(signed, LOG.verifier, cosigners=[witness.verifier])
    both = note.encode(POINT.text, [*note.parse(SIGNED)[1], witness.cosign(POINT.text, 7)])
    opened = checkpoint.open_signed(both, LOG.verifier, cosigners=[witness.verifier, stranger.verifier])
    assert [item.name for item in opened.note.signatures] == [LOG.name, "witness.example"]
