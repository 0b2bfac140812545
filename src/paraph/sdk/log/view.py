"""What a device has seen of the transparency log, and what it has proven to be there, or not to be there.

A checkpoint is believed only when the pinned policy's quorum cosigned it in the last ten minutes, when it goes on from
the one before, and when its last leaf is an epoch of the last ten minutes. A log without a pinned policy is never
believed. Two signed checkpoints that cannot be of one log are kept as evidence of a fork, and from then on nothing is.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

import msgspec

from paraph.audit.errors import LogError as AuditError
from paraph.audit.statement import ProvenTree, TreeProof
from paraph.protocol.errors import ProtocolError
from paraph.sdk.errors import ForkDetectedError, LogError, MatrixError, ProblemError, SdkError
from paraph.sdk.keystore import Records
from paraph.sdk.log.policy import FollowedPolicy
from paraph.sdk.log.statements import Statements, ask
from paraph.sdk.log.tiles import LogTiles
from paraph.sdk.transport import PARAPH, Transport
from paraph.tlog import checkpoint as checkpoints
from paraph.tlog import note
from paraph.tlog import policy as policies
from paraph.tlog import proof as proofs
from paraph.tlog.checkpoint import Checkpoint
from paraph.tlog.errors import TlogError
from paraph.tlog.merkle import leaf_hash, verify_inclusion
from paraph.tlog.policy import MAX_SKEW, Policy, PolicyError

log = logging.getLogger(__name__)

TABLE = "log"
PROVEN = "leaf"
INTEGRATION_MS = 10_000
MAX_AGE = 600
"""Seconds since a quorum cosigned, and since the epoch was made, up to which a tree tells how things stand."""
LOOK_MS = 86_400_000
"""How often is looked whether the policy was replaced, where checkpoints still satisfy the one that is known."""
PAUSE = 0.3
"""Seconds before the map is asked again, once, twice as long the next time."""
ASKS = 3
"""Trees under which the map is asked, when the platform no longer keeps the map of one."""
NOT_KEPT = "ORG_PARAPH_MAP_NOT_KEPT"


class Seen(msgspec.Struct, frozen=True):
    """The newest tree believed. `time` is its epoch's (ms), `newest` that of the newest cosignature ever seen (s).

    `bundle` and `epoch_leaf` are the tree's proof as it was checked (audit.statement).
    """

    size: int
    root: bytes
    time: int
    newest: int
    bundle: bytes
    epoch_leaf: bytes

    @property
    def proof(self) -> TreeProof:
        """The tree's proof."""
        return TreeProof(self.bundle, self.epoch_leaf)

    @property
    def note(self) -> bytes:
        """The signed and cosigned checkpoint."""
        return proofs.parse(self.bundle).checkpoint


class Fork(msgspec.Struct, frozen=True):
    """Evidence that one log key signed two histories: the notes of two checkpoints, the smaller tree's first.

    `root` is what the larger tree has in place of the smaller one's root, `proof` the RFC 6962 consistency proof from
    there to the larger tree; empty where both have one size.
    """

    older: bytes
    newer: bytes
    root: bytes
    proof: tuple[bytes, ...]


def read_policy(text: str, vkey: str) -> Policy:
    """The policy for the log with this key. Raises LogError for a text that is no policy, or another log's."""
    try:
        return policies.parse(text.encode()).for_log(note.Verifier.from_vkey(vkey))
    except TlogError as error:
        raise LogError(f"the witness policy cannot be used: {error}") from error


