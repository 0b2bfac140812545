"""A published log is verified from its files alone, and whatever was changed is found and named."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from paraph.audit.errors import (
    BadCheckpoint,
    BadEntry,
    BadEpoch,
    BadLeaf,
    BadTile,
    ForkedLog,
    LogError,
    MissingTile,
    RootMismatch,
    TileMismatch,
)
from paraph.audit.replay import ReplayReport, replay
from paraph.audit.sources import directory_source
from paraph.protocol.entry import EpochLeaf, epoch_leaf, public_leaf
from paraph.tlog import checkpoint
from paraph.tlog.checkpoint import Checkpoint
from paraph.tlog.merkle import Tree, leaf_hash
from paraph.tlog.note import MalformedKey, Signer
from paraph.tlog.tiles import encode_entries
from tests.audit.logs import KEY, LogWriter, flip, private

PLATFORM = public_leaf("platform", "platform", 1_750_000_000_000, {"build": "one"})
SIZES = [3, 256, 600]
"""Sizes of the signed trees of the test log: within a tile, a full tile, and beyond two."""


def write(root: Path) -> LogWriter:
    """A log of three epochs; all partial tiles are kept."""
    log = LogWriter(root)
    log.epoch([PLATFORM, private(0)])
    log.epoch([private(number) for number in range(1, 253)])
    return log.epoch([private(number) for number in range(253, 596)])


@pytest.fixture
def log(tmp_path: Path) -> LogWriter:
    """A fresh copy of the test log."""
    return write(tmp_path)


def verify(log: LogWriter, **options: object) -> ReplayReport:
    """Replay a log with all its files listed."""
    source = directory_source(log.root)
    return replay(source, KEY.vkey, listing=source.paths(), **options)  # type: ignore[arg-type]


def test_a_whole_log_is_verified_and_counted(log: LogWriter) -> None:
    """The report names the tree, counts leaves by kind and knows the closing epoch."""
    log.put("tile/0/000.p/257.new", b"left by a crash")
    log.put("tile/0/002.p/90", b"of a later tree")
    log.put("policies/1", b"a change of policy lies beside the tree")
    seen: list[tuple[int, int]] = []
    leaves: list[int] = []
    report = verify(
        log, progress=lambda done, total: seen.append((done, total)), visit=lambda index, _: leaves.append(index)
    )
    assert report.checkpoint.size == 600
    assert report.kinds == {"platform": 1, "private": 596, "epoch": 3}
    assert report.last_epoch == EpochLeaf(n=2, prev_size=256, map_root=None, time=1_750_000_000_002)
    assert seen == [(256, 600), (512, 600), (600, 600)]
    assert leaves == list(range(600))
    assert report.unchecked == ("tile/0/000.p/257.new", "tile/0/002.p/90")
    assert report.compared == 3 + 3 + 1 + 3  # bundles, level 0, level 1, older partials: entries, level 0, level 1


def paths(root: Path) -> list[str]:
    """Every file of the test log."""
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


FILES = [
    "checkpoint",
    "tile/0/000",
    "tile/0/000.p/3",
    "tile/0/001",
    "tile/0/002.p/88",
    "tile/1/000.p/1",
    "tile/1/000.p/2",
    "tile/entries/000",
    "tile/entries/000.p/3",
    "tile/entries/001",
    "tile/entries/002.p/88",
]
NEEDED = [path for path in FILES if path not in ("tile/0/000.p/3", "tile/1/000.p/1", "tile/entries/000.p/3")]


def test_these_are_all_files(log: LogWriter) -> None:
    """The tests below tamper with every file there is."""
    assert paths(log.root) == FILES


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("place", [0.0, 0.3, 0.7, 1.0])
def test_every_tampering_is_found_and_located(log: LogWriter, path: str, place: float) -> None:
    """One bit turned anywhere in any file: the error names that file."""
    file = log.root / path
    flip(file, int(place * (8 * file.stat().st_size - 1)))
    with pytest.raises(LogError) as caught:
        verify(log)
    assert re.match(rf"{re.escape(path)}(, |$)", caught.value.where), caught.value.diagnostics()
    kinds: dict[str, tuple[type[LogError], ...]] = {"c": (BadCheckpoint,), "e": (BadEntry, BadTile, TileMismatch)}
    assert isinstance(caught.value, kinds.get(path.removeprefix("tile/")[0], (TileMismatch,)))
    assert caught.value.diagnostics().startswith(f"{caught.value.where}: expected ")


@pytest.mark.parametrize("path", NEEDED)
def test_a_missing_file_is_named(log: LogWriter, path: str) -> None:
    """Each file that the signed tree needs is missed."""
    (log.root / path).unlink()
    with pytest.raises((MissingTile, BadCheckpoint)) as caught:
        verify(log)
    assert caught.value.where == path


@pytest.mark.parametrize("path", NEEDED[1:])
@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\x00", lambda data: b""])
def test_a_file_of_another_length_is_named(log: LogWriter, path: str, change: Callable[[bytes], bytes]) -> None:
    """Cut short, lengthened or empty."""
    (log.root / path).write_bytes(change((log.root / path).read_bytes()))
    with pytest.raises(BadTile) as caught:
        verify(log)
    assert caught.value.where == path


def test_an_exchanged_entry_is_told_from_a_changed_tile(log: LogWriter) -> None:
    """The signed root decides which of bundle and tile is wrong, leaf by leaf."""
    genuine = (log.root / "tile/0/001").read_bytes()
    log.put("tile/entries/001", encode_entries([*log.leaves[256:299], private(9999), *log.leaves[300:512]]))
    with pytest.raises(BadEntry, match=r"^tile/entries/001, leaf 299: expected an entry of hash ") as entry:
        verify(log)
    assert entry.value.expected.endswith(leaf_hash(log.leaves[299]).hex())
    assert entry.value.found == leaf_hash(private(9999)).hex()
    log.put("tile/entries/001", encode_entries(log.leaves[256:512]))
    log.put("tile/0/001", genuine[: 43 * 32] + bytes(32) + genuine[44 * 32 :])
    with pytest.raises(TileMismatch, match=r"^tile/0/001, hash 43: expected .* of leaf 299, found 0{64}$"):
        verify(log)


def test_an_entry_exchanged_together_with_its_tile_is_found_one_level_up(log: LogWriter) -> None:
    """The level-1 tile, proven by the signed root, shows which 256 leaves were exchanged."""
    forged = [*log.leaves[256:299], private(9999), *log.leaves[300:512]]
    log.put("tile/entries/001", encode_entries(forged))
    log.put("tile/0/001", b"".join(leaf_hash(leaf) for leaf in forged))
    with pytest.raises(BadEntry, match=r"^leaves 256 to 511: expected entries of hash [0-9a-f]{64} in tile/1/000\.p/2"):
        verify(log)


def test_two_faults_at_one_place_are_not_decided_falsely(log: LogWriter) -> None:
    """Where neither entry nor tile is proven, the error says so."""
    flip(log.root / "tile/0/001", 8 * 32 * 43)
    flip(log.root / "tile/0/001", 8 * 32 * 44)
    log.put("tile/entries/001", encode_entries([*log.leaves[256:299], private(9999), *log.leaves[300:512]]))
    with pytest.raises(TileMismatch, match="neither is proven"):
        verify(log)


def test_files_that_agree_with_each_other_but_not_with_the_root(log: LogWriter) -> None:
    """All of a small tree exchanged consistently leads to another root than the signed one."""
    size = SIZES[0]
    small = LogWriter(log.root / "small").epoch([PLATFORM, private(0)])
    small.put(f"tile/entries/000.p/{size}", encode_entries([PLATFORM, private(1), small.leaves[-1]]))
    hashes = [leaf_hash(PLATFORM), leaf_hash(private(1)), leaf_hash(small.leaves[-1])]
    small.put(f"tile/0/000.p/{size}", b"".join(hashes))
    with pytest.raises(RootMismatch) as caught:
        verify(small)
    assert Tree(hashes).root().hex() in caught.value.expected


def test_a_bad_leaf_that_the_log_did_not_sign_is_not_laid_at_its_door(tmp_path: Path) -> None:
    """Garbage put into bundle and tile together is an exchanged entry, not a leaf that the log signed."""
    small = LogWriter(tmp_path).epoch([PLATFORM, private(0)])
    forged = [PLATFORM, b"garbage", small.leaves[-1]]
    small.put("tile/entries/000.p/3", encode_entries(forged))
    small.put("tile/0/000.p/3", b"".join(leaf_hash(leaf) for leaf in forged))
    with pytest.raises(BadEntry, match=r"^leaf 1: expected an entry that the published tiles prove"):
        verify(small)


@pytest.mark.parametrize(
    "leaf",
    [
        b"",
        b"\x03" + bytes(66),
        b"\x01" + bytes(65),
        b"\x00{}",
        PLATFORM + b" ",
        PLATFORM.replace(b'"kind"', b' "kind"'),
        PLATFORM.replace(b"platform", b"unheard", 1),
        b'\x02{"map_root":null,"n":1,"prev_size":3}',
    ],
)
def test_a_signed_leaf_of_no_known_form_is_named(tmp_path: Path, leaf: bytes) -> None:
    """A log that signs what nobody can read is told so."""
    log = LogWriter(tmp_path).epoch([PLATFORM, private(0)]).epoch([private(1), leaf, private(2)])
    with pytest.raises(BadLeaf, match=r"^leaf 4: expected a leaf of docs/protocol\.md, section 3"):
        verify(log)


@pytest.mark.parametrize(
    ("closing", "message"),
    [
        (lambda n, prev: epoch_leaf(n + 1, prev, None, 1_760_000_000_000), "leaf 5: expected epoch 1, found epoch 2"),
        (lambda n, prev: epoch_leaf(n - 1, prev, None, 1_760_000_000_000), "leaf 5: expected epoch 1, found epoch 0"),
        (lambda n, prev: epoch_leaf(n, prev - 1, None, 1_760_000_000_000), "leaf 5: expected prev_size 3, .* found 2"),
        (lambda n, prev: epoch_leaf(n, 0, None, 1_760_000_000_000), "leaf 5: expected prev_size 3, .* found 0"),
        (lambda n, prev: epoch_leaf(n, prev, None, 1_740_000_000_000), "leaf 5: expected a time not before 175"),
        (lambda n, prev: private(n), "leaf 5: expected an epoch leaf to close the signed tree of size 6"),
    ],
)
def test_epochs_count_meet_and_go_forward(tmp_path: Path, closing: Callable[[int, int], bytes], message: str) -> None:
    """A gap, a repetition, a wrong previous size, a time that runs back, or no epoch leaf at the end."""
    log = LogWriter(tmp_path).epoch([PLATFORM, private(0)]).epoch([private(1), private(2)], closing)
    with pytest.raises(BadEpoch, match=f"^{message}"):
        verify(log)


def test_the_first_epoch_begins_the_log(tmp_path: Path) -> None:
    """There is no tree before the first."""
    log = LogWriter(tmp_path).epoch([private(1)], lambda n, prev: epoch_leaf(0, 1, None, 0))
    with pytest.raises(BadEpoch, match="expected prev_size 0"):
        verify(log)


@pytest.mark.parametrize("number", range(3))
def test_an_older_checkpoint_is_held_against_the_log(log: LogWriter, number: int) -> None:
    """The log begins with every tree that it signed."""
    older = log.checkpoints[number]
    report = verify(log, older=older)
    assert report.older == checkpoint.open(older, KEY.verifier)
    assert report.older.size == SIZES[number]


def test_a_forked_log_is_found(tmp_path: Path) -> None:
    """Two signed trees that do not fit each other are proof, whatever the sizes."""
    one = write(tmp_path / "one")
    for leaves in ([private(-1)], [private(-1), private(-2)], [private(-1), private(-2), private(-3)]):
        other = LogWriter(tmp_path / f"other{len(leaves)}").epoch(leaves)
        with pytest.raises(ForkedLog, match=f"^the first {len(leaves) + 1} leaves: expected the root") as caught:
            verify(one, older=other.checkpoints[0])
        assert "keep and publish" in caught.value.diagnostics()
        with pytest.raises(ForkedLog, match="at least the size 600"):
            verify(other, older=one.checkpoints[-1])


def test_tampered_files_are_no_fork(log: LogWriter) -> None:
    """The log is accused of a fork only after its files were found to be what it signed."""
    other = LogWriter(log.root / "other").epoch([private(-1)])
    flip(log.root / "tile/0/000", 9)
    with pytest.raises(TileMismatch):
        verify(log, older=other.checkpoints[0])


def test_an_older_tree_ends_with_an_epoch_leaf_too(log: LogWriter) -> None:
    """A checkpoint signed in the middle of an epoch is the log's fault."""
    hashes = [leaf_hash(leaf) for leaf in log.leaves[:100]]
    older = checkpoint.sign(Checkpoint(KEY.name, 100, Tree(hashes).root()), KEY)
    with pytest.raises(BadEpoch, match=r"^leaf 99: expected an epoch leaf to close the signed tree of size 100"):
        verify(log, older=older)


