"""A log watched from outside: the newest tree that a quorum cosigned, what is new in it, and what must never happen.

Nothing is believed. Of a new tree the new leaves are read from the log's own entry bundles and put behind the tree
known before; only if that gives the cosigned root are they what the log holds, and the new tree goes on from the old.
If it does not, the new tree's own tiles show which root it has at the old size: another one is a fork, for anyone to
check. Signatures on records are verified with the keys that the log itself names.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from paraph.audit.errors import BadEpoch, BadRecord, LogError
from paraph.audit.fork import Fork
from paraph.audit.records import PARTNER_KINDS, PublicRecords
from paraph.audit.sources import Fetch
from paraph.audit.watch_events import Event, Level, of_record
from paraph.audit.watch_state import State
from paraph.protocol.base64 import unb64url
from paraph.protocol.entry import EpochLeaf, Leaf, PublicLeaf, parse_leaf
from paraph.protocol.errors import ProtocolError
from paraph.protocol.identifiers import PLATFORM
from paraph.protocol.receipt import Receipt, receipt_key_of, server_of, verify_receipt
from paraph.tlog import checkpoint
from paraph.tlog.checkpoint import Checkpoint
from paraph.tlog.errors import TlogError
from paraph.tlog.merkle import HASH_SIZE, Frontier, Range, leaf_hash, range_nodes, range_root, verify_consistency
from paraph.tlog.policy import Policy, PolicyError
from paraph.tlog.tiles import (
    ENTRIES,
    TILE_WIDTH,
    Tile,
    TileReader,
    consistency_proof_from_tiles,
    encode_entries,
    new_bundles,
    new_tiles,
    parse_entries,
    parse_tile,
    tile_of,
    tiles_for_consistency,
)

MAX_AGE = 600
"""Seconds after which a quorum no longer says what the log is now."""
_STALE, _SILENT, _DAMAGED = "stale", "unreachable", "damaged"


class Damaged(Exception):
    """The files that the log serves do not lead to the root that it signed."""


class Watch:
    """One watched log; `state` changes with each round, and is to be kept after it."""

    def __init__(self, policy: Policy, state: State, fetch: Fetch, now: Callable[[], int]) -> None:
        """`policy` names the log and its witnesses; `now` gives seconds."""
        self._policy = policy
        self._log = policy.logs[0].verifier
        self._fetch = fetch
        self._now = now
        self.state = state

    @property
    def name(self) -> str:
        """The log's origin."""
        return self._log.name

    def round(self) -> list[Event]:
        """Look once; what happened since the last time."""
        try:
            signed = self._fetch("checkpoint")
            events = self._judge(signed)
        except OSError as error:  # no answer, or a file that is not there
            return self._trouble(_SILENT, f"the log does not answer: {error}")
        except Damaged as error:
            return self._trouble(_DAMAGED, str(error))
        return events + self._broken_promises()

    def _judge(self, signed: bytes) -> list[Event]:
        """Compare a checkpoint with what is known, whoever cosigned it; believe it only with a quorum."""
        try:
            tree = checkpoint.open(signed, self._log)
        except TlogError as error:
            return self._trouble(_DAMAGED, f"what the log shows as its checkpoint is not signed by it: {error}")
        over = self._over(_SILENT, "the log answers again")
        if self.state.note and tree.size <= self.state.size:
            return over + self._not_newer(signed, tree)
        try:
            self._policy.check(signed, self._now())
        except PolicyError as error:
            return over + self._trouble(_STALE, f"no quorum of witnesses has cosigned the newest tree: {error}")
        grown = self._grow(signed, tree)
        return over + grown + ([] if self.state.forked else self._fresh(signed))

    def _not_newer(self, signed: bytes, tree: Checkpoint) -> list[Event]:
        known = checkpoint.open(self.state.note.encode(), self._log)
        if tree.size == known.size:
            if tree.root != known.root:
                return self._fork(Fork(self.state.note.encode(), signed, tree.root, ()))
            return self._fresh(signed)
        fork = self._forked(tree, signed, known, self.state.note.encode())
        if fork is not None:
            return self._fork(fork)
        text = f"the log shows its tree of size {tree.size} again, though it published one of size {known.size}"
        return self._alarm_once("rollback", f"rollback {tree.size}", text, {"size": tree.size, "known": known.size})

    def _fresh(self, signed: bytes) -> list[Event]:
        """The newest known tree was shown again: how old is its quorum?"""
        try:
            self._policy.check(signed, self._now(), MAX_AGE)
        except PolicyError as error:
            return self._trouble(_STALE, f"the log is not fresh: {error}")
        self.state.note = signed.decode()
        fresh = self._over(_STALE, "the log is fresh again") + self._over(_DAMAGED, "the log's files are whole again")
        self.state.told -= {one for one in self.state.told if one.startswith("rollback")}
        return fresh

    # -- a tree that goes on --

    def _grow(self, signed: bytes, tree: Checkpoint) -> list[Event]:
        """Read what is new in a tree and prove that it goes on from the known one. Raises Damaged or OSError."""
        state, frontier = self.state, Frontier(self.state.size, self.state.peaks)
        entries = list(self._new_entries(tree))
        for entry in entries:
            frontier.append(leaf_hash(entry))
        if frontier.root() != tree.root:
            if state.note:
                fork = self._forked(checkpoint.open(state.note.encode(), self._log), state.note.encode(), tree, signed)
                if fork is not None:
                    return self._fork(fork)
            raise Damaged(f"the log's files do not give the root that was cosigned at size {tree.size}")
        first = not state.note
        events = self._take(state.size, entries, silent=first)
        state.note, state.size, state.peaks = signed.decode(), frontier.size, frontier.peaks
        if first:
            events.insert(0, self._baseline(tree))
        return events

    def _new_entries(self, tree: Checkpoint) -> Iterator[bytes]:
        for bundle in new_bundles(self.state.size, tree.size):
            try:
                entries = parse_entries(self._file(bundle), bundle.width)
            except TlogError as error:
                raise Damaged(f"{bundle.path}: {error}") from error
            yield from entries[max(self.state.size - bundle.index * TILE_WIDTH, 0) :]

    def _file(self, tile: Tile) -> bytes:
        """A tile or bundle, cut from the full one where that has replaced it. Raises OSError or Damaged."""
        try:
            return self._fetch(tile.path)
        except FileNotFoundError:
            if tile.is_full:
                raise
        whole = self._fetch(Tile(tile.level, tile.index).path)
        if tile.level != ENTRIES:
            return whole[: tile.width * HASH_SIZE]
        try:
            return encode_entries(parse_entries(whole, TILE_WIDTH)[: tile.width])
        except TlogError as error:
            raise Damaged(f"{tile.path}: {error}") from error

    def _take(self, start: int, entries: Sequence[bytes], *, silent: bool) -> list[Event]:
        """Proven leaves: their events, unless this is the beginning of the watch."""
        events, touched = list[Event](), set[str]()
        for index, entry in enumerate(entries, start):
            self.state.promises.pop(leaf_hash(entry), None)
            try:
                leaf = self._parsed(index, entry)
            except (ProtocolError, BadEpoch) as error:
                events.append(_false_leaf(index, str(error)))
                continue
            if isinstance(leaf, PublicLeaf):
                if not silent:
                    events.append(of_record(index, leaf, self._newest()))
                self.state.records.append((index, leaf))
                touched.add(leaf.partner)
        end = start + len(entries)
        if self.state.epochs.end != end:
            events.append(_false_leaf(end - 1, "a signed tree ends with an epoch leaf"))
        return events + [event for partner in sorted(touched - {PLATFORM}) for event in self._verify(partner)]

    def _parsed(self, index: int, entry: bytes) -> Leaf:
        leaf = parse_leaf(entry)
        if isinstance(leaf, EpochLeaf):
            self.state.epochs = self.state.epochs.after(index, leaf)
        return leaf

    def _newest(self) -> dict[tuple[str, str], Mapping[str, Any]]:
        return {(leaf.kind, leaf.partner): leaf.document for _, leaf in self.state.records}

    def _platforms(self) -> list[PublicLeaf]:
        return [leaf for _, leaf in self.state.records if leaf.kind == PLATFORM == leaf.partner]

    def _verify(self, partner: str) -> list[Event]:
        """Every record about a partner together, under the operator's key that the platform's first record names."""
        platforms = self._platforms()
        key = str(platforms[0].document.get("operator_key")) if platforms else ""
        records = PublicRecords(server_of(self._log.name), key)
        for index, leaf in self.state.records:
            if leaf.partner == partner and leaf.kind in PARTNER_KINDS:
                records.visit(index, leaf)
        try:
            records.partners()
        except BadRecord as error:
            text = f"a record about {partner} does not hold: {error}"
            return self._alarm_once("false-record", f"{partner}: {error.where}", text, {"partner": partner})
        return []

    def _baseline(self, tree: Checkpoint) -> Event:
        partners = sorted({leaf.partner for _, leaf in self.state.records if leaf.kind == "agreement"})
        text = f"watching {tree.origin} from its tree of size {tree.size} on; partners: {', '.join(partners) or 'none'}"
        return Event("watching", Level.NOTICE, text, {"size": tree.size, "partners": partners})

    # -- promises --

    def promise(self, document: Mapping[str, Any]) -> list[Event]:
        """Watch over a receipt; the log is read from its beginning once, in case it has kept it already.

        Raises ProtocolError for what is no receipt of this platform, Damaged or OSError.
        """
        receipt = self._receipt(document)
        leaf = unb64url(receipt.leaf, HASH_SIZE)
        if leaf not in self.state.promises and not self._holds(leaf):
            self.state.promises[leaf] = receipt.deadline
        return self._broken_promises()

    def _receipt(self, document: Mapping[str, Any]) -> Receipt:
        error: ProtocolError = ProtocolError("the log names no receipt key yet")
        for leaf in reversed(self._platforms()):
            record = {"kind": leaf.kind, "partner": leaf.partner, "document": leaf.document}
            try:
                key = receipt_key_of(record, self._log.name)
                return verify_receipt(document, log=self._log.name, receipt_key=key)
            except ProtocolError as found:
                error = found
        raise error

    def _holds(self, leaf: bytes) -> bool:
        """Whether a leaf hash is in the known tree, by its own tiles, which must give its root."""
        frontier, found = Frontier(), False
        for tile in new_tiles(0, self.state.size):
            if tile.level == 0:
                try:
                    hashes = parse_tile(self._file(tile), tile.width)
                except TlogError as error:
                    raise Damaged(f"{tile.path}: {error}") from error
                found = found or leaf in hashes
                for hashed in hashes:
                    frontier.append(hashed)
        if frontier.peaks != self.state.peaks:
            raise Damaged("the log's tiles do not give the root that was cosigned")
        return found

    def _broken_promises(self) -> list[Event]:
        """Promises whose time was over when the newest tree was closed."""
        late = [leaf for leaf, deadline in self.state.promises.items() if self.state.epochs.time > deadline]
        events = []
        for leaf in late:
            text = f"the leaf {leaf.hex()} was promised for the log, and is not in the tree closed after its deadline"
            details = {"leaf_hash": leaf.hex(), "deadline": self.state.promises.pop(leaf), "size": self.state.size}
            events.append(Event("broken-promise", Level.ALARM, text, details))
        return events

    # -- what must not happen --

    def _forked(self, older: Checkpoint, older_note: bytes, newer: Checkpoint, newer_note: bytes) -> Fork | None:
        """The proof that a larger tree has another root at a smaller one's size; None if it has the same.

        Raises Damaged where the tiles lead to no signed root, OSError where they cannot be had.
        """
        nodes = range_nodes(Range(0, older.size))
        wanted = {*tiles_for_consistency(older.size, newer.size), *(tile_of(node, newer.size) for node in nodes)}
        tiles = {tile: self._file(tile) for tile in wanted}
        try:
            root = range_root(Range(0, older.size), TileReader(newer.size, tiles))
            proof = consistency_proof_from_tiles(older.size, newer.size, tiles)
            verify_consistency(older.size, newer.size, root, newer.root, proof)
        except TlogError as error:
            raise Damaged(f"the log's tiles do not give its root at size {newer.size}: {error}") from error
        return None if root == older.root else Fork(older_note, newer_note, root, tuple(proof))

    def _fork(self, fork: Fork) -> list[Event]:
        try:
            fork = fork.for_policy(self._policy)
            text = fork.verify(self._policy).summary
        except LogError as error:  # the two notes stand for themselves
            text = f"the log signed two histories: {error}"
        self.state.forked = text
        return [Event("fork", Level.ALARM, text, {}, fork.evidence)]

    def _alarm_once(self, kind: str, what: str, text: str, details: Mapping[str, Any]) -> list[Event]:
        if what in self.state.told:
            return []
        self.state.told.add(what)
        return [Event(kind, Level.ALARM, text, details)]

    def _trouble(self, what: str, text: str) -> list[Event]:
        """Reported when it begins."""
        if what in self.state.told:
            return []
        self.state.told.add(what)
        return [Event(what, Level.TROUBLE, text)]

    def _over(self, what: str, text: str) -> list[Event]:
        if what not in self.state.told:
            return []
        self.state.told.discard(what)
        return [Event(f"no-longer-{what}", Level.NOTICE, text)]

    @property
    def troubled(self) -> bool:
        """Whether the log cannot be judged now."""
        return bool(self.state.told & {_STALE, _SILENT, _DAMAGED})

    @property
    def alarmed(self) -> bool:
        """Whether what must not happen has happened and still stands."""
        return self.state.forked is not None or bool(self.state.told - {_STALE, _SILENT, _DAMAGED})


def _false_leaf(index: int, why: str) -> Event:
    return Event("false-leaf", Level.ALARM, f"leaf {index} must not be there in a log: {why}", {"leaf": index})


def begin(policy: Policy) -> State:
    """The state of a watch that has seen nothing."""
    return State(policy.logs[0].verifier.vkey)
