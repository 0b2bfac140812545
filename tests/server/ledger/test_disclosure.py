"""The operator's half of the commitments, page by page in the order of the log."""

from pathlib import Path
from typing import Any

import pytest

from paraph.protocol.base64 import unb64url
from paraph.protocol.entry import PrivateLeaf, first_half, join_commitment, parse_leaf
from paraph.server.http import MatrixError
from paraph.server.ledger.disclosure import Disclosure
from paraph.server.ledger.service import Ledger
from paraph.server.storage import Database
from tests.server.ledger.support import PERSON, K, running_ledger, until, verify_log


async def record(database: Database, ledger: Ledger, count: int) -> None:
    """Enrolments of the person's, as many as asked for, published."""
    size = ledger.size

    def write(tx: Any) -> None:
        ledger.set_log_key(tx, PERSON, K)
        for number in range(count):
            ledger.record_private(tx, "export", PERSON, None, {"number": number})

    await database.write(write)
    await until(lambda: ledger.size >= size + count + 1)


async def test_pages_follow_the_log(tmp_path: Path) -> None:
    """Every private leaf once, at its place, opened as the log commits to it; across bundles, while the log grows."""
    async with running_ledger(tmp_path) as (database, ledger):
        await record(database, ledger, 300)
        disclosure = Disclosure(ledger, database)
        first = await disclosure.page(0, None)
        await record(database, ledger, 5)
        size, leaves, following = first.size, list(first.leaves), first.next
        while following is not None:
            page = await disclosure.page(following, size)
            leaves, following = leaves + page.leaves, page.next
        assert (await disclosure.page(size, size)).rendered == {"size": size, "leaves": [], "next": None}
        vkey = ledger.vkey
    logged = verify_log(tmp_path / "log", vkey)[:size]
    private = {index: leaf for index, leaf in enumerate(map(parse_leaf, logged)) if isinstance(leaf, PrivateLeaf)}
    assert [shown["leaf"] for shown in leaves] == list(private)
    for shown in leaves:
        totals = {member: shown[member] for member in ("kind", "partner", "day")}
        half = first_half(totals, unb64url(shown["o1"]))
        assert join_commitment(half, unb64url(shown["second"])) == private[shown["leaf"]].commitment


async def test_a_tree_that_is_not_published(tmp_path: Path) -> None:
    """Nothing is said about what no checkpoint covers yet."""
    async with running_ledger(tmp_path) as (database, ledger):
        with pytest.raises(MatrixError):
            await Disclosure(ledger, database).page(0, ledger.size + 1)
