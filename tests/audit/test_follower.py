"""A log followed in steps comes to the same end as one followed at once, and each broken rule is named at its leaf."""

import itertools
import random
from collections.abc import Callable, Collection

import pytest

from paraph.audit.errors import BadEpoch, BadLeaf, BadMap, LogError
from paraph.audit.follower import Follower, Standing
from paraph.protocol.entry import epoch_leaf, private_leaf
from paraph.tlog.merkle import Frontier, Tree, leaf_hash
from paraph.tlog.prefix_map import PrefixMap, unpack_frontier
from tests.audit.test_map import ENDING, NOTICE, SAME, root_of

LEAVES = [NOTICE, *SAME, *(private_leaf(2900 + n % 3, bytes([n % 5]) * 32, bytes([n]) * 32) for n in range(60)), ENDING]


def log_of(chance: random.Random, epochs: int = 6) -> list[bytes]:
    """A correct log: these leaves in any order, cut into epochs anywhere."""
    leaves, log, end = chance.sample(LEAVES, len(LEAVES)), list[bytes](), 0
    for n in range(epochs):
        count = len(leaves) if n == epochs - 1 else chance.randrange(len(leaves) // 2 + 1)
        log += leaves[:count]
        leaves = leaves[count:]
        log.append(epoch_leaf(n, end, root_of(*log), 1_750_000_000_000 + n))
        end = len(log)
    return log


def followed(log: list[bytes]) -> Follower:
    """A follower of these leaves, from the first on."""
    follower = Follower()
    for entry in log:
        follower.take(entry)
    return follower


@pytest.mark.parametrize("seed", range(8))
def test_stopping_anywhere_changes_nothing(seed: int) -> None:
    """Cut off at random places and gone on with from what was kept: the same standing, map and frontiers."""
    chance = random.Random(seed)
    log = log_of(chance)
    kept: dict[bytes, bytes] = {}
    at, tree = Standing(), PrefixMap()

    def known(keys: Collection[bytes]) -> dict[bytes, Frontier]:
        return {key: unpack_frontier(kept[key]) for key in keys if key in kept}

    for start, end in _cuts(chance, len(log)):
        follower = Follower(at, tree, known)
        for entry in log[start:end]:
            follower.take(entry)
        at, tree = follower.standing()
        kept |= follower.changes
    whole = followed(log)
    whole.closed()
    expected, map_of_all = whole.standing()
    assert at == expected
    assert tree.root == map_of_all.root
    assert kept == whole.changes
    assert whole.root() == Tree(map(leaf_hash, log)).root()


def _cuts(chance: random.Random, size: int) -> list[tuple[int, int]]:
    places = [0, *sorted(chance.randrange(size) for _ in range(4)), size]
    return list(itertools.pairwise(places))


ROOT = root_of(NOTICE)
BROKEN: dict[str, tuple[Callable[[], list[bytes]], type[LogError], str]] = {
    "no leaf": (lambda: [NOTICE, b"\x07"], BadLeaf, "leaf 1: "),
    "a public key's week": (lambda: [b"\x01\xff\xff" + bytes(64)], BadLeaf, "leaf 0: "),
    "an epoch left out": (lambda: [NOTICE, epoch_leaf(1, 0, ROOT, 5)], BadEpoch, "leaf 1: expected epoch 0"),
    "an epoch twice": (lambda: [epoch_leaf(0, 0, root_of(), 5)] * 2, BadEpoch, "leaf 1: expected epoch 1"),
    "another tree before": (
        lambda: [epoch_leaf(0, 0, root_of(), 5), NOTICE, epoch_leaf(1, 2, ROOT, 5)],
        BadEpoch,
        "leaf 2: expected prev_size 1",
    ),
    "time runs back": (
        lambda: [epoch_leaf(0, 0, root_of(), 5), NOTICE, epoch_leaf(1, 1, ROOT, 4)],
        BadEpoch,
        "leaf 2: expected a time not before 5",
    ),
    "a leaf left out of the map": (
        lambda: [NOTICE, SAME[0], epoch_leaf(0, 0, ROOT, 5)],
        BadMap,
        "leaf 2: expected the map root",
    ),
    "a leaf put into the map": (
        lambda: [NOTICE, epoch_leaf(0, 0, root_of(NOTICE, SAME[0]), 5)],
        BadMap,
        "leaf 1: expected the map root",
    ),
    "the map is lost": (
        lambda: [NOTICE, epoch_leaf(0, 0, ROOT, 5), epoch_leaf(1, 2, None, 5)],
        BadMap,
        "leaf 2: expected a map root",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_broken_rule_is_named_at_its_leaf(name: str) -> None:
    """The error says where, what had to be there and what was."""
    log, kind, said = BROKEN[name]
    with pytest.raises(kind, match=f"^{said}"):
        followed(log())


def test_what_follows_a_broken_leaf_can_still_be_hashed() -> None:
    """So that the root tells whether the log signed it."""
    log = [NOTICE, b"\x07", SAME[0]]
    follower = Follower()
    follower.take(log[0])
    with pytest.raises(BadLeaf):
        follower.take(log[1])
    follower.skim(log[2])
    assert follower.root() == Tree(map(leaf_hash, log)).root()


def test_a_signed_tree_ends_with_an_epoch_that_has_a_map() -> None:
    """Neither a leaf at the end nor a log without any map passes; the empty tree does."""
    followed([]).closed()
    with pytest.raises(BadEpoch, match="leaf 0: expected an epoch leaf to close"):
        followed([NOTICE]).closed()
    with pytest.raises(BadMap, match="none in any epoch"):
        followed([epoch_leaf(0, 0, None, 5)]).closed()
