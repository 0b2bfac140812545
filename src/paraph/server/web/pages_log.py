"""Pages about the log itself: the start, its witnesses, lists of records, and one record with its proof."""

from dataclasses import dataclass
from typing import Any

from paraph.protocol.base64 import b64url
from paraph.protocol.entry import PUBLIC_KINDS, EpochLeaf, Leaf, PrivateLeaf, PublicLeaf, parse_leaf
from paraph.protocol.errors import ProtocolError
from paraph.protocol.limits import DAY_MS, MERGE_DELAY_MS
from paraph.server.ledger import public
from paraph.server.storage import Transaction
from paraph.server.web import words
from paraph.server.web.explorer import PAGE, ROOT, Explorer, not_found
from paraph.server.web.published import MAX_AGE, Tree, walk_groups
from paraph.tlog.merkle import leaf_hash
from paraph.tlog.proof import Proof

NEWEST = 10
"""Records that the start page lists."""


async def start(explorer: Explorer) -> dict[str, Any]:
    """What this log is, its newest checkpoint, how many records it holds, and how to verify them."""

    def read(tx: Transaction) -> tuple[int, dict[str, int], dict[str, int], list[dict[str, Any]]]:
        newest = [explorer.brief(tx, listed.record) for listed in public.records(tx, NEWEST)]
        return public.published_size(tx), explorer.tally.count(tx), public.waiting_kinds(tx), newest

    size, kinds, waiting, newest = await explorer.database.read(read)
    tree = await explorer.tree()
    epoch = await explorer.reading(lambda: explorer.log.epoch(size)) if size else None
    in_log = sum(kinds.values()) - sum(waiting.values())
    return {
        "log": _log(explorer),
        "operator_key": explorer.consent.operator_key.public_key,
        "checkpoint": explorer.checkpoint(tree),
        "warnings": explorer.warnings(tree),
        "counts": {
            "size": size,
            "public": {kind: kinds[kind] - waiting.get(kind, 0) for kind in words.COUNTED if kind in kinds},
            "private": 0 if epoch is None else size - (epoch.n + 1) - in_log,
            "epochs": 0 if epoch is None else epoch.n + 1,
            "waiting": sum(waiting.values()),
        },
        "verify": verify_commands(explorer),
        "newest": newest,
    }


def _log(explorer: Explorer) -> dict[str, Any]:
    return {"origin": explorer.ledger.origin, "vkey": explorer.ledger.vkey, "url": f"{explorer.base_url}/log"}


def verify_commands(explorer: Explorer) -> list[str]:
    """What to type to verify the whole log."""
    return [f'paraph log verify {explorer.base_url}/log --key "{explorer.ledger.vkey}"']


async def witnesses(explorer: Explorer) -> dict[str, Any]:
    """Who must have cosigned before anybody's device believes this log, and when each last did."""
    tree = await explorer.tree()
    policy, standing = explorer.log.policy, None if tree is None else explorer.standing(tree)
    groups = [] if policy is None else walk_groups(policy)
    times = {} if standing is None else standing.times
    return {
        "log": _log(explorer),
        "checkpoint": explorer.checkpoint(tree),
        "warnings": explorer.warnings(tree),
        "policy": explorer.policy_text,
        "quorum": None if policy is None else policy.quorum.name,
        "map_audited": policy is not None and policy.map_audited,
        "groups": groups,
        "witnesses": [
            {
                "name": witness.name,
                "groups": [group["name"] for group in groups if witness.name in group["members"]],
                "vkey": witness.verifier.vkey,
                "url": witness.url,
                "cosigned": times[witness.name] * 1000 if witness.name in times else None,
            }
            for witness in (policy.witnesses if policy is not None else ())
        ],
        "fresh_for_seconds": MAX_AGE,
        "merge_delay_seconds": MERGE_DELAY_MS // 1000,
    }


async def records(explorer: Explorer, about: str | None, kind: str | None, before: str | None) -> dict[str, Any]:
    """Public records, newest first: all of them, or those about one partner (or `platform`), or of one kind of it."""
    kinds = sorted(PUBLIC_KINDS) if kind is None else [kind]
    page = await explorer.database.read(lambda tx: explorer.listed(tx, about, kinds, before))
    return {"about": about, "kind": kind, "page_size": PAGE, **page}


@dataclass(frozen=True, slots=True)
class Found:
    """A record: its bytes, the tree that it is proven under (None while it waits), its page below the root."""

    leaf: bytes
    index: int | None
    tree: Tree | None
    path: str
    view: dict[str, Any]

    @property
    def file(self) -> str:
        """What its files are called."""
        return self.path.rpartition("/")[2]


