"""Signed notes: Go's forms, strict parsing, and the difference between unknown and wrong."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraph.tlog import note
from paraph.tlog.cosignature import CosignatureSigner
from paraph.tlog.note import (
    InvalidSignature,
    MalformedKey,
    MalformedNote,
    NoteError,
    Signature,
    Signer,
    UnverifiedNote,
    Verifier,
)
from tests.tlog.strategies import LOG, OTHER, flip

TEXT = "first line\n\nthird line\n"
NOTE = note.sign(TEXT, [LOG])

GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_SKEY = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_SIGNATURE = (
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
"""The published key pair and note of Go's package documentation."""

names = st.text(min_size=1, max_size=12).filter(
    lambda name: not any(c.isspace() or c < " " or c == "+" or "\ud800" <= c <= "\udfff" for c in name)
)
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"], include_characters="\n"), max_size=40).map(
    lambda text: text + "\n"
)
seeds = st.binary(min_size=32, max_size=32)


def test_the_note_of_gos_documentation() -> None:
    """Key, text and signature made by Go's package are read, and the same signature is made here."""
    assert Signer.from_skey(GO_SKEY).vkey == GO_VKEY
    signed = note.sign(GO_TEXT, [Signer.from_skey(GO_SKEY)])
    assert signed.decode() == f"{GO_TEXT}\n{GO_SIGNATURE}"
    assert note.open(signed, [Verifier.from_vkey(GO_VKEY)]).text == GO_TEXT


@given(texts, names, seeds)
def test_notes_and_keys_round_trip(text: str, name: str, seed: bytes) -> None:
    """What is signed is opened again, through the text forms of both keys."""
    signer = Signer.from_skey(Signer(name, seed).skey)
    opened = note.open(note.sign(text, [signer]), [Verifier.from_vkey(signer.vkey)])
    assert opened.text == text
    assert [item.name for item in opened.signatures] == [name]
    assert opened.unverified == ()


def test_the_key_id_is_the_specifications() -> None:
    """First four bytes of SHA-256(name || newline || type || public key)."""
    public_key = LOG.verifier.public_key
    assert LOG.key_id == sha256(b"example.org/log\n\x01" + public_key).digest()[:4]
    assert CosignatureSigner("w", LOG.seed).verifier.key_id == sha256(b"w\n\x04" + public_key).digest()[:4]


def test_made_keys_differ_and_hide() -> None:
    """Fresh keys come from the system's randomness, and no repr shows a seed."""
    first, second = Signer.generate("a"), Signer.generate("a")
    assert first.seed != second.seed
    assert "seed" not in repr(first)


def test_unknown_signatures_are_set_aside() -> None:
    """A key unknown by name or by id neither helps nor harms."""
    stranger = Signer("stranger.example", bytes(32))
    signed = note.sign(TEXT, [stranger, OTHER, LOG])
    opened = note.open(signed, [LOG.verifier])
    assert [item.key_id for item in opened.signatures] == [LOG.key_id]
    assert [item.name for item in opened.unverified] == ["stranger.example", "example.org/log"]


def test_unknown_and_wrong_are_different_errors() -> None:
    """No known key: unverified. A known key whose signature is wrong: invalid, even beside a good one."""
    with pytest.raises(UnverifiedNote):
        note.open(note.sign(TEXT, [OTHER]), [LOG.verifier])
    with pytest.raises(UnverifiedNote):
        note.open(NOTE, [])
    wrong = Signature(OTHER.name, OTHER.key_id, OTHER.sign(b"another text\n"))
    right = Signature(LOG.name, LOG.key_id, LOG.sign(TEXT.encode()))
    assert note.open(note.encode(TEXT, [right, wrong]), [LOG.verifier]).text == TEXT
    with pytest.raises(InvalidSignature, match=OTHER.key_id.hex()):
        note.open(note.encode(TEXT, [right, wrong]), [LOG.verifier, OTHER.verifier])


