"""What the verifiable map commits to, and proofs that a key is in it or is not.

The map is a Merkle Patricia trie of keys and values of 32 bytes each. Bit 0 of a key is the highest bit of its first
byte. There is one node for each key, and one for each place where keys part:

    leaf   SHA-256(key || value)            64 bytes hashed
    inner  SHA-256(left || right || bit)    65 bytes hashed; below it, keys agree before `bit` and part there
    empty  SHA-256()                         0 bytes hashed

The lengths differ, so no node can be read as one of another kind. An inner node names its bit, and the bit of the
*asked* key there says which way to go. So from one root there is one way for each key, whatever the trie was made of,
and it ends at one leaf: that key's, which proves presence, or another's, which proves absence.

A proof holds the siblings on that way, from the leaf upwards: 33 bytes each, the sibling's hash, then the bit. Going
upwards the bits fall strictly, so a proof has one form and at most 256 steps.
"""

from dataclasses import dataclass
from hashlib import sha256

from paraph.tlog.merkle import HASH_SIZE, ProofError

KEY_SIZE = 32
"""Bytes in a key, and in a value."""
KEY_BITS = 8 * KEY_SIZE
EMPTY_MAP_ROOT = sha256(b"").digest()
"""The root of the map without keys."""
STEP_SIZE = HASH_SIZE + 1
"""Bytes in one step of a proof: the sibling's hash, then the bit."""
MAX_COUNT = 2**63 - 1

_PRESENT, _EMPTY, _OTHER = 1, 2, 3
_FOUND_SIZE = 1 + 2 * KEY_SIZE


class MapProofError(ProofError):
    """A proof about a key of the map that does not show what it claims."""


class MalformedMapProof(MapProofError):
    """Bytes, keys, roots or counts that no proof about a map has."""


class MapMismatch(MapProofError):
    """A well-formed proof that leads to another root than the one given, or past the key."""


@dataclass(frozen=True, slots=True)
class MapLeaf:
    """A key of the map and its value. Raises MalformedMapProof when made unless both are 32 bytes."""

    key: bytes
    value: bytes

    def __post_init__(self) -> None:
        """Refuse other lengths: they would let two leaves be one string of 64 bytes."""
        _check_size("key", self.key)
        _check_size("value", self.value)

    @property
    def hash(self) -> bytes:
        """The leaf's node in the trie."""
        return leaf_node(self.key, self.value)


@dataclass(frozen=True, slots=True)
class PresenceProof:
    """The way from a key's own leaf to the root. Raises MalformedMapProof when made."""

    steps: bytes

    def __post_init__(self) -> None:
        """Refuse steps that no trie has."""
        _check_steps(self.steps)

    def encode(self) -> bytes:
        """Write the proof: 0x01, then the steps."""
        return bytes((_PRESENT,)) + self.steps


@dataclass(frozen=True, slots=True)
class AbsenceProof:
    """The way from the leaf that stands where the key would to the root; no leaf, no steps: the map is empty."""

    found: MapLeaf | None
    steps: bytes = b""

    def __post_init__(self) -> None:
        """Refuse steps that no trie has, an empty trie's included."""
        _check_steps(self.steps)
        if self.found is None and self.steps:
            raise MalformedMapProof("an empty map has no steps")

    def encode(self) -> bytes:
        """Write the proof: 0x02 for the empty map, else 0x03, the key and value of the leaf found, the steps."""
        if self.found is None:
            return bytes((_EMPTY,))
        return bytes((_OTHER,)) + self.found.key + self.found.value + self.steps


MapProof = PresenceProof | AbsenceProof