async def by_hash(explorer: Explorer, hash_of_leaf: bytes) -> Found:
    """One record of any sort, by its leaf hash."""
    known = await explorer.database.read(lambda tx: public.find_leaf(tx, hash_of_leaf))
    if known is None:
        raise not_found("this log holds no record with this hash, and none with it waits")
    tree = await explorer.tree()
    index = known.index
    if tree is None or index is None or index >= tree.checkpoint.size:
        index = None
    return _found(explorer, known.leaf, index, tree)


async def by_index(explorer: Explorer, index: int) -> Found:
    """One record of any sort, by its number in the log, from the published files alone."""
    tree = await explorer.tree()
    if tree is None or index >= tree.checkpoint.size:
        raise not_found("the log has not grown to this record yet")
    leaf = await explorer.reading(lambda: explorer.log.leaf(index, tree))
    return _found(explorer, leaf, index, tree)


async def bundle(explorer: Explorer, found: Found) -> bytes:
    """The C2SP proof bundle of a record; raises Problem while it waits."""
    index, tree = found.index, found.tree
    if index is None or tree is None:
        raise not_found("this record waits for the log: there is no proof of it yet")
    proof: Proof = await explorer.reading(lambda: explorer.log.proof(index, tree))
    return proof.encode()


def _found(explorer: Explorer, leaf: bytes, index: int | None, tree: Tree | None) -> Found:
    """By its number where it has one and is no database's to find: epoch leaves are in the log alone."""
    hash_of_leaf = leaf_hash(leaf)
    path = f"/leaves/{index}" if leaf[:1] == b"\x02" else f"/records/{hash_of_leaf.hex()}"
    view = {
        "leaf_hash": hash_of_leaf.hex(),
        "index": index,
        "url": f"{ROOT}{path}",
        "bytes": len(leaf),
        **_parsed(leaf),
        "checkpoint": explorer.checkpoint(tree),
        "warnings": explorer.warnings(tree),
        "proof": None if index is None else _proof(explorer, f"{ROOT}{path}"),
        **_neighbours(index, tree),
    }
    return Found(leaf, index, tree, path, view)


def _neighbours(index: int | None, tree: Tree | None) -> dict[str, str | None]:
    if index is None or tree is None:
        return {"previous": None, "following": None}
    return {
        "previous": f"{ROOT}/leaves/{index - 1}" if index else None,
        "following": f"{ROOT}/leaves/{index + 1}" if index + 1 < tree.checkpoint.size else None,
    }


def _parsed(leaf: bytes) -> dict[str, Any]:
    """What a leaf says: {sort, title, content}, and for public records when it has to be in the log."""
    try:
        parsed: Leaf | None = parse_leaf(leaf)
    except ProtocolError:
        parsed = None
    if isinstance(parsed, PublicLeaf):
        content = {"kind": parsed.kind, "partner": parsed.partner, "ts": parsed.ts, "document": parsed.document}
        title, deadline = words.title(parsed.kind, parsed.document), parsed.ts + MERGE_DELAY_MS
        return {"sort": "public", "title": title, "content": content, "deadline": deadline}
    if isinstance(parsed, PrivateLeaf):
        return {"sort": "private", "title": words.KINDS["private"], "content": _private(parsed), "deadline": None}
    if isinstance(parsed, EpochLeaf):
        content = {"n": parsed.n, "prev_size": parsed.prev_size, "map_root": parsed.map_root, "time": parsed.time}
        return {"sort": "epoch", "title": words.KINDS["epoch"], "content": content, "deadline": None}
    title = "A record of an unknown form"
    return {"sort": "unknown", "title": title, "content": {"leaf": leaf.hex()}, "deadline": None}


def _private(leaf: PrivateLeaf) -> dict[str, Any]:
    monday = (leaf.week * 7 - 3) * DAY_MS
    return {
        "week": leaf.week,
        "week_begins": max(0, monday),
        "week_ends": monday + 7 * DAY_MS - 1,
        "label": b64url(leaf.label),
        "commitment": b64url(leaf.commitment),
    }


def _proof(explorer: Explorer, url: str) -> dict[str, Any]:
    """Where the proof is, and what to type to check it."""
    base, file = f"{explorer.base_url}{url}", url.rpartition("/")[2]
    policy, option = [], ""
    if explorer.policy_text is not None:
        policy, option = [f"curl -O {explorer.base_url}{ROOT}/log.policy"], " --policy log.policy"
    check = f'paraph log proof {file}.leaf {file}.tlog-proof --key "{explorer.ledger.vkey}"{option}'
    return {
        "bundle": f"{url}.tlog-proof",
        "leaf": f"{url}.leaf",
        "check": [f"curl -O {base}.leaf", f"curl -O {base}.tlog-proof", *policy, check],
    }