def test_the_empty_tree_precedes_every_log(log: LogWriter) -> None:
    """An older checkpoint of size 0 asks for nothing; a log that is still empty has no epoch leaf to show."""
    empty = checkpoint.sign(Checkpoint(KEY.name, 0, Tree().root()), KEY)
    assert verify(log, older=empty).older == Checkpoint(KEY.name, 0, Tree().root())
    log.put("checkpoint", empty)
    with pytest.raises(BadCheckpoint, match="the empty tree"):
        verify(log)


def test_a_partial_tile_may_go_while_the_log_is_read(log: LogWriter) -> None:
    """A listed partial tile that the log has dropped since is no fault: the signed tree does not need it."""
    source = directory_source(log.root)
    listing = list(source.paths())
    (log.root / "tile/0/000.p/3").unlink()
    assert replay(source, KEY.vkey, listing=listing).compared == 9


def test_another_key_signs_nothing_here(log: LogWriter) -> None:
    """Checkpoints under other keys, names or origins are refused, older ones too; so is a malformed key."""
    for stranger in (Signer(KEY.name, bytes(32)), Signer("elsewhere.example/log", KEY.seed)):
        with pytest.raises(BadCheckpoint, match=r"^checkpoint: expected a checkpoint signed by "):
            replay(directory_source(log.root), stranger.vkey)
        signed = checkpoint.sign(Checkpoint(stranger.name, 3, bytes(32)), stranger)
        with pytest.raises(BadCheckpoint, match=r"^the older checkpoint: "):
            verify(log, older=signed)
    with pytest.raises(MalformedKey):
        replay(directory_source(log.root), "no key")


