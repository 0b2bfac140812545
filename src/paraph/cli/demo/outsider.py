"""What an outsider finds in the public log, from its files alone and the log's key."""

import asyncio
import contextlib
import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paraph.audit.errors import LogError
from paraph.audit.records import PublicRecords
from paraph.audit.replay import ReplayReport, replay
from paraph.audit.sources import DirectorySource
from paraph.cli.demo.evidence import Attempt
from paraph.protocol.agreement import Agreement
from paraph.tlog.errors import TlogError


@dataclass(frozen=True)
class Outside:
    """The public records of a log, replayed from its first leaf on."""

    records: PublicRecords

    @classmethod
    async def look(cls, log: Path, platform: dict[str, Any]) -> "Outside":
        """Replay the log's files. What does not hold has no records."""
        await settled(log)
        records = PublicRecords(platform["server_name"], platform["operator_key"])
        with contextlib.suppress(LogError, TlogError):
            await asyncio.to_thread(replay, DirectorySource(log), platform["log"]["vkey"], visit=records.visit)
            return cls(records)
        return cls(PublicRecords(platform["server_name"], platform["operator_key"]))

    def documents(self, kind: str) -> list[dict[str, Any]]:
        """The documents of one kind about the platform, oldest first."""
        return [dict(leaf.document) for _, leaf in self.records.others if leaf.kind == kind]

    def agreement(self, slug: str, hash_: str) -> Agreement | None:
        """The version of a partner's agreement with this hash, signed by both sides."""
        with contextlib.suppress(LogError):
            found = self.records.partners().get(slug)
            versions = () if found is None else found.agreements
            return next((record.document for record in versions if record.document.hash == hash_), None)
        return None


async def opened(log: Path, seconds: float = 30.0) -> None:
    """Wait until the log has published its first tree, which the witnesses have to have cosigned."""
    for _ in range(int(seconds / 0.05)):
        if (log / "checkpoint").exists():
            return
        await asyncio.sleep(0.05)


async def settled(log: Path, quiet: float = 0.5) -> None:
    """Wait until the log has published nothing new for `quiet` seconds, so that its files are of one tree."""
    last, since = b"", time.monotonic()
    while time.monotonic() - since < quiet:
        now = (log / "checkpoint").read_bytes()
        if now != last:
            last, since = now, time.monotonic()
        await asyncio.sleep(0.05)


def verify(log: Path, vkey: str) -> ReplayReport | None:
    """Replay the whole log; None if it does not hold."""
    source = DirectorySource(log)
    try:
        return replay(source, vkey, listing=list(source.paths()))
    except (LogError, TlogError):
        return None


def tamper(log: Path, copy: Path, vkey: str) -> Attempt:
    """Change one bit of one tile in a copy of the log, and verify the copy."""
    shutil.copytree(log, copy)
    tile = max((copy / "tile" / "0").rglob("*"), key=lambda path: (path.is_file(), path.stat().st_size))
    damaged = bytearray(tile.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    tile.chmod(0o600)
    tile.write_bytes(damaged)
    source = DirectorySource(copy)
    try:
        replay(source, vkey, listing=list(source.paths()))
    except LogError as error:
        return Attempt("one bit of one tile changed", True, str(error))
    return Attempt("one bit of one tile changed", False, "verified all the same")


def published(log: Path, platform: dict[str, Any], partners: Collection[str]) -> Attempt:
    """Whether the log has an agreement signed by both sides for each of the `partners`, and for nobody else."""
    what = "a partner with access and no agreement in the log"
    records = PublicRecords(platform["server_name"], platform["operator_key"])
    try:
        replay(DirectorySource(log), platform["log"]["vkey"], visit=records.visit)
        found = {slug: len(partner.agreements) for slug, partner in records.partners().items() if partner.agreements}
    except (LogError, TlogError) as error:
        return Attempt(what, False, str(error))
    said = ", ".join(f"{slug}: {count}" for slug, count in sorted(found.items())) or "none"
    same = set(found) == set(partners)
    return Attempt(what, same, f"{'none' if same else 'found'}; agreements signed by both sides: {said}")
