"""A log with a map that an auditor can read: its files served from memory, and ways in which an operator lies."""

import asyncio
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import httpx

from paraph.protocol.base64 import b64url
from paraph.protocol.entry import epoch_leaf, private_leaf
from paraph.protocol.map_key import map_key_of_bytes
from paraph.tlog import note
from paraph.tlog.checkpoint import Checkpoint, sign
from paraph.tlog.merkle import Frontier, Tree, leaf_hash
from paraph.tlog.prefix_map import PrefixMap, grow
from paraph.tlog.tiles import TILE_WIDTH, encode_entries, parse_path
from paraph.tlog.witness import AddCheckpoint, Submission, open_request
from paraph.witness import folder
from paraph.witness.app import WitnessApplication
from paraph.witness.audit_store import AuditStore
from paraph.witness.auditor import MapAuditor
from paraph.witness.service import Witness
from paraph.witness.source import HttpSource
from paraph.witness.store import WitnessStore
from tests.witness.support import LOG, NAME, NOW

URL = "https://log.example/log"
Lie = Callable[[str], str | None]
Served = Callable[[str, bytes | None], bytes | httpx.Response | None]


def private(number: int, label: int | None = None) -> bytes:
    """A private leaf; all of one `label` lie under one key."""
    named = sha256(b"label %d" % (number if label is None else label)).digest()
    return private_leaf(2900, named, sha256(b"commitment %d" % number).digest())


class AuditedLog:
    """A log in memory. `transport` serves its entry bundles as the public address would."""

    def __init__(self) -> None:
        self.leaves: list[bytes] = []
        self.tree = Tree()
        self.ends: list[int] = [0]
        self.asked: Counter[str] = Counter()
        self.served: Served = lambda _path, data: data
        self._map = PrefixMap()
        self._frontiers: dict[bytes, Frontier] = {}

    def close(self, leaves: list[bytes], lie: Lie = lambda right: right, *, epoch: int = 0, end: int = 0) -> int:
        """One more epoch, whose number, prev_size and map root may be a lie; the size of the tree that it closes."""
        for leaf in leaves:
            self.add(leaf)
        keyed = [(key, leaf_hash(leaf)) for leaf in leaves if (key := map_key_of_bytes(leaf)) is not None]
        self._map, changed = grow(self._map, self._known, keyed)
        self._frontiers |= changed
        n, prev, root = len(self.ends) - 1 + epoch, self.ends[-1] + end, lie(b64url(self._map.root))
        self.add(epoch_leaf(n, prev, root, 1_750_000_000_000 + n))
        self.ends.append(len(self.leaves))
        return len(self.leaves)

    def add(self, leaf: bytes) -> None:
        """One leaf, whatever it is."""
        self.leaves.append(leaf)
        self.tree.append(leaf_hash(leaf))

    def _known(self, keys: object) -> dict[bytes, Frontier]:
        return {key: self._frontiers[key] for key in keys if key in self._frontiers}  # type: ignore[attr-defined]

    def checkpoint(self, size: int) -> bytes:
        """The signed tree of this size."""
        return sign(Checkpoint(LOG.name, size, self.tree.root(size)), LOG)

    def request(self, old: int, new: int) -> bytes:
        """The submission that goes from one size to another."""
        return AddCheckpoint(old, tuple(self.tree.consistency_proof(old, new)), self.checkpoint(new)).encode()

    def submission(self, new: int, old: int = 0) -> Submission:
        """The same as a witness reads it."""
        return open_request(self.request(old, new), {LOG.name: [LOG.verifier]})

    def bundle(self, path: str) -> bytes | None:
        """The bytes of a path below the log's URL, as long as no larger bundle has taken its place."""
        tile = parse_path(path)
        start = tile.index * TILE_WIDTH
        entries = self.leaves[start : start + tile.width]
        return encode_entries(entries) if len(entries) == tile.width else None

    def transport(self) -> httpx.MockTransport:
        """Serves `bundle`, through `served`, which a test may replace."""

        def answer(request: httpx.Request) -> httpx.Response:
            path = request.url.path.removeprefix("/log/")
            self.asked[path] += 1
            found = self.served(path, self.bundle(path))
            if isinstance(found, httpx.Response):
                return found
            return httpx.Response(404) if found is None else httpx.Response(200, stream=httpx.ByteStream(found))

        return httpx.MockTransport(answer)


def auditor(data: Path, log: AuditedLog, *, patience: float = 20.0, flush: int = 100_000) -> MapAuditor:
    """The auditor of a witness's folder, which is made at the first call."""
    if not (data / folder.KEY).exists():
        folder.create(data, NAME)
    signer, faults = folder.open_folder(data)
    return MapAuditor(
        AuditStore(data / "map.db"),
        HttpSource(URL, transport=log.transport(), wait=0.01),
        WitnessStore(data / folder.STATE, signer.verifier.vkey).keep_fault if faults is None else faults.keep_fault,
        clock=lambda: NOW,
        patience=patience,
        flush=flush,
    )


class AuditingWitness:
    """A whole witness with its auditor, spoken to as over HTTP."""

    def __init__(self, data: Path, log: AuditedLog, *, patience: float = 20.0) -> None:
        self.auditor = auditor(data, log, patience=patience)
        signer, store = folder.open_folder(data)
        self._witness = Witness(store, signer, [LOG.verifier], clock=lambda: NOW)
        self.log = log
        app = WitnessApplication(self._witness, {LOG.name: self.auditor})
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://witness.example")

    async def submit(self, old: int, new: int) -> httpx.Response:
        """POST /add-checkpoint."""
        return await self.http.post("/add-checkpoint", content=self.log.request(old, new))

    async def close(self) -> None:
        """As the process's end would."""
        await self.http.aclose()
        await asyncio.to_thread(self.auditor.close)
        self._witness.close()


def cosigner(data: Path) -> note.NoteVerifier:
    """The public key of a folder's witness."""
    return folder.open_folder(data)[0].verifier
