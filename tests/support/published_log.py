"""A transparency log on a web server of the test's own, with a witness and a map: honest until a test makes it lie."""

from __future__ import annotations

import json
from typing import Any

import httpx

from paraph.protocol.base64 import b64url
from paraph.protocol.entry import epoch_leaf
from paraph.protocol.map_key import map_key_of_bytes
from paraph.tlog import checkpoint as checkpoints
from paraph.tlog import note
from paraph.tlog.cosignature import CosignatureSigner
from paraph.tlog.map_proof import map_value
from paraph.tlog.merkle import Frontier, leaf_hash
from paraph.tlog.note import Signer
from paraph.tlog.prefix_map import PrefixMap
from paraph.tlog.tiles import Edge, encode_entries, new_bundles

KEY = Signer.generate("example.org/log")
WITNESS = CosignatureSigner.generate("witness.example/w")
POLICY = f"witness w {WITNESS.verifier.vkey}\nquorum w\n"


class PublishedLog:
    """Leaves, tiles and the map over them; times are ms.

    `witnesses` cosign what is published. While `omit` is set, the map leaves out what is published.
    """

    def __init__(self) -> None:
        self.edge = Edge()
        self.leaves: list[bytes] = []
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.asked: list[list[str]] = []
        self.most_leaves = 20_000
        self.omit = False
        self.omitted: set[bytes] = set()
        self.witnesses: tuple[CosignatureSigner, ...] = (WITNESS,)
        self.trees: dict[int, tuple[int, PrefixMap, dict[bytes, list[int]]]] = {}

    def publish(self, *leaves: bytes, time: int = 0, cosigned: int | None = None) -> None:
        """One more epoch, cosigned at its time, or at `cosigned` (ms)."""
        before = self.edge.size
        if self.omit:
            self.omitted.update(leaves)
        tree, places = _map_of([*self.leaves, *leaves], self.omitted)
        added = [*leaves, epoch_leaf(len(self.trees), before, b64url(tree.root), time)]
        tiles = self.edge.append(leaf_hash(leaf) for leaf in added)
        self.leaves += added
        self.files |= {tile.path: data for tile, data in tiles.items()}
        for bundle in new_bundles(before, self.edge.size):
            start = bundle.index * 256
            self.files[bundle.path] = encode_entries(self.leaves[start : start + bundle.width])
        self.trees[self.edge.size] = time, tree, places
        self.cosign(time if cosigned is None else cosigned)

    def cosign(self, time: int) -> None:
        """Publish the newest tree, cosigned at a time (ms)."""
        head = checkpoints.Checkpoint(KEY.name, self.edge.size, self.edge.root())
        signatures = [signer.cosign(head.text, time // 1000) for signer in self.witnesses]
        self.publish_checkpoint(head, *signatures)

    def publish_checkpoint(self, head: checkpoints.Checkpoint, *signatures: note.Signature) -> None:
        """Publish a checkpoint with the log's signature and these."""
        _, own = note.parse(checkpoints.sign(head, KEY))
        self.files["checkpoint"] = note.encode(head.text, [*own, *signatures])

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer a request below /log/ or /_paraph/v1/log/."""
        path = request.url.path
        self.requests.append(path)
        if path == "/_paraph/v1/log/map":
            return self._map(json.loads(request.content))
        if path.startswith("/_paraph/v1/log/leaf/"):
            return self._leaf(bytes.fromhex(path.rpartition("/")[2]))
        data = self.files.get(path.removeprefix("/log/"))
        missing = {"errcode": "M_NOT_FOUND", "error": "not published"}
        return httpx.Response(404, json=missing) if data is None else httpx.Response(200, content=data)

    def _map(self, body: dict[str, object]) -> httpx.Response:
        size, keys = body["size"], body["keys"]
        assert isinstance(size, int)
        assert isinstance(keys, list)
        if size not in self.trees:
            return httpx.Response(404, json={"errcode": "ORG_PARAPH_MAP_NOT_KEPT", "error": "not kept"})
        self.asked.append(keys)
        answers = [self.statement(size, key) for key in keys]
        if len(keys) > 1 and sum(len(answer["leaves"]) for answer in answers) > self.most_leaves:
            return httpx.Response(413, json={"errcode": "M_TOO_LARGE", "error": "ask for fewer keys at a time"})
        return httpx.Response(200, json={"size": size, "answers": answers})

    def statement(self, size: int, key: str) -> dict[str, Any]:
        """What the map of a tree says about a key."""
        _, tree, places = self.trees[size]
        indexes = places.get(bytes.fromhex(key), [])
        return {
            "key": key,
            "count": len(indexes),
            "leaves": [b64url(leaf_hash(self.leaves[index])) for index in indexes],
            "leaf_indexes": indexes,
            "proof": b64url(tree.prove(bytes.fromhex(key)).encode()),
        }

    def _leaf(self, wanted: bytes) -> httpx.Response:
        for index, leaf in enumerate(self.leaves):
            if leaf_hash(leaf) == wanted:
                return httpx.Response(200, json={"leaf_index": index, "size": len(self.leaves)})
        return httpx.Response(404, json={"errcode": "ORG_PARAPH_NOT_INTEGRATED", "error": "no"})


def _map_of(leaves: list[bytes], omitted: set[bytes]) -> tuple[PrefixMap, dict[bytes, list[int]]]:
    places: dict[bytes, list[int]] = {}
    for index, leaf in enumerate(leaves):
        key = map_key_of_bytes(leaf)
        if key is not None and leaf not in omitted:
            places.setdefault(key, []).append(index)
    values = {}
    for key, indexes in places.items():
        frontier = Frontier()
        for index in indexes:
            frontier.append(leaf_hash(leaves[index]))
        values[key] = map_value(len(indexes), frontier.root())
    return PrefixMap(values.items()), places