class LogView:
    """One log, as one device or partner knows it. `vkey` is the pinned key's text, `policy` the pinned policy's."""

    def __init__(
        self, transport: Transport, records: Records, vkey: str, policy: str | None, now: Callable[[], int]
    ) -> None:
        """`now` gives milliseconds. Without a policy the log proves nothing: every question raises LogError.

        Raises LogError for a policy that is none, or that is another log's.
        """
        self._transport = transport
        self._records = records
        self._verifier = note.Verifier.from_vkey(vkey)
        self._now = now
        self._tiles = LogTiles(transport)
        self._policy: Policy | None = None
        self._believed: tuple[ProvenTree, TreeProof] | None = None
        self._refreshing = asyncio.Lock()
        self._followed: FollowedPolicy | None = None
        self._looked: int | None = None
        if policy is not None:
            read_policy(policy, vkey)
            self._followed = FollowedPolicy(transport, records, self._verifier, policy)
            self.adopt(self._followed.text)

    def adopt(self, policy: str) -> None:
        """From now on judge by this policy. Who replaces one has verified that the old one's quorum wanted it.

        Raises LogError for a text that is no policy, or that is another log's.
        """
        self._policy = read_policy(policy, self._verifier.vkey)
        self._believed = None

    @property
    def policy(self) -> Policy | None:
        """The policy that checkpoints are judged by."""
        return self._policy

    @property
    def seen(self) -> Seen | None:
        """The newest tree that this device believed."""
        return self._records.get(TABLE, "seen", Seen)

    @property
    def fork(self) -> Fork | None:
        """The evidence, if this log has shown two histories."""
        return self._records.get(TABLE, "fork", Fork)

    @property
    def time(self) -> int:
        """Milliseconds: the later of this device's clock and the newest cosigned time it has seen."""
        seen = self.seen
        return self._now() if seen is None else max(self._now(), 1000 * seen.newest)

    async def refresh(self) -> ProvenTree:
        """Fetch the newest checkpoint and believe it, or raise: ForkDetectedError when it provably contradicts the one
        before, LogError when it is not cosigned, not fresh, or cannot be checked now.
        """
        async with self._refreshing:
            if self.fork is not None:
                raise ForkDetectedError("this log has shown two histories; nothing is shared with partners any more")
            if self._policy is None:
                raise LogError("this platform's log has no witness policy, so nothing in it is proven")
            if self._looked is None or self._now() >= self._looked + LOOK_MS:
                await self._policy_changed()
            try:
                return await self._judged(self._policy)
            except (TlogError, ProtocolError, AuditError) as error:
                raise LogError(f"the log's answer does not check: {error}") from error

    async def prove(self, leaf: bytes, *, wait_ms: int = 0) -> None:
        """Check that the leaf is under a cosigned tree, waiting for its integration up to `wait_ms`.

        A proof holds for all later trees, so each leaf is proven once. Raises LogError.
        """
        await self.prove_hash(leaf_hash(leaf), wait_ms=wait_ms)

    async def prove_hash(self, hashed: bytes, *, wait_ms: int = 0) -> None:
        """`prove` for a leaf of which only the hash is at hand."""
        if self._records.get(PROVEN, hashed.hex(), int) is not None:
            return
        index = await self._index(hashed, wait_ms)
        size, root = await self._tree_with(index)
        try:
            verify_inclusion(hashed, index, size, root, await self._tiles.inclusion(index, size))
        except TlogError as error:
            raise LogError(f"the log does not prove the record: {error}") from error
        with self._records.step():
            self._records.put(PROVEN, hashed.hex(), index)

    async def statements(self, keys: Sequence[bytes]) -> Statements:
        """All that the newest tree believed holds under each of these keys of the map, verified. Raises LogError.

        Freshness is `refresh`'s: this asks under the tree that it gave last, or under a newer one where the platform
        does not keep the map of that tree any more.
        """
        for attempt in range(ASKS):
            if attempt > 0:
                # One of several processes may not have heard of the newest tree yet.
                await self._transport.pause(attempt * PAUSE)
            if attempt > 0 or self._believed is None:
                await self.refresh()
            if self._believed is None:
                break
            tree, proof = self._believed
            try:
                return Statements(tree, proof, await ask(self._transport, tree, keys))
            except MatrixError as error:
                if error.errcode != NOT_KEPT:
                    raise LogError(f"the map of the log cannot be asked: {error}") from error
            except AuditError as error:
                raise LogError(f"the map of the log does not check: {error}") from error
        raise LogError("the platform keeps the map of none of its published trees")

    # Policy

    async def _judged(self, policy: Policy) -> ProvenTree:
        """A checkpoint that does not satisfy the policy may satisfy the one that has replaced it meanwhile."""
        try:
            return await self._refresh(policy)
        except PolicyError:
            if not await self._policy_changed() or self._policy is None:
                raise
        return await self._refresh(self._policy)

    async def _policy_changed(self) -> bool:
        """Take up what the policy's own quorum has replaced it by, if it has; whether there was anything."""
        if self._followed is None:
            return False
        before = self._followed.text
        try:
            await self._followed.advance(self._now() // 1000)
            self._looked = self._now()
        except SdkError as error:
            log.warning("this device stays with its witness policy: %s", error)
        if self._followed.text == before:
            return False
        self.adopt(self._followed.text)
        return True

    # Checkpoints

    async def _refresh(self, policy: Policy) -> ProvenTree:
        signed = await self._transport.bytes("/log/checkpoint")
        head = checkpoints.open(signed, self._verifier)
        known = self.seen
        if known is not None:
            await self._check_extends(known, head, signed)
        seconds = self._now() // 1000
        policy.check(signed, seconds, MAX_AGE)  # before anything is fetched for it
        proof = await self._tree_proof(known, head, signed)
        tree = proof.verify(policy, seconds, MAX_AGE)
        newest = max(tree.cosigned.newest, 0 if known is None else known.newest)
        _check_times(tree, max(seconds, newest))
        self._believed = tree, proof
        self._remember(Seen(tree.size, tree.root, tree.epoch.time, newest, proof.bundle, proof.epoch_leaf))
        return tree

    async def _tree_proof(self, known: Seen | None, head: Checkpoint, signed: bytes) -> TreeProof:
        if known is not None and known.size == head.size:
            return self._tiles.same_tree(known.proof, signed)
        return await self._tiles.tree_proof(head.size, signed)

    async def _tree_with(self, index: int) -> tuple[int, bytes]:
        """Size and root of a tree believed that has this leaf."""
        seen = self.seen
        if seen is not None and index < seen.size and self.fork is None and self._policy is not None:
            return seen.size, seen.root
        tree = await self.refresh()
        if index >= tree.size:
            raise LogError("the platform says the leaf is in the log, the published checkpoint ends before it")
        return tree.size, tree.root

    async def _index(self, hashed: bytes, wait_ms: int) -> int:
        try:
            answer = await self._transport.json(
                "GET",
                f"{PARAPH}/log/leaf/{hashed.hex()}",
                params={"timeout": min(wait_ms, INTEGRATION_MS)},
                wait_ms=wait_ms,
            )
        except (MatrixError, ProblemError) as error:
            raise LogError(f"the record is not in the log: {error}") from error
        index = answer.get("leaf_index")
        if not isinstance(index, int) or index < 0:
            raise LogError("the platform does not say where in the log the record is")
        return index

    # Forks

    async def _check_extends(self, known: Seen, head: Checkpoint, signed: bytes) -> None:
        """One of the two trees must begin with the other one, and the tree shown must not be the smaller one."""
        before = known.note
        if head.size == known.size:
            if head.root != known.root:
                self._forked(Fork(before, signed, head.root, ()))
            return
        if known.size < head.size:
            older, newer, notes = (known.size, known.root), (head.size, head.root), (before, signed)
        else:
            older, newer, notes = (head.size, head.root), (known.size, known.root), (signed, before)
        root, proof = await self._tiles.beginning(older[0], *newer)
        if root != older[1]:
            self._forked(Fork(*notes, root, tuple(proof)))
        if head.size < known.size:
            raise LogError("the platform shows an older checkpoint than it did before")

    def _forked(self, fork: Fork) -> None:
        with self._records.step():
            self._records.put(TABLE, "fork", fork)
        self._believed = None
        log.error("the log of %s has forked", self._verifier.name)
        raise ForkDetectedError("the log has signed two histories that do not extend one another")

    def _remember(self, seen: Seen) -> None:
        with self._records.step():
            self._records.put(TABLE, "seen", seen)


def _check_times(tree: ProvenTree, seconds: int) -> None:
    """The quorum and the epoch are of the last ten minutes before `seconds`, and the epoch of none to come.

    A log that holds back what happens can have an old tree cosigned again: the epoch's time tells.
    """
    if tree.cosigned.time < seconds - MAX_AGE:
        raise LogError(f"the quorum is {seconds - tree.cosigned.time} s older than the newest cosignature seen")
    if tree.epoch.time < 1000 * (seconds - MAX_AGE):
        raise LogError(f"the newest epoch of the log is {seconds - tree.epoch.time // 1000} s old")
    if tree.epoch.time > 1000 * (tree.cosigned.newest + MAX_SKEW):
        raise LogError("the newest epoch of the log is from a time after its cosignatures")
