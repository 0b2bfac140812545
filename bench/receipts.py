"""What receipts add to a partner's read of 500 messages by 10 authors, and to the partner's check of the answer.

The read runs in this process without HTTP: select, record, commit, sign, render. Its time is processor time of the
whole process, with and without receipts in turn, so both see the same machine.

    python -m bench.receipts [--rounds 60] [--json]
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from rich.console import Console

from paraph.protocol.receipt import make_receipt
from paraph.protocol.signing import SigningKey
from paraph.sdk.receipts import ReceiptKey, check_receipt, read_entry
from paraph.server.http import Reply
from paraph.server.inbox.reading import Query, Reading
from paraph.server.ledger.receipts import Receipts
from tests.server.consent.support import World, world

AUTHORS, MESSAGES = 10, 500
BUDGET = 0.15


async def _filled(here: World) -> tuple[str, Reading]:
    """A room in which ten people wrote 50 messages each and grant them all."""
    authors = [await here.add_person(f"author{n}") for n in range(AUTHORS)]
    partner = await here.add_partner()
    room_id = await here.room(*authors)
    for author in authors:
        await here.add_grant(author, partner, [room_id])
    body = {"ciphertext": "A" * 600}
    for n in range(MESSAGES):
        await here.send(authors[n % AUTHORS], room_id, body)
    return room_id, here.inbox.reading


async def _read(here: World, reading: Reading, room_id: str) -> tuple[float, dict[str, Any]]:
    """Processor seconds of one read, and its answer."""
    await here.pass_to(here.clock.now + 1)  # nothing of the sequencer's is under way
    before = time.process_time()
    answer = await reading.messages(Query("marquee", room_id, "films", 0, MESSAGES))
    Reply.json(answer)
    took = time.process_time() - before
    assert (len(answer["messages"]), len(answer["accesses"])) == (MESSAGES, AUTHORS)
    return took, answer


async def measure(rounds: int) -> dict[str, float]:
    """Milliseconds and shares."""
    with tempfile.TemporaryDirectory() as folder:
        async with world(Path(folder)) as here:
            room_id, reading = await _filled(here)
            answered = Receipts.answered
            times: dict[bool, list[float]] = {True: [], False: []}
            answer: dict[str, Any] = {}
            for turn in range(2 * rounds):
                signed = turn % 2 == 0
                Receipts.answered = answered if signed else lambda _self, recorded: recorded.rendered  # type: ignore[method-assign]
                took, shown = await _read(here, reading, room_id)
                times[signed].append(1000 * took)
                answer = shown if signed else answer
            Receipts.answered = answered  # type: ignore[method-assign]
            with_receipts, without = median(times[True]), median(times[False])
            key = ReceiptKey(here.ledger.origin, here.ledger.receipts.public_key, {})
            checking = _each(lambda: [check_receipt(item, read_entry(item), key) for item in answer["accesses"]])
    signer, leaf = SigningKey.generate(), bytes(32)
    return {
        "read_ms": with_receipts,
        "read_without_ms": without,
        "share": (with_receipts - without) / with_receipts,
        "receipt_us": 1000 * _each(lambda: make_receipt("example.org/log", leaf, 1_760_000_000_000, signer.sign)),
        "check_10_ms": checking,
    }


def _each(call: Callable[[], object], times: int = 200) -> float:
    """Median milliseconds of processor time of a call, of five runs of many."""
    runs = []
    for _ in range(5):
        before = time.process_time()
        for _ in range(times):
            call()
        runs.append(1000 * (time.process_time() - before) / times)
    return median(runs)


def main(
    rounds: Annotated[int, typer.Option(help="Reads with receipts, and as many without.")] = 60,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Print what receipts cost; exit status 1 where their share of the read is above the budget."""
    found = asyncio.run(measure(rounds))
    if as_json:
        print(json.dumps({name: round(value, 4) for name, value in found.items()}))
    else:
        out = Console()
        out.print(f"a read of {MESSAGES} messages by {AUTHORS} authors: {found['read_ms']:.2f} ms processor time")
        out.print(f"without receipts:                         {found['read_without_ms']:.2f} ms")
        out.print(
            f"receipts' share:                          {100 * found['share']:.1f} % (budget {100 * BUDGET:.0f} %)"
        )
        out.print(f"one receipt, made and signed:             {found['receipt_us']:.0f} µs")
        out.print(f"the partner checks {AUTHORS} of them in:          {found['check_10_ms']:.2f} ms")
    if found["share"] > BUDGET:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