def test_a_pruned_partial_tile_is_replaced_by_the_full_one(log: LogWriter) -> None:
    """A log that grew while it was read may have dropped partial tiles for full ones; their beginnings serve."""
    signed = log.checkpoints[0]
    for path in ("tile/0/000.p/3", "tile/entries/000.p/3"):
        (log.root / path).unlink()
    log.put("checkpoint", signed)
    assert replay(directory_source(log.root), KEY.vkey).checkpoint.size == 3
    flip(log.root / "tile/entries/000", 8 * 100)
    with pytest.raises((BadEntry, BadTile), match=r"^tile/entries/000"):
        replay(directory_source(log.root), KEY.vkey)


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> LogWriter:
    """A log with tiles on three levels."""
    log = LogWriter(tmp_path_factory.mktemp("deep"))
    return log.epoch([private(number) for number in range(65_700)])


@pytest.mark.parametrize(
    ("path", "bit", "where"),
    [
        ("tile/2/000.p/1", 5, "tile/2/000.p/1, hash 0"),
        ("tile/1/000", 8 * 32 * 200, "tile/1/000, hash 200"),
        ("tile/0/200", 8 * 32 * 7, "tile/0/200, hash 7"),
        ("tile/entries/255", 8 * 69 * 9 + 300, "tile/entries/255, leaf 65289"),
    ],
)
def test_tampering_is_located_on_every_level(deep: LogWriter, path: str, bit: int, where: str) -> None:
    """Level 2 down to a single leaf among 65,701."""
    flip(deep.root / path, bit)
    try:
        with pytest.raises((TileMismatch, BadEntry)) as caught:
            verify(deep)
    finally:
        flip(deep.root / path, bit)
    assert caught.value.where == where


def test_a_deep_log_is_verified(deep: LogWriter) -> None:
    """Nothing is wrong with it."""
    assert verify(deep).kinds == {"private": 65_700, "epoch": 1}
