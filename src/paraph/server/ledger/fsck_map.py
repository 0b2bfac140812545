"""`map.db` against the log: its frontiers give the signed root of the map, and its places are those of the leaves."""

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path

from paraph.protocol.base64 import b64url
from paraph.protocol.entry import EpochLeaf
from paraph.server.ledger.fsck_errors import Wrong
from paraph.server.ledger.map_store import FollowedStore
from paraph.tlog.map_proof import map_value
from paraph.tlog.merkle import HASH_SIZE, Frontier
from paraph.tlog.prefix_map import PrefixMap

_AT_ONCE = 4096


def check(
    path: Path, hashes: bytes, epochs: Mapping[int, EpochLeaf], told: Callable[[str, int, int | None], None]
) -> tuple[bool, str]:
    """Compare all of `map.db` with the verified leaf hashes and epoch leaves (by the size they close). Raises Wrong.

    The root of the frontiers being the signed one, each key's count and leaves are right; so only places are left.
    """
    if not path.exists():
        return True, "there is no map.db; the next start makes it from the log"
    store = FollowedStore(path)
    try:
        with store.snapshot():
            return True, _compare(store, hashes, epochs, told)
    finally:
        store.close()


def _compare(
    store: FollowedStore, hashes: bytes, epochs: Mapping[int, EpochLeaf], told: Callable[[str, int, int | None], None]
) -> str:
    size = store.size()
    if not size:
        return "map.db is empty; the next start makes it from the log"
    if size not in epochs:
        return f"map.db is that of the size {size}, newer than this look at the log; not judged"
    tree, labels, keys = PrefixMap(), store.labels(), 0
    while some := list(islice(labels, _AT_ONCE)):
        tree = tree.set({key: map_value(frontier.size, frontier.root()) for key, frontier in some})
        for key, frontier in some:
            _check_places(key, frontier, store.places(key, size), hashes)
        keys += len(some)
        told("map", keys, None)
    if b64url(tree.root) != epochs[size].map_root:
        raise Wrong(f"map.db does not give the map root that was signed at size {size}; remove it, it is made again")
    return f"{keys} keys, at size {size}"


def _check_places(key: bytes, frontier: Frontier, places: Iterable[tuple[int, bytes]], hashes: bytes) -> None:
    found = Frontier()
    for index, hashed in places:
        if hashes[index * HASH_SIZE : (index + 1) * HASH_SIZE] != bytes(hashed):
            raise Wrong(f"map.db has another leaf {index} under {key.hex()} than the log; remove it, it is made again")
        found.append(bytes(hashed))
    if (found.size, found.root()) != (frontier.size, frontier.root()):
        raise Wrong(f"map.db counts other leaves under {key.hex()} than it lists; remove it, it is made again")
