"""The map root of every epoch is recomputed from the leaves; one that is not theirs is found and named."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraph.audit.errors import BadEntry, BadMap, RootMismatch, TileMismatch
from paraph.audit.map import MAX_WAITING, MapReplay
from paraph.audit.replay import ReplayReport, replay
from paraph.audit.sources import directory_source
from paraph.protocol.base64 import b64url
from paraph.protocol.entry import epoch_leaf, parse_leaf, private_leaf, public_leaf
from paraph.protocol.map_key import map_key_of_bytes, public_map_key
from paraph.tlog.map_proof import (
    EMPTY_MAP_ROOT,
    AbsenceProof,
    PresenceProof,
    map_value,
    verify_absence,
    verify_presence,
)
from paraph.tlog.merkle import Tree, leaf_hash
from paraph.tlog.prefix_map import PrefixMap
from paraph.tlog.tiles import encode_entries
from tests.audit.logs import KEY, LogWriter, flip, private


def mapped(*leaves: bytes) -> PrefixMap:
    """The map of these leaves as the rule reads: for each key the count and the RFC 6962 root of its leaf hashes."""
    trees: dict[bytes, Tree] = {}
    for leaf in leaves:
        key = map_key_of_bytes(leaf)
        if key is not None:
            trees.setdefault(key, Tree()).append(leaf_hash(leaf))
    return PrefixMap((key, map_value(tree.size, tree.root())) for key, tree in trees.items())


def root_of(*leaves: bytes) -> str:
    """The map root as an epoch leaf has it."""
    return b64url(mapped(*leaves).root)


class MappedLog(LogWriter):
    """A log whose epoch leaves carry a map root: the right one, unless told otherwise."""

    def close(self, leaves: list[bytes], map_root: Callable[[str], str | None] = lambda right: right) -> "MappedLog":
        """One more epoch."""
        right = root_of(*self.leaves, *leaves)
        self.epoch(leaves, lambda n, prev: epoch_leaf(n, prev, map_root(right), 1_750_000_000_000 + n))
        return self


def verify(log: LogWriter) -> ReplayReport:
    """Replay with all files listed."""
    source = directory_source(log.root)
    return replay(source, KEY.vkey, listing=source.paths())


NOTICE = public_leaf("notice", "marquee", 1_750_000_000_000, {"text": "hello"})
ENDING = public_leaf("notice", "marquee", 1_750_000_000_000, {"text": "goodbye"})
SAME = [private_leaf(2900, bytes(32), bytes([n]) * 32) for n in range(5)]
"""Five leaves under one label."""


def test_every_epoch_with_a_map_is_checked(tmp_path: Path) -> None:
    """Private and public leaves, several under one label, an epoch without leaves."""
    log = MappedLog(tmp_path).close([NOTICE, SAME[0], private(1)]).close([]).close([*SAME[1:], ENDING])
    assert verify(log).map_epochs == 3


def test_the_empty_log_has_the_empty_map(tmp_path: Path) -> None:
    """A first epoch without leaves carries the root of no keys."""
    log = MappedLog(tmp_path).close([])
    epoch = parse_leaf(log.leaves[0])
    assert getattr(epoch, "map_root", None) == b64url(EMPTY_MAP_ROOT)
    assert verify(log).map_epochs == 1


def test_a_log_may_begin_without_a_map_but_not_lose_it(tmp_path: Path) -> None:
    """Null roots stand before the first root only; the leaves from before are in the map all the same."""
    log = MappedLog(tmp_path).close([NOTICE], lambda _: None).close([SAME[0]], lambda _: None)
    assert verify(log).map_epochs == 0
    assert verify(log.close([SAME[1]])).map_epochs == 1
    with pytest.raises(BadMap, match=r"^leaf 7: expected a map root, as the epoch before had one, found none"):
        verify(log.close([SAME[2]], lambda _: None))


def test_no_bit_of_a_map_root_may_differ() -> None:
    """Each turned bit is found, and the right root is not refused."""
    right = mapped(NOTICE, *SAME).root
    turned = [(int.from_bytes(right, "big") ^ 1 << bit).to_bytes(32, "big") for bit in range(256)]
    for root in (right, *turned):
        following = MapReplay()
        for index, leaf in enumerate([NOTICE, *SAME, epoch_leaf(0, 0, b64url(root), 0)]):
            following.visit(index, parse_leaf(leaf))
        if root == right:
            assert following.checked() == 1
            continue
        with pytest.raises(BadMap, match=r"^leaf 6: expected the map root"):
            following.checked()


CHEATS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "leaves one out": lambda leaves: leaves[:-1],
    "leaves the first out": lambda leaves: leaves[1:],
    "swaps two of one label": lambda leaves: [leaves[0], leaves[2], leaves[1], *leaves[3:]],
    "counts one twice": lambda leaves: [*leaves, leaves[-1]],
    "files one under another label": lambda leaves: [
        *leaves[:-1],
        private_leaf(2900, bytes([9]) * 32, leaves[-1][35:]),
    ],
    "files one under another week": lambda leaves: [*leaves[:-1], b"\x01" + (2901).to_bytes(2, "big") + leaves[-1][3:]],
    "adds one that is not in the log": lambda leaves: [*leaves, private(77)],
    "keeps the map of the epoch before": lambda leaves: [],
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_map_that_is_not_the_leaves_is_found(tmp_path: Path, cheat: str) -> None:
    """Whatever the operator left out, added or filed elsewhere; the epoch leaf is named."""
    leaves = [NOTICE, *SAME]
    log = MappedLog(tmp_path).close(leaves, lambda _: root_of(*CHEATS[cheat](leaves)))
    with pytest.raises(BadMap, match=r"^leaf 6: expected the map root .* of the leaves before it, found ") as caught:
        verify(log)
    assert "keep this copy" in caught.value.diagnostics()


def test_a_cheat_later_put_right_is_found_all_the_same(tmp_path: Path) -> None:
    """One epoch that hid a leaf, with right ones around it: it is that one that is named."""
    log = MappedLog(tmp_path).close([NOTICE]).close([SAME[0]], lambda _: root_of(NOTICE)).close([SAME[1]])
    with pytest.raises(BadMap, match=r"^leaf 3: "):
        verify(log)


def test_a_label_hidden_from_one_map_shows_as_absence_that_the_leaves_refute(tmp_path: Path) -> None:
    """The omitting map does prove the absence to a client that only asks it; the replay is what unmasks it."""
    log = MappedLog(tmp_path).close([NOTICE, SAME[0]], lambda _: root_of(SAME[0]))
    hiding, key = mapped(SAME[0]), public_map_key("marquee")
    proof = hiding.prove(key)
    assert isinstance(proof, AbsenceProof)
    verify_absence(hiding.root, key, proof)
    with pytest.raises(BadMap):
        verify(log)


def test_exchanged_leaves_are_not_called_a_wrong_map(tmp_path: Path) -> None:
    """A leaf that was exchanged after signing makes another map, and is reported as what it is."""
    log = MappedLog(tmp_path).close([NOTICE, *SAME])
    forged = [NOTICE, private(5), *log.leaves[2:]]
    log.put("tile/entries/000.p/7", encode_entries(forged))
    with pytest.raises(BadEntry):
        verify(log)
    log.put("tile/0/000.p/7", b"".join(leaf_hash(leaf) for leaf in forged))
    with pytest.raises(RootMismatch):
        verify(log)
    log.put("tile/entries/000.p/7", encode_entries(log.leaves))
    log.put("tile/0/000.p/7", b"".join(leaf_hash(leaf) for leaf in log.leaves))
    flip(log.root / "tile/0/000.p/7", 9)
    with pytest.raises(TileMismatch):
        verify(log)


@given(st.lists(st.lists(st.integers(0, 30), max_size=12), min_size=1, max_size=8))
def test_a_replay_follows_any_log(epochs: list[list[int]]) -> None:
    """Leaves repeated, labels shared or not: every epoch's root is the naive rule's, and its proofs verify under it."""
    leaves: list[bytes] = []
    following = MapReplay()
    for n, numbers in enumerate(epochs):
        batch = [private_leaf(2900, bytes([number % 7]) * 32, bytes([number]) * 32) for number in numbers]
        for leaf in [*batch, epoch_leaf(n, 0, root_of(*leaves, *batch), 0)]:
            following.visit(len(leaves), parse_leaf(leaf))
            leaves.append(leaf)
    assert following.checked() == len(epochs)
    made = following.map()
    for leaf in leaves:
        key = map_key_of_bytes(leaf)
        if key is None:
            continue
        under = Tree(leaf_hash(other) for other in leaves if map_key_of_bytes(other) == key)
        proof = made.prove(key)
        assert isinstance(proof, PresenceProof)
        verify_presence(made.root, key, under.size, under.root(), proof)


def test_many_leaves_without_an_epoch_are_taken_in_between() -> None:
    """An epoch larger than what is gathered at once gives the same map."""
    leaves = [private(number) for number in range(MAX_WAITING + 10)]
    following = MapReplay()
    for index, leaf in enumerate([*leaves, epoch_leaf(0, 0, root_of(*leaves), 0)]):
        following.visit(index, parse_leaf(leaf))
    assert following.checked() == 1
