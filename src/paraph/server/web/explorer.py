"""What the explorer's pages are made from: the published files, the ledger's public records, consent's partners."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from paraph.protocol.identifiers import PLATFORM
from paraph.protocol.limits import MERGE_DELAY_MS
from paraph.server.consent.service import Consent
from paraph.server.http import Problem
from paraph.server.ledger import public
from paraph.server.ledger.service import Ledger
from paraph.server.storage import Database, Transaction
from paraph.server.web import words
from paraph.server.web.published import MAX_AGE, NotPublished, PublishedLog, Standing, Tree
from paraph.tlog.text import b64

T = TypeVar("T")

ROOT = "/explore"
PAGE = 50
"""Records on one page."""
HEARTBEAT_MS = 300_000
"""Time between two closed trees of a log on which nothing happens, at most."""
_TRIES = 3


def not_found(what: str) -> Problem:
    """There is no such page; `what` says why, to a person."""
    return Problem(404, "not-found", what)


class Explorer:
    """The sources of all pages, and what several pages show alike."""

    def __init__(
        self,
        ledger: Ledger,
        consent: Consent,
        database: Database,
        *,
        policy: str | None,
        clock: Callable[[], int],
        base_url: str,
    ) -> None:
        """`policy` is the text of the log's witness policy, `base_url` where strangers reach this server."""
        self.ledger = ledger
        self.consent = consent
        self.database = database
        self.policy_text = policy
        self.clock = clock
        self.base_url = base_url
        self.log = PublishedLog(ledger.tile_file, ledger.vkey, policy)
        self.tally = public.Tally()

    @property
    def server_name(self) -> str:
        """Whose log this is."""
        return self.consent.server_name

    async def tree(self) -> Tree | None:
        """The newest published tree, None before the first."""
        return await self.reading(self.log.tree)

    async def reading(self, read: Callable[[], T]) -> T:
        """What `read` finds in the published files; files may be replaced meanwhile, so it may look again."""
        for _ in range(_TRIES - 1):
            try:
                return await asyncio.to_thread(read)
            except NotPublished:
                continue
        try:
            return await asyncio.to_thread(read)
        except NotPublished as error:
            raise Problem(503, "log-not-readable", f"the published log cannot be read: {error}") from None

    def brief(self, tx: Transaction, record: Mapping[str, Any]) -> dict[str, Any]:
        """One public record in a list: what it is, about whom, when, and where it is found."""
        hash_of_leaf = public.hash_of(record)
        known = public.find_leaf(tx, hash_of_leaf)
        return {
            "title": words.title(record["kind"], record["document"]),
            "kind": record["kind"],
            "partner": record["partner"],
            "ts": record["ts"],
            "leaf_hash": hash_of_leaf.hex(),
            "index": None if known is None else known.index,
            "url": self.record_url(hash_of_leaf),
        }

    def listed(self, tx: Transaction, about: str | None, kinds: list[str], before: str | None) -> dict[str, Any]:
        """A page of records, newest first: {records, next}; `before` is the leaf hash (hex) that the last page ended
        with, `next` the one to go on from, None at the end.
        """
        start = self.position(tx, before)
        if about is None:
            found = public.records(tx, PAGE + 1, start)
        else:
            found = public.records_about(tx, about, kinds, PAGE + 1, start)
        shown = [self.brief(tx, listed.record) for listed in found[:PAGE]]
        return {"records": shown, "next": shown[-1]["leaf_hash"] if len(found) > PAGE else None}

    def position(self, tx: Transaction, leaf_hash: str | None) -> int:
        """Where a page begins that follows a record, given its leaf hash in hex; without one, at the newest record.

        Positions themselves are shown to nobody: they count what is private as well.
        """
        if leaf_hash is None:
            return public.END
        try:
            known = public.find_leaf(tx, bytes.fromhex(leaf_hash))
        except ValueError:
            known = None
        if known is None:
            raise not_found("the list begins with a record that is not in this log")
        return known.seq

    @staticmethod
    def record_url(leaf_hash: bytes) -> str:
        """The page of a record."""
        return f"{ROOT}/records/{leaf_hash.hex()}"

    @staticmethod
    def subject_url(partner: str) -> str:
        """The page of a partner, or of the platform."""
        return f"{ROOT}/platform" if partner == PLATFORM else f"{ROOT}/partners/{partner}"

    # -- the newest checkpoint --

    def checkpoint(self, tree: Tree | None) -> dict[str, Any] | None:
        """The newest checkpoint, by whom it is cosigned, and how old it is."""
        if tree is None:
            return None
        now, standing = self.clock(), self.standing(tree)
        return {
            "origin": tree.checkpoint.origin,
            "size": tree.checkpoint.size,
            "root": b64(tree.checkpoint.root),
            "epoch": {"n": tree.epoch.n, "time": tree.epoch.time},
            "age_seconds": max(0, (now - tree.epoch.time) // 1000),
            "cosigned": None
            if standing is None
            else {
                "by": [{"witness": name, "time": time * 1000} for name, time in sorted(standing.times.items())],
                "quorum_since": None if standing.quorum_time is None else standing.quorum_time * 1000,
                "fresh": standing.problem is None,
            },
            "note": tree.signed.decode("utf-8", "replace"),
        }

    def standing(self, tree: Tree) -> Standing | None:
        """How a tree stands with the policy now; None where there is no policy."""
        return None if self.log.policy is None else self.log.standing(tree, self.clock() // 1000)

    def warnings(self, tree: Tree | None) -> list[str]:
        """What a reader must know before believing the rest, in sentences; empty if all is well."""
        found = []
        if self.ledger.stopped is not None:
            found.append("The log has stopped: nothing new is recorded, and nothing that needs a record is done.")
        if self.log.policy is None:
            found.append(
                "This log has no witnesses. Only the operator's own signature says that everybody is shown the same "
                "log, so people's devices hand keys to no partner."
            )
        if tree is None:
            found.append("Nothing is published yet: there is no checkpoint to verify anything by.")
            return found
        if (standing := self.standing(tree)) is not None and standing.problem is not None:
            found.append(
                f"The newest checkpoint does not satisfy the witness policy with a quorum at most {MAX_AGE // 60} "
                f"minutes old, so people's devices hand keys to no partner: {standing.problem}."
            )
        if self.clock() - tree.epoch.time > HEARTBEAT_MS + MERGE_DELAY_MS:
            found.append("The newest checkpoint is not fresh: the log closes a tree every five minutes at the latest.")
        return found
