"""The published log, read from its own files: the newest checkpoint and who cosigned it, single leaves, proofs.

Nothing here knows more than a stranger who fetches `/log` does.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from paraph.protocol.entry import EpochLeaf, parse_leaf
from paraph.protocol.errors import ProtocolError
from paraph.server.ledger.files import CHECKPOINT
from paraph.tlog import checkpoint, note
from paraph.tlog import policy as policies
from paraph.tlog.checkpoint import Checkpoint
from paraph.tlog.cosignature import cosigned_at
from paraph.tlog.errors import TlogError
from paraph.tlog.merkle import HASH_SIZE
from paraph.tlog.policy import Policy, PolicyError
from paraph.tlog.proof import Proof
from paraph.tlog.tiles import (
    ENTRIES,
    TILE_WIDTH,
    Tile,
    TileError,
    inclusion_proof_from_tiles,
    parse_entries,
    tiles_for_inclusion,
)

MAX_AGE = 600
"""Seconds after which a device takes a quorum's cosignatures as too old to share keys by."""

Read = Callable[[str], bytes | None]
"""Bytes of a public file below `/log`, or None."""


class NotPublished(Exception):
    """The published files do not hold this; where they should, they are being replaced by newer ones."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a checkpoint stands with the policy: who cosigned it when, and what is wrong, if anything is.

    `times` has each witness of the policy that cosigned (seconds since 1970). `quorum_time` is None without a quorum.
    """

    times: dict[str, int] = field(default_factory=dict)
    quorum_time: int | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Tree:
    """A published tree: the signed note, its checkpoint, and the epoch leaf that closes it."""

    signed: bytes
    checkpoint: Checkpoint
    epoch: EpochLeaf


class PublishedLog:
    """Reads the files of one log; every method may block on the disk."""

    def __init__(self, read: Read, vkey: str, policy: str | None) -> None:
        """`policy` is the text of the witness policy, None where there are no witnesses. Raises TlogError."""
        self._read = read
        self._verifier = note.Verifier.from_vkey(vkey)
        self.policy: Policy | None = None
        if policy is not None:
            self.policy = policies.parse(policy.encode()).for_log(self._verifier)

    def tree(self) -> Tree | None:
        """The newest published tree, None before the first. Raises NotPublished for files that do not fit together."""
        signed = self._read(CHECKPOINT)
        if signed is None:
            return None
        try:
            opened = checkpoint.open(signed, self._verifier)
        except TlogError as error:
            raise NotPublished(str(error)) from error
        return Tree(signed, opened, self.epoch(opened.size))

    def epoch(self, size: int) -> EpochLeaf:
        """The epoch leaf that closes the published tree of a size. Raises NotPublished."""
        try:
            found = parse_leaf(self._leaf(size - 1, size))
        except (TlogError, ProtocolError) as error:
            raise NotPublished(str(error)) from error
        if not isinstance(found, EpochLeaf):
            raise NotPublished(f"leaf {size - 1} is no epoch leaf")
        return found

    def standing(self, tree: Tree, now: int) -> Standing:
        """How a tree stands with the policy at a time in seconds; raises ValueError where there is no policy."""
        if self.policy is None:
            raise ValueError("a log without a policy has no standing")
        try:
            found = self.policy.check(tree.signed, now, MAX_AGE)
        except PolicyError as error:
            times = self._times(tree.signed, now)
            return Standing(times, self.policy.quorum_time(times), str(error))
        except TlogError as error:  # a cosignature that is not what it says: the whole note counts for nothing
            return Standing(problem=str(error))
        return Standing(dict(found.times), found.time)

    def _times(self, signed: bytes, now: int) -> dict[str, int]:
        """When each witness of the policy cosigned, a quorum or not."""
        if self.policy is None:
            return {}
        named = {(w.verifier.name, w.verifier.key_id): w.name for w in self.policy.witnesses}
        verifiers = [witness.verifier for witness in self.policy.witnesses]
        times: dict[str, int] = {}
        for item in note.open(signed, [self._verifier, *verifiers]).signatures:
            name = named.get((item.name, item.key_id))
            if name is not None and cosigned_at(item.signature) <= now + policies.MAX_SKEW:
                times[name] = max(times.get(name, 0), cosigned_at(item.signature))
        return times

    def leaf(self, index: int, tree: Tree) -> bytes:
        """The leaf of an index below the tree's size. Raises NotPublished."""
        try:
            return self._leaf(index, tree.checkpoint.size)
        except TlogError as error:
            raise NotPublished(str(error)) from error

    def proof(self, index: int, tree: Tree) -> Proof:
        """The C2SP proof bundle of a leaf whose index is below the tree's size. Raises NotPublished."""
        size = tree.checkpoint.size
        try:
            tiles = {tile: self._hashes(tile) for tile in tiles_for_inclusion(index, size)}
            return Proof(index, tuple(inclusion_proof_from_tiles(index, size, tiles)), tree.signed)
        except TlogError as error:
            raise NotPublished(str(error)) from error

    def _leaf(self, index: int, size: int) -> bytes:
        place, at = divmod(index, TILE_WIDTH)
        width = min(TILE_WIDTH, size - place * TILE_WIDTH)
        if index < 0 or at >= width:
            raise TileError(f"the tree of size {size} has no leaf {index}")
        found, data = self._file(Tile(ENTRIES, place, width))
        return parse_entries(data, found.width)[at]

    def _hashes(self, tile: Tile) -> bytes:
        return self._file(tile)[1][: HASH_SIZE * tile.width]

    def _file(self, tile: Tile) -> tuple[Tile, bytes]:
        """A tile or bundle, or the wider form of it that took its place. Raises TileError."""
        for form in (tile, Tile(tile.level, tile.index), self._newest_form(tile)):
            data = self._read(form.path)
            if data is not None:
                return form, data
        raise TileError(f"{tile.path} is not published")

    def _newest_form(self, tile: Tile) -> Tile:
        signed = self._read(CHECKPOINT)
        size = 0 if signed is None else checkpoint.open(signed, self._verifier).size
        width = (size >> 8 * max(tile.level, 0)) - tile.index * TILE_WIDTH
        return Tile(tile.level, tile.index, min(TILE_WIDTH, max(tile.width, width)))


def walk_groups(policy: Policy) -> list[dict[str, Any]]:
    """The groups that the quorum is made of: name, threshold, members' names; a lone witness has no group."""
    return [
        {"name": member.name, "threshold": member.threshold, "members": [below.name for below in member.members]}
        for member in policies.walk(policy.quorum)
        if isinstance(member, policies.Group)
    ]
