"""The files of a published log: tile and entry bundle as parsers, and each file mutated under a whole replay."""

from collections.abc import Callable

from paraph.audit.errors import LogError
from paraph.audit.replay import replay
from paraph.tlog import checkpoint
from paraph.tlog.checkpoint import Checkpoint
from paraph.tlog.merkle import leaf_hash
from paraph.tlog.tiles import Tile, TileError, encode_entries, parse_entries, parse_tile
from tests.corpus.honest import CHECKPOINT, EARLIER, FORKED, HONEST, IMPOSTOR, LOG, SIZE, TREE
from tests.corpus.layout import Piece, layout
from tests.corpus.mutators import of_bytes
from tests.corpus.structure import Kind, Structure
from tests.corpus.structures.notes import CHECKPOINT_NOTE, repeated


def _files(leaves: list[bytes]) -> dict[str, bytes]:
    """What a log of these few leaves publishes beside its checkpoint."""
    return {
        Tile(0, 0, len(leaves)).path: b"".join(map(leaf_hash, leaves)),
        Tile(-1, 0, len(leaves)).path: encode_entries(leaves),
    }


def _bundle_pieces(leaves: list[bytes]) -> list[Piece]:
    pieces: list[Piece] = []
    for number, leaf in enumerate(leaves):
        pieces += [(f"length {number}", Kind.RAW, len(leaf).to_bytes(2, "big")), (f"entry {number}", Kind.RAW, leaf)]
    return pieces


FILES = _files(HONEST.leaves) | {"checkpoint": CHECKPOINT_NOTE[0]}
TILE_PATH, BUNDLE_PATH = Tile(0, 0, SIZE).path, Tile(-1, 0, SIZE).path
TILE = layout(*((f"hash {n}", Kind.RAW, leaf_hash(leaf)) for n, leaf in enumerate(HONEST.leaves)))
BUNDLE = layout(*_bundle_pieces(HONEST.leaves))
FEW = [b"", b"one", b"two\x00\x05"]


def _under_replay(path: str) -> Callable[[bytes], object]:
    """Replays the log with these bytes as the file at `path`."""

    def read(data: bytes) -> object:
        files = FILES | {path: data}

        def fetch(asked: str) -> bytes:
            if asked not in files:
                raise FileNotFoundError(asked)
            return files[asked]

        return replay(fetch, LOG.vkey).checkpoint

    return read


STRUCTURES = (
    Structure(
        "tile",
        b"".join(map(leaf_hash, FEW)),
        lambda data: parse_tile(data, 3),
        (TileError,),
        of_bytes,
        other=lambda meaning, data: b"".join(meaning) == data,
    ),
    Structure(
        "entry bundle",
        layout(*_bundle_pieces(FEW))[0],
        lambda data: parse_entries(data, 3),
        (TileError,),
        of_bytes,
        layout(*_bundle_pieces(FEW))[1],
        other=lambda meaning, data: encode_entries(meaning) == data,
    ),
    Structure(
        "tile of a log",
        TILE[0],
        _under_replay(TILE_PATH),
        (LogError,),
        of_bytes,
        TILE[1],
        forged={
            "a fork's": _files(FORKED.leaves)[TILE_PATH],
            "an epoch ago": next(iter(_files(EARLIER.leaves).values())),
        },
    ),
    Structure(
        "entry bundle of a log",
        BUNDLE[0],
        _under_replay(BUNDLE_PATH),
        (LogError,),
        of_bytes,
        BUNDLE[1],
        forged={"a fork's": _files(FORKED.leaves)[BUNDLE_PATH], "an epoch ago": [*_files(EARLIER.leaves).values()][1]},
    ),
    Structure(
        "checkpoint of a log",
        CHECKPOINT_NOTE[0],
        _under_replay("checkpoint"),
        (LogError,),
        of_bytes,
        CHECKPOINT_NOTE[1],
        same=repeated(CHECKPOINT_NOTE[0]),
        forged={
            **{
                f"size {n}": checkpoint.sign(Checkpoint(LOG.name, n, TREE.root()), LOG) for n in (1, 11, 13, 256, 2**62)
            },
            **{
                f"an honest tree of size {n} without its epoch": checkpoint.sign(
                    Checkpoint(LOG.name, n, TREE.root(n)), LOG
                )
                for n in (1, 3, 11)
            },
            "a fork's": checkpoint.sign(Checkpoint(LOG.name, SIZE, FORKED.tree().root()), LOG),
            "an impostor's": checkpoint.sign(CHECKPOINT, IMPOSTOR),
        },
    ),
)
