"""What receipts add to a partner's read of 500 messages by 10 authors, and to the partner's check of the answer.

The read runs in this process without HTTP: select, record, commit, sign, render. Its time is processor time of the
whole process, with and without receipts in turn, so both see the same machine.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from bench.databases import Databases
from bench.figures import Limit, Outcome, Plan
from paraph.protocol.receipt import make_receipt
from paraph.protocol.signing import SigningKey
from paraph.sdk.log.receipts import ReceiptKey, check_receipt, read_entry
from paraph.server.http import Reply
from paraph.server.inbox.reading import Query, Reading
from paraph.server.ledger.receipts import Receipts
from tests.server.consent.support import World, world

AUTHORS, MESSAGES = 10, 500
ROUNDS = 60
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


async def receipts(plan: Plan, _databases: Databases) -> Outcome:
    """Reads with receipts and without, in turn; then the receipts alone."""
    rounds = 5 if plan.quick else ROUNDS
    found = await measure(rounds)
    rows: list[tuple[str, ...]] = [
        ("", "measured"),
        ("the read, own ms", f"{found['read_ms']:.2f}"),
        ("the same without receipts", f"{found['read_without_ms']:.2f}"),
        ("receipts' share", f"{found['share']:.1%}"),
        ("one receipt, made and signed, µs", f"{found['receipt_us']:.0f}"),
        (f"the partner checks {AUTHORS} of them in, ms", f"{found['check_10_ms']:.2f}"),
    ]
    title = f"a read of {MESSAGES} messages by {AUTHORS} authors, median of {rounds} with receipts and {rounds} without"
    return Outcome(title, rows, [Limit("receipts' share of a read", found["share"], BUDGET)], found)
