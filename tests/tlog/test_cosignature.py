"""Cosignatures: time and text bound together under a key of its own type."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraph.tlog import note
from paraph.tlog.checkpoint import Checkpoint
from paraph.tlog.cosignature import CosignatureSigner, CosignatureVerifier, cosigned_at, signed_message
from paraph.tlog.note import MalformedKey, NoteError, Signature
from tests.tlog.strategies import LOG, TREE, flip

WITNESS = CosignatureSigner("witness.example/w1", bytes(range(32)))
TEXT = Checkpoint(LOG.name, 5, TREE.root(5)).text
TIME = 1_679_315_147
COSIGNATURE = WITNESS.cosign(TEXT, TIME)


def test_the_signed_message_is_the_specifications() -> None:
    """Header line, time line, then the whole note text."""
    assert signed_message(TEXT.encode(), TIME).decode() == f"cosignature/v1\ntime 1679315147\n{TEXT}"


@given(st.integers(0, 2**63 - 1))
def test_cosignatures_round_trip(time: int) -> None:
    """A note carries the cosignature and its time; the verifier comes through its vkey."""
    verifier = CosignatureVerifier.from_vkey(WITNESS.verifier.vkey)
    opened = note.open(note.encode(TEXT, [WITNESS.cosign(TEXT, time)]), [verifier])
    assert [cosigned_at(item.signature) for item in opened.signatures] == [time]


@given(st.integers(0, 8 * 72 - 1))
def test_time_and_signature_are_both_covered(bit: int) -> None:
    """Any bit turned in the time or the signature is found."""
    changed = Signature(COSIGNATURE.name, COSIGNATURE.key_id, flip(COSIGNATURE.signature, bit))
    with pytest.raises(note.InvalidSignature):
        note.open(note.encode(TEXT, [changed]), [WITNESS.verifier])


def test_a_cosignature_is_for_one_text() -> None:
    """Another checkpoint under the same cosignature is refused."""
    other = Checkpoint(LOG.name, 6, TREE.root(6)).text
    with pytest.raises(note.InvalidSignature):
        note.open(note.encode(other, [COSIGNATURE]), [WITNESS.verifier])


def test_types_do_not_mix() -> None:
    """A plain Ed25519 signature of the same key and name is another key, and its bytes no cosignature."""
    plain = note.Signer(WITNESS.name, WITNESS.seed)
    assert plain.key_id != WITNESS.verifier.key_id
    with pytest.raises(note.UnverifiedNote):
        note.open(note.sign(TEXT, [plain]), [WITNESS.verifier])
    assert not WITNESS.verifier.verify(TEXT.encode(), plain.sign(TEXT.encode()))
    with pytest.raises(MalformedKey):
        CosignatureVerifier.from_vkey(plain.vkey)


@pytest.mark.parametrize("time", [-1, 2**63])
def test_impossible_times_are_not_signed(time: int) -> None:
    """A time is a number of seconds below 2^63."""
    with pytest.raises(NoteError):
        WITNESS.cosign(TEXT, time)


def test_a_time_beyond_the_bound_is_refused_even_when_signed() -> None:
    """Nobody gets a time of 2^63 past the verifier."""
    forged = WITNESS._key.sign(signed_message(TEXT.encode(), 2**63))
    assert not WITNESS.verifier.verify(TEXT.encode(), (2**63).to_bytes(8, "big") + forged)


def test_bad_keys_are_refused() -> None:
    """Names and lengths are checked as for any note key; the key id must be the key's."""
    with pytest.raises(MalformedKey):
        CosignatureSigner("a b", bytes(32))
    with pytest.raises(MalformedKey):
        CosignatureVerifier("a", bytes(31))
    vkey = WITNESS.verifier.vkey
    with pytest.raises(MalformedKey):
        CosignatureVerifier.from_vkey(vkey.replace(WITNESS.verifier.key_id.hex(), "0" * 8))


def test_private_keys_round_trip() -> None:
    """The text of a private key reads back as the same key, and no other text does."""
    made = CosignatureSigner.generate("witness.example/w2")
    assert CosignatureSigner.from_skey(made.skey) == made
    vkey, skey = WITNESS.verifier.vkey, WITNESS.skey
    plain = note.Signer(WITNESS.name, WITNESS.seed).skey
    for text in (vkey, plain, skey + "\n", skey.replace(WITNESS.verifier.key_id.hex(), "0" * 8), skey[:-4], ""):
        with pytest.raises(MalformedKey):
            CosignatureSigner.from_skey(text)
