"""Proofs of presence and absence in the verifiable map."""

from collections.abc import Callable
from hashlib import sha256

from paraph.tlog import map_proof
from paraph.tlog.map_proof import AbsenceProof, MapProofError, PresenceProof, map_value, verify_absence, verify_presence
from paraph.tlog.prefix_map import PrefixMap
from tests.corpus.layout import Piece, layout
from tests.corpus.mutators import of_bytes
from tests.corpus.structure import Kind, Structure

KEYS = [sha256(b"key %d" % number).digest() for number in range(9)]
HELD = [(key, 1 + number, sha256(b"subtree %d" % number).digest()) for number, key in enumerate(KEYS)]
MAP = PrefixMap((key, map_value(count, root)) for key, count, root in HELD)
OLDER = PrefixMap((key, map_value(count, root)) for key, count, root in HELD[:-1])
KEY, COUNT, SUBTREE = HELD[4]
MISSING = sha256(b"missing").digest()


def _pieces(encoded: bytes) -> list[Piece]:
    """A proof, its leaf and its steps as fields."""
    head = {1: [], 2: [], 3: [("found key", Kind.RAW, encoded[1:33]), ("found value", Kind.RAW, encoded[33:65])]}
    pieces: list[Piece] = [("kind", Kind.RAW, encoded[:1]), *head[encoded[0]]]
    start = sum(len(piece[2]) if isinstance(piece, tuple) else len(piece) for piece in pieces)
    for number, at in enumerate(range(start, len(encoded), 33)):
        pieces += [
            (f"sibling {number}", Kind.RAW, encoded[at : at + 32]),
            (f"bit {number}", Kind.RAW, encoded[at + 32 : at + 33]),
        ]
    return pieces


def _steps_forged(encoded: bytes, start: int) -> dict[str, bytes]:
    """Steps dropped, repeated, exchanged, or with a bit between."""
    head, body = encoded[:start], encoded[start:]
    steps = [body[at : at + 33] for at in range(0, len(body), 33)]
    made = {"no steps": head, "steps reversed": head + b"".join(reversed(steps))}
    for at, step in enumerate(steps):
        made[f"step {at} dropped"] = head + b"".join(steps[:at] + steps[at + 1 :])
        made[f"step {at} twice"] = head + b"".join([*steps[:at], step, *steps[at:]])
        for bit in range(256):
            made[f"step {at} at bit {bit}"] = head + b"".join(
                [*steps[:at], step[:32] + bytes((bit,)), *steps[at + 1 :]]
            )
        for to in range(at + 1, len(steps)):
            swapped = list(steps)
            swapped[at], swapped[to] = swapped[to], swapped[at]
            made[f"steps {at} and {to} exchanged"] = head + b"".join(swapped)
    return made


def _presence(key: bytes, count: int, subtree: bytes, root: bytes = MAP.root) -> Callable[[bytes], object]:
    def read(data: bytes) -> object:
        proof = map_proof.parse(data)
        assert isinstance(proof, PresenceProof | AbsenceProof)
        verify_presence(root, key, count, subtree, proof)  # type: ignore[arg-type]
        return None

    return read


def _absence(key: bytes, root: bytes = MAP.root) -> Callable[[bytes], object]:
    def read(data: bytes) -> object:
        verify_absence(root, key, map_proof.parse(data))  # type: ignore[arg-type]
        return None

    return read


def _past(key: bytes) -> bytes:
    """The way to a leaf that is said to stand where the missing key would; of the right leaf, the honest proof."""
    count, subtree = next((count, root) for held, count, root in HELD if held == key)
    return b"\x03" + key + map_value(count, subtree) + MAP.prove(key).encode()[1:]


PRESENT, ABSENT = MAP.prove(KEY).encode(), MAP.prove(MISSING).encode()
FOREIGN = {
    **{f"the proof of key {n}": MAP.prove(key).encode() for n, key in enumerate(KEYS) if key != KEY},
    "an older map's": OLDER.prove(KEY).encode(),
    "the empty map's": PrefixMap().prove(KEY).encode(),
    "257 steps": b"\x01" + b"".join(bytes(32) + bytes((bit,)) for bit in (*range(255, -1, -1), 0)),
}

STRUCTURES = (
    Structure(
        "map proof of presence",
        PRESENT,
        _presence(KEY, COUNT, SUBTREE),
        (MapProofError,),
        of_bytes,
        layout(*_pieces(PRESENT))[1],
        forged={**_steps_forged(PRESENT, 1), **FOREIGN, "of absence": ABSENT},
    ),
    Structure(
        "map proof of absence",
        ABSENT,
        _absence(MISSING),
        (MapProofError,),
        of_bytes,
        layout(*_pieces(ABSENT))[1],
        forged={
            **_steps_forged(ABSENT, 65),
            **FOREIGN,
            **{f"past the leaf of key {n}": _past(key) for n, key in enumerate(KEYS)},
            "an older map's absence": OLDER.prove(MISSING).encode(),
        },
    ),
    Structure("map proof of the empty map", b"\x02", _absence(MISSING, PrefixMap().root), (MapProofError,), of_bytes),
)
