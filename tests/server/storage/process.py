"""A server process reduced to its writes: `python -m tests.server.storage.process DSN NAME`.

It writes from several tasks at once until it is killed, and prints a line `<position> <number>` for each write that
was acknowledged.
"""

import asyncio
import itertools
import sys

from paraph.server.storage import Transaction
from paraph.server.storage.postgresql import PostgresqlDatabase

TASKS = 12
CREATE = (
    "CREATE TABLE IF NOT EXISTS entry"
    " (position BIGINT PRIMARY KEY, writer TEXT NOT NULL, number INTEGER NOT NULL, UNIQUE (writer, number))"
)
ADD = "INSERT INTO entry (position, writer, number) VALUES (:position, :writer, :number)"


async def write_for_ever(dsn: str, writer: str) -> None:
    """Write until somebody pulls the plug."""
    database = PostgresqlDatabase(dsn)
    numbers = itertools.count(1)

    def add(tx: Transaction, number: int) -> int:
        position = tx.next_position()
        tx.run(ADD, {"position": position, "writer": writer, "number": number})
        tx.announce("entry", str(number))
        return position

    async def task() -> None:
        while True:
            number = next(numbers)
            position = await database.write(lambda tx, n=number: add(tx, n))  # type: ignore[misc]
            print(position, number, flush=True)  # noqa: T201

    await asyncio.gather(*(task() for _ in range(TASKS)))


if __name__ == "__main__":
    asyncio.run(write_for_ever(*sys.argv[1:]))
