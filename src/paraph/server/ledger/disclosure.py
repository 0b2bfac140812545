"""The operator's half of the commitments: kind, partner and day of every private leaf, and nobody's name.

Pages follow the entry bundles of the published log, so the order is that of the log and nothing can be skipped; each
leaf is looked up by its hash. What was erased cannot be opened any more and is listed as such.
"""

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Any

from paraph.protocol.base64 import b64url
from paraph.protocol.entry import second_half
from paraph.server.http import MatrixError
from paraph.server.ledger import store
from paraph.server.ledger.service import Ledger
from paraph.server.storage import Database, Transaction
from paraph.tlog.merkle import leaf_hash
from paraph.tlog.tiles import TILE_WIDTH, entries_path, parse_entries

AT_ONCE = 32
"""Leaves that are looked up in one go on the event loop."""
_PRIVATE = b"\x01"

Opened = tuple[bytes, bytes, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class DisclosurePage:
    """What a page says: the tree's size, one object for each private leaf, and where the next page begins."""

    size: int
    leaves: list[dict[str, Any]]
    next: int | None

    @property
    def rendered(self) -> dict[str, Any]:
        """The answer of docs/protocol.md section 7."""
        return {"size": self.size, "leaves": self.leaves, "next": self.next}


class Disclosure:
    """Reads the log's files and the openings."""

    def __init__(self, ledger: Ledger, database: Database) -> None:
        self._ledger = ledger
        self._database = database

    async def page(self, start: int, size: int | None) -> DisclosurePage:
        """The private leaves from index `start` to the end of its bundle, in the published tree of `size` leaves.

        Without `size` it is the newest one. Raises MatrixError for a tree that is not published.
        """
        published = self._ledger.size
        wanted = published if size is None else size
        if wanted > published:
            raise MatrixError(404, "M_NOT_FOUND", f"the newest published tree has size {published}, not {wanted}")
        if start >= wanted:
            return DisclosurePage(wanted, [], None)
        bundle, skip = divmod(start, TILE_WIDTH)
        end = min((bundle + 1) * TILE_WIDTH, wanted)
        entries = (await self._entries(bundle))[skip : end - bundle * TILE_WIDTH]
        private = [(start + at, leaf_hash(leaf)) for at, leaf in enumerate(entries) if leaf.startswith(_PRIVATE)]
        opened = await self._opened([hashed for _, hashed in private])
        shown = await asyncio.to_thread(
            lambda: [_shown(index, one) for (index, _), one in zip(private, opened, strict=True)]
        )
        return DisclosurePage(wanted, shown, end if end < wanted else None)

    async def _entries(self, bundle: int) -> list[bytes]:
        """All published entries of a bundle."""
        width = min(TILE_WIDTH, self._ledger.size - bundle * TILE_WIDTH)
        for tried in (width, TILE_WIDTH):
            data = await asyncio.to_thread(self._ledger.tile_file, entries_path(bundle, tried))
            if data is not None:
                return parse_entries(data, tried)
        raise MatrixError(503, "ORG_PARAPH_BUSY", "the log has grown meanwhile; ask again")

    async def _opened(self, hashes: list[bytes]) -> list[Opened | None]:
        found: list[Opened | None] = []
        for at in range(0, len(hashes), AT_ONCE):
            found += await self._database.read(partial(_look_up, hashes=hashes[at : at + AT_ONCE]))
        return found


def _look_up(tx: Transaction, hashes: list[bytes]) -> list[Opened | None]:
    return [store.opened_leaf(tx, hashed) for hashed in hashes]


def _shown(index: int, opened: Opened | None) -> dict[str, Any]:
    """`{leaf, o1, kind, partner, day, second}`; `{leaf}` alone for one that cannot be opened any more."""
    if opened is None:
        return {"leaf": index}
    o1, o2, entry = opened
    totals = {member: entry[member] for member in ("kind", "partner", "day")}
    return {"leaf": index, "o1": b64url(o1), **totals, "second": b64url(second_half(entry, o2))}
