"""A process that records notices as fast as it can and prints the hash of each leaf once it is acknowledged."""

import asyncio
import os
import secrets
import sys
from functools import partial
from pathlib import Path

from paraph.protocol import entry as protocol
from paraph.server.app import open_database
from paraph.server.config import Settings
from paraph.server.storage import migrate
from paraph.server.storage.migrations import load
from paraph.tlog.merkle import leaf_hash
from tests.server.ledger.support import running_ledger


async def main(data: Path, setting: str) -> None:
    """Print the log's vkey, then one leaf hash a line, until killed. `setting`: as in `Settings.database`."""
    opened = open_database(Settings(data=data, database=setting))
    await migrate(opened, load(["paraph.server.ledger"], opened.dialect))
    async with running_ledger(data, database=opened) as (database, ledger):
        os.write(1, f"{ledger.vkey}\n".encode())

        async def record() -> None:
            while True:
                text = {"text": secrets.token_hex(8)}
                made = await database.write(
                    partial(ledger.record_public, kind="notice", partner="marquee", document=text)
                )
                leaf = protocol.public_leaf("notice", "marquee", made["ts"], made["document"])
                os.write(1, f"{leaf_hash(leaf).hex()}\n".encode())

        await asyncio.gather(*(record() for _ in range(20)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
