"""Matrix JSON signing."""

import base64
import hashlib
from typing import Any

import pytest
import vodozemac
from hypothesis import given
from hypothesis import strategies as st

from paraph.protocol import signing
from paraph.protocol.base64 import b64, b64url, unb64
from paraph.protocol.canonical import encode
from paraph.protocol.errors import CanonicalJsonError, SignatureError
from paraph.protocol.signing import SigningKey, document_hash, sign, signed_bytes, verify

KEY = SigningKey.from_seed(b"\x07" * 32)
ENTITY, KEY_ID = "@author:example.org", "ed25519:DEVICE"
documents = st.dictionaries(
    st.text("abcxyz", max_size=6),
    st.integers(-9, 9) | st.text("ab", max_size=3) | st.lists(st.integers(0, 3)),
    max_size=4,
)


def signed(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the author's signature."""
    return sign(document, ENTITY, KEY_ID, KEY.sign)


def test_signature_of_the_matrix_specification() -> None:
    """The specification's own test vectors (Appendices, "Cryptographic Test Vectors") come out as printed there."""
    key = SigningKey.from_seed(base64.b64decode("YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1="))
    empty = sign({}, "domain", "ed25519:1", key.sign)
    assert empty["signatures"]["domain"]["ed25519:1"] == (
        "K8280/U9SSy9IVtjBuVeLr+HpOB4BQFWbg+UZaADMtTdGYI7Geitb76LTrr5QV/7Xg4ahLwYGYZzuHGZKM5ZAQ"
    )
    two = sign({"one": 1, "two": "Two"}, "domain", "ed25519:1", key.sign)
    assert two["signatures"]["domain"]["ed25519:1"] == (
        "KqmLSbO39/Bzb0QIYE82zqLwsA+PDzYIpIRA2sRQ4sL53+sN6/fpNSoqE7BP7vBZhG6kYdD13EIMJpvhJI+6Bw"
    )


def test_a_device_engines_signature_verifies() -> None:
    """What vodozemac signs, the library of Matrix clients, verifies here under the key it shows."""
    account = vodozemac.Account()
    document = sign({"a": "é"}, ENTITY, KEY_ID, lambda message: account.sign(message).to_base64())
    verify(document, ENTITY, KEY_ID, account.ed25519_key.to_base64())


@given(documents)
def test_a_signed_document_verifies_and_keeps_its_hash(document: dict[str, Any]) -> None:
    """Signing adds a signature to a copy; neither the signed bytes nor the hash change, nor do other signatures."""
    once = signed(document)
    twice = sign(once, "other.example", "ed25519:1", SigningKey.generate().sign)
    assert "signatures" not in document
    verify(twice, ENTITY, KEY_ID, KEY.public_key)
    assert twice["signatures"][ENTITY] == once["signatures"][ENTITY]
    assert document_hash(twice) == b64url(hashlib.sha256(encode(document)).digest())


@given(documents, documents)
def test_another_document_does_not_verify(document: dict[str, Any], other: dict[str, Any]) -> None:
    """A signature fits one document only."""
    moved = {**other, "signatures": signed(document)["signatures"]}
    if other == document:
        verify(moved, ENTITY, KEY_ID, KEY.public_key)
    else:
        with pytest.raises(SignatureError):
            verify(moved, ENTITY, KEY_ID, KEY.public_key)


@given(st.integers(0, 511))
def test_a_changed_bit_of_the_signature_does_not_verify(bit: int) -> None:
    """Every bit of a signature counts."""
    document = signed({"a": 1})
    raw = bytearray(unb64(document["signatures"][ENTITY][KEY_ID]))
    raw[bit // 8] ^= 1 << (bit % 8)
    document["signatures"][ENTITY][KEY_ID] = b64(bytes(raw))
    with pytest.raises(SignatureError):
        verify(document, ENTITY, KEY_ID, KEY.public_key)


@pytest.mark.parametrize(
    "signatures",
    [
        None,
        [],
        "text",
        {},
        {ENTITY: None},
        {ENTITY: []},
        {ENTITY: {}},
        {ENTITY: {KEY_ID: None}},
        {ENTITY: {KEY_ID: 1}},
        {ENTITY: {KEY_ID: ""}},
        {ENTITY: {KEY_ID: "A" * 85}},
        {ENTITY: {KEY_ID: "A" * 86 + "=="}},
        {ENTITY: {"ed25519:OTHER": "A" * 86}},
        {"@other:example.org": {KEY_ID: "A" * 86}},
    ],
)
def test_a_missing_or_malformed_signature_is_refused(signatures: object) -> None:
    """Whatever stands in the place of the signature, the answer is the protocol's own error."""
    with pytest.raises(SignatureError):
        verify({"a": 1, "signatures": signatures}, ENTITY, KEY_ID, KEY.public_key)
    with pytest.raises(SignatureError):
        verify({"a": 1}, ENTITY, KEY_ID, KEY.public_key)


@pytest.mark.parametrize(
    "public_key",
    ["", "A" * 42, KEY.public_key + "=", b64(bytes(31)), SigningKey.from_seed(bytes(31) + b"\x01").public_key],
)
def test_another_or_malformed_key_is_refused(public_key: str) -> None:
    """A signature verifies under the key that made it and no other."""
    with pytest.raises(SignatureError):
        verify(signed({"a": 1}), ENTITY, KEY_ID, public_key)


P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P


def _add(one: tuple[int, int], two: tuple[int, int]) -> tuple[int, int]:
    (x1, y1), (x2, y2) = one, two
    k = D * x1 * x2 * y1 * y2
    return (x1 * y2 + x2 * y1) * pow(1 + k, -1, P) % P, (y1 * y2 + x1 * x2) * pow(1 - k, -1, P) % P


def _small_order_y() -> set[int]:
    """The y coordinates of the torsion points, found by multiplying curve points with the prime group order."""
    found: set[int] = set()
    for y in range(2, 200):
        squared = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
        x = pow(squared, (P + 3) // 8, P)
        x = x if x * x % P == squared else x * pow(2, (P - 1) // 4, P) % P
        if x * x % P == squared:
            power, point, order = (0, 1), (x, y), 2**252 + 27742317777372353535851937790883648493
            for bit in range(order.bit_length()):
                power = _add(power, point) if order >> bit & 1 else power
                point = _add(point, point)
            found.add(power[1])
        if len(found) == 5:
            break
    return found


def test_keys_of_small_order_are_refused() -> None:
    """No key is accepted under which one signature would fit many documents, in any of its encodings."""
    weak = _small_order_y()
    assert weak == signing._WEAK_Y
    encodings = [y + shift + sign for y in weak for shift in (0, P) for sign in (0, 2**255) if y + shift < 2**255]
    for encoding in encodings:
        data = encoding.to_bytes(32, "little")
        document = {"signatures": {ENTITY: {KEY_ID: b64(data + bytes(32))}}}
        with pytest.raises(SignatureError, match="full order"):
            verify(document, ENTITY, KEY_ID, b64(data))


def test_unsigned_is_refused() -> None:
    """A document with a top-level `unsigned` is neither signed, hashed nor verified; deeper it is a plain member."""
    for call in (signed, signed_bytes, document_hash):
        with pytest.raises(SignatureError):
            call({"a": 1, "unsigned": {}})
    with pytest.raises(SignatureError):
        verify({**signed({"a": 1}), "unsigned": {}}, ENTITY, KEY_ID, KEY.public_key)
    verify(signed({"a": {"unsigned": 1}}), ENTITY, KEY_ID, KEY.public_key)


def test_what_has_no_canonical_form_cannot_be_signed() -> None:
    """A float cannot be signed, since two implementations would sign different bytes."""
    with pytest.raises(CanonicalJsonError):
        signed({"a": 1.5})


def test_a_key_is_its_seed() -> None:
    """A seed gives the same key every time, fresh keys differ, and a key does not show its seed."""
    assert SigningKey.from_seed(KEY.seed).public_key == KEY.public_key
    assert SigningKey.generate().seed != SigningKey.generate().seed
    assert KEY.key_id == f"ed25519:{KEY.public_key}"
    assert b64(KEY.seed) not in repr(KEY)
    assert KEY.seed.hex() not in repr(KEY)
    with pytest.raises(ValueError, match="32"):
        SigningKey.from_seed(b"short")