def parse(data: bytes) -> MapProof:
    """Read a proof that `encode` could have written, and no other. Raises MalformedMapProof."""
    kind = data[0] if data else 0
    proof: MapProof
    if kind == _PRESENT:
        proof = PresenceProof(data[1:])
    elif kind == _EMPTY:
        proof = AbsenceProof(None)
    elif kind == _OTHER:
        leaf = MapLeaf(data[1 : 1 + KEY_SIZE], data[1 + KEY_SIZE : _FOUND_SIZE])
        proof = AbsenceProof(leaf, data[_FOUND_SIZE:])
    else:
        raise MalformedMapProof(f"expected a proof that begins with 1, 2 or 3, got {data[:1].hex() or 'nothing'}")
    if proof.encode() != data:
        raise MalformedMapProof("expected a proof in its only spelling, got trailing bytes")
    return proof


def leaf_node(key: bytes, value: bytes) -> bytes:
    """Hash a key and its value: SHA-256(key || value), 64 bytes in."""
    return sha256(key + value).digest()


def inner_node(left: bytes, right: bytes, bit: int) -> bytes:
    """Hash two subtries that part at `bit`: SHA-256(left || right || bit), 65 bytes in."""
    return sha256(left + right + bytes((bit,))).digest()


def map_value(count: int, subtree_root: bytes) -> bytes:
    """A key's value: SHA-256(count (8 bytes, big-endian) || RFC 6962 root of the leaf hashes under the key).

    Raises MalformedMapProof unless count is 1 or more and the root 32 bytes: a key without leaves is absent.
    """
    if not 1 <= count <= MAX_COUNT:
        raise MalformedMapProof(f"expected a count of at least 1, got {count}")
    _check_size("root of the leaves under the key", subtree_root)
    return sha256(count.to_bytes(8, "big") + subtree_root).digest()


def verify_presence(root: bytes, key: bytes, count: int, subtree_root: bytes, proof: PresenceProof) -> None:
    """Check that the map under `root` gives `key` exactly `count` leaves, whose RFC 6962 root is `subtree_root`.

    Raises MalformedMapProof or MapMismatch.
    """
    if not isinstance(proof, PresenceProof):
        raise MapMismatch("expected a proof of presence, got one of absence")
    leaf = MapLeaf(key, map_value(count, subtree_root))
    _match(root, _climb(leaf.hash, key, proof.steps))


def verify_absence(root: bytes, key: bytes, proof: AbsenceProof) -> None:
    """Check that the map under `root` does not hold `key`. Raises MalformedMapProof or MapMismatch."""
    if not isinstance(proof, AbsenceProof):
        raise MapMismatch("expected a proof of absence, got one of presence")
    _check_size("key", key)
    if proof.found is None:
        _match(root, EMPTY_MAP_ROOT)
        return
    if proof.found.key == key:
        raise MapMismatch("the leaf that the proof shows is the key's own")
    _match(root, _climb(proof.found.hash, key, proof.steps))


def _climb(node: bytes, key: bytes, steps: bytes) -> bytes:
    """Fold the steps onto a leaf, each on the side that the *asked* key's bit names. The hot loop of verification."""
    number = int.from_bytes(key, "big")
    for at in range(0, len(steps), STEP_SIZE):
        end = at + STEP_SIZE
        bit = steps[end - 1]
        if number >> (KEY_BITS - 1 - bit) & 1:
            node = sha256(steps[at : end - 1] + node + steps[end - 1 : end]).digest()
        else:
            node = sha256(node + steps[at:end]).digest()
    return node


def _match(expected: bytes, computed: bytes) -> None:
    _check_size("root", expected)
    if computed != expected:
        raise MapMismatch(f"expected the map root {expected.hex()}, the proof leads to {computed.hex()}")


def _check_steps(steps: bytes) -> None:
    bits = steps[HASH_SIZE::STEP_SIZE]
    if len(steps) % STEP_SIZE or bytes(sorted(set(bits), reverse=True)) != bits:
        raise MalformedMapProof("expected steps of 33 bytes whose bits fall strictly from the leaf to the root")


def _check_size(name: str, data: bytes) -> None:
    if len(data) != KEY_SIZE:
        raise MalformedMapProof(f"expected a {name} of {KEY_SIZE} bytes, got {len(data)}")
