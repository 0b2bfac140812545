"""Tempo, a music partner: notices which pieces people have on repeat, and proposes playlists that they may send.

It reads what authors granted it and nothing else, and it proposes; each author's own device sends or declines.
"""

import asyncio
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from paraph.sdk import (
    DraftChange,
    DraftError,
    GrantChange,
    MessageChange,
    Partner,
    ProblemError,
    SqliteStore,
    clock_of,
)

PIECES_FOR_A_PLAYLIST = 3
LOVED = re.compile(r'"([^"]{1,80})" on repeat')
OVER = frozenset({"revoked", "ended", "expired"})


@dataclass(slots=True)
class Taste:
    """What one author has on repeat, in one conversation, since the last playlist."""

    pieces: list[str] = field(default_factory=list)

    def hear(self, text: str) -> str | None:
        """Take in a message; the playlist to propose once there are pieces enough for one."""
        self.pieces += [piece for piece in LOVED.findall(text) if piece not in self.pieces]
        if len(self.pieces) < PIECES_FOR_A_PLAYLIST:
            return None
        playlist, self.pieces = self.pieces, []
        return "My playlist of the day: " + ", ".join(f'"{piece}"' for piece in playlist)


class Tempo:
    """The program: follows the stream, forgets with the grant, proposes."""

    def __init__(self, partner: Partner, purpose: str) -> None:
        self._partner = partner
        self._purpose = purpose
        self.tastes: dict[tuple[str, str], Taste] = {}
        """By grant and room: each grant is one author's."""

    async def run(self, *, timeout_ms: int | None = None) -> None:
        """Go on where the last run ended, until nothing has come for `timeout_ms`; None: for ever."""
        async for change in self._partner.changes(self._purpose, timeout_ms=timeout_ms):
            match change:
                case MessageChange(message=message, state="open") if message.via is None:
                    await self._hear(change.grant_id, message.room_id, message.body or "")
                case GrantChange(what=what) if what in OVER:
                    self._forget(change.grant_id)
                case DraftChange():
                    print(f"playlist {change.draft_id}: {change.status}", flush=True)
                case _:
                    pass  # closed messages come again, open, when their key has come

    async def _hear(self, grant_id: str, room_id: str, text: str) -> None:
        playlist = self.tastes.setdefault((grant_id, room_id), Taste()).hear(text)
        if playlist is None:
            return
        try:
            draft_id = await self._partner.draft(grant_id, room_id, playlist)
            print(f"playlist {draft_id}: proposed", flush=True)
        except (DraftError, ProblemError) as refused:  # she lets Tempo read, and not write; or no longer
            print(f"no playlist: {refused}", flush=True)

    def _forget(self, grant_id: str) -> None:
        for key in [key for key in self.tastes if key[0] == grant_id]:
            del self.tastes[key]
        print(f"forgot what {grant_id} let it know", flush=True)


async def main(needs: Mapping[str, str], timeout_ms: int | None) -> None:
    """Run with what `partner.json` says."""
    store = SqliteStore.open(Path(needs["store"]), passphrase=needs["passphrase"])
    partner = Partner.open(store, now=clock_of(needs))
    try:
        await Tempo(partner, needs["purpose"]).run(timeout_ms=timeout_ms)
    finally:
        await partner.close()


if __name__ == "__main__":
    waits = int(sys.argv[2]) if len(sys.argv) > 2 else None
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), waits))