def test_a_second_wrong_signature_by_the_same_key_rejects() -> None:
    """A bad signature is not hidden by a good one of the same key."""
    right = Signature(LOG.name, LOG.key_id, LOG.sign(TEXT.encode()))
    wrong = Signature(LOG.name, LOG.key_id, LOG.sign(b"another text\n"))
    with pytest.raises(InvalidSignature):
        note.open(note.encode(TEXT, [right, wrong]), [LOG.verifier])


@pytest.mark.parametrize("length", [1, 63, 65, 72])
def test_a_signature_of_another_length_is_wrong(length: int) -> None:
    """Only 64 bytes can be an Ed25519 signature."""
    signature = (LOG.sign(TEXT.encode()) + bytes(8))[:length]
    with pytest.raises(InvalidSignature):
        note.open(note.encode(TEXT, [Signature(LOG.name, LOG.key_id, signature)]), [LOG.verifier])


@pytest.mark.parametrize("count", [1, 16, 64])
def test_many_signature_lines_are_accepted(count: int) -> None:
    """C2SP demands at least 16; we take 64."""
    signers = [Signer(f"witness{number}.example", bytes(32)) for number in range(count - 1)]
    assert len(note.open(note.sign(TEXT, [*signers, LOG]), [LOG.verifier]).unverified) == count - 1


def test_too_many_signature_lines_are_refused() -> None:
    """Neither written nor read beyond 64."""
    with pytest.raises(MalformedNote):
        note.sign(TEXT, [LOG] * 65)
    line = Signature(LOG.name, LOG.key_id, LOG.sign(TEXT.encode())).line
    with pytest.raises(MalformedNote):
        note.open(f"{TEXT}\n{line * 65}".encode(), [LOG.verifier])
    with pytest.raises(MalformedNote):
        note.sign(TEXT, [])


@given(st.integers(0, 8 * len(NOTE) - 1))
def test_every_turned_bit_is_found(bit: int) -> None:
    """A note with any one bit changed is malformed, unverified or invalid, but never opened."""
    with pytest.raises(NoteError):
        note.open(flip(NOTE, bit), [LOG.verifier])


@pytest.mark.parametrize("length", range(len(NOTE)))
def test_every_truncation_is_found(length: int) -> None:
    """No beginning of a note is a note."""
    with pytest.raises(MalformedNote):
        note.open(NOTE[:length], [LOG.verifier])


LINE = Signature(LOG.name, LOG.key_id, LOG.sign(TEXT.encode())).line


@pytest.mark.parametrize(
    "signed",
    [
        "",
        "\n",
        TEXT,
        f"{TEXT}{LINE}",
        f"{TEXT}\n{LINE}\n",
        f"{TEXT}\n{LINE} ",
        f"{TEXT}\n{LINE.rstrip()}",
        f"{TEXT}\n{LINE}\r\n",
        f"{TEXT}\n{LINE.replace(' ', '  ', 1)}",
        f"{TEXT}\n{LINE.replace('— ', '- ')}",
        f"{TEXT}\n" + LINE.replace("— ", "—\u00a0"),
        f"{TEXT}\n{LINE.replace('=', '')}",
        f"{TEXT}\n{LINE.replace('E=', 'F=')}",
        f"{TEXT}\n— {LOG.name} AAAA\n",
        f"{TEXT}\n— {LOG.name} AAAAAA==\n",
        f"{TEXT}\n— {LOG.name} \n",
        f"{TEXT}\n— a+b AAAAAAAA\n",
        f"{TEXT}\n—  AAAAAAAA\n",
        f"{TEXT}\n— a\u2003b AAAAAAAA\n",
        f"tab\there\n\n{LINE}",
        f"carriage\r\n\n{LINE}",
        f"nul\x00\n\n{LINE}",
        f"\ufeff\n{LINE}",
    ],
)
def test_malformed_notes(signed: str) -> None:
    """Anything but the only spelling is refused before a signature is looked at."""
    with pytest.raises(MalformedNote):
        note.open(signed.encode(), [LOG.verifier])


