"""The page about the platform: what it runs and ran, what it allows, and what its operator put on record."""

from typing import Any

from paraph.audit.differences import differences
from paraph.protocol.identifiers import PLATFORM
from paraph.server.http.limits import LIMITS
from paraph.server.ledger import public
from paraph.server.storage import Transaction
from paraph.server.web.explorer import PAGE, Explorer

BUILDS = 20
"""Builds on one page."""


async def platform(explorer: Explorer, before: str | None) -> dict[str, Any]:
    """Builds, newest first, each with what it changed; notices, acts of the operator, reports, consent texts."""

    def read(tx: Transaction) -> dict[str, Any]:
        builds = _builds(explorer, tx, before)
        shown = {
            name: [explorer.brief(tx, listed.record) for listed in public.records_about(tx, PLATFORM, [kind], PAGE)]
            for name, kind in (
                ("notices", "notice"),
                ("acts", "admin"),
                ("reports", "report"),
                ("consent_texts", "consent-template"),
            )
        }
        return {
            **builds,
            "limits": [
                {"name": name, "at_once": limit.burst, "per_second": limit.per_second} for name, limit in LIMITS.items()
            ],
            **shown,
            "page_size": PAGE,
        }

    return await explorer.database.read(read)


def _builds(explorer: Explorer, tx: Transaction, before: str | None) -> dict[str, Any]:
    found = public.records_about(tx, PLATFORM, ["platform"], BUILDS + 1, explorer.position(tx, before))
    documents = [listed.record["document"] for listed in found]
    builds = [
        {
            "document": documents[at],
            "record": explorer.brief(tx, listed.record),
            "differences": None
            if at + 1 == len(found)
            else [change.rendered for change in differences(documents[at + 1], documents[at])],
        }
        for at, listed in enumerate(found[:BUILDS])
    ]
    following = builds[-1]["record"]["leaf_hash"] if len(found) > BUILDS else None
    return {"builds": builds, "next": following}