def test_malformed_bytes() -> None:
    """What is not UTF-8, or too large, is no note."""
    with pytest.raises(MalformedNote, match="UTF-8"):
        note.open(b"\xff" + NOTE, [LOG.verifier])
    with pytest.raises(MalformedNote, match="at most"):
        note.open(b"x" * 1_000_001, [LOG.verifier])
    with pytest.raises(MalformedNote):
        note.encode("lone surrogate \ud800\n", [Signature("a", bytes(4), b"x")])


@given(st.binary(max_size=60))
def test_what_is_parsed_is_written_back(data: bytes) -> None:
    """Bytes in the shape of a note are read only if they are its only spelling."""
    for candidate in (data, b"text\n\n\xe2\x80\x94 " + data, TEXT.encode() + b"\n" + data):
        try:
            text, signatures = note.parse(candidate)
        except MalformedNote:
            continue
        assert note.encode(text, signatures) == candidate


NAME, ID, KEY = LOG.vkey.split("+", 2)


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        NAME,
        f"{NAME}+{ID}",
        f"+{ID}+{KEY}",
        f"a b+{ID}+{KEY}",
        f"{NAME}+{ID.upper()}+{KEY}",
        f"{NAME}+{'0' * 8}+{KEY}",
        f"{NAME}+{ID}0+{KEY}",
        f"{NAME}+{ID[1:]}+{KEY}",
        f"{NAME}+{ID}+{KEY}=",
        f"{NAME}+{ID}+{KEY[:-4]}",
        f"{NAME}+{ID}+{KEY}\n",
        f" {NAME}+{ID}+{KEY}",
        f"other.example+{ID}+{KEY}",
        CosignatureSigner(LOG.name, LOG.seed).verifier.vkey,
        LOG.skey,
        "\ud800" + LOG.vkey,
    ],
)
def test_malformed_vkeys(vkey: str) -> None:
    """Another spelling, type, name or key id is refused."""
    with pytest.raises(MalformedKey):
        Verifier.from_vkey(vkey)


@pytest.mark.parametrize(
    "skey", ["", LOG.vkey, LOG.skey.lower(), LOG.skey + " ", LOG.skey.replace(LOG.key_id.hex(), "0" * 8), LOG.skey[:-4]]
)
def test_malformed_skeys(skey: str) -> None:
    """A private key has one spelling too, and no error repeats it."""
    with pytest.raises(MalformedKey) as caught:
        Signer.from_skey(skey)
    assert LOG.skey.split("+")[-1] not in str(caught.value)


def test_keys_of_the_wrong_length_are_refused() -> None:
    """Seeds and public keys are 32 bytes."""
    with pytest.raises(MalformedKey):
        Signer("a", bytes(31))
    with pytest.raises(MalformedKey):
        Verifier("a", bytes(33))


@pytest.mark.parametrize(
    "name", ["", "a b", "a+b", "a\x00b", "a\x01b", "a\x1bb", "a\tb", "a\u00a0b", "a\u2028b", "a\ud800"]
)
def test_names_that_no_note_can_carry_are_refused(name: str) -> None:
    """With the right key id too: neither a signer nor a verifier is made of one, in whichever form it comes."""
    with pytest.raises(MalformedKey):
        Signer(name, bytes(32))
    with pytest.raises(MalformedKey):
        Verifier(name, LOG.verifier.public_key)
    with pytest.raises(MalformedKey):
        CosignatureSigner(name, bytes(32))


@pytest.mark.parametrize("text", ["", "no newline", "a\x00b\n", "a\tb\n", "a\rb\n", "a\x1fb\n", "\ud800\n"])
def test_texts_that_no_note_can_carry_are_not_written(text: str) -> None:
    """What nobody would read is not signed or passed on."""
    with pytest.raises(MalformedNote):
        note.encode(text, [Signature("a", bytes(4), bytes(64))])
