"""The measurement behind ADR 0012: what it costs a device to prove who may get keys, before it encrypts.

A server with a witness, a person with one grant, and a client that counts what it asks and gets. The log is filled with
other people's leaves first. Each case is a new look at the grants (`Consent.fresh_view`), which a device takes at most
once a minute; `time` is from asking to knowing, `client` the client's own processor time.

    PYTHONPATH=src:. .venv/bin/python docs/adr/measurements/view_cost.py [LEAVES BEFORE]
"""

# ruff: noqa: T201

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import httpx

from paraph.sdk import GrantTerms, Partner, Person
from paraph.sdk.clock import system_time
from paraph.sdk.transport import PARAPH, Transport
from paraph.server.ledger.sequencer import Cadence
from paraph.server.ledger.service import Ledger
from paraph.server.storage import Transaction
from paraph.tlog.note import Signer
from tests.sdk.partner.test_partner import DAY, PURPOSE, Operator
from tests.support.databases import open_test_database
from tests.support.server import RunningServer

PASSWORD = "correct horse battery staple"  # noqa: S105
ROUNDS, BATCH = 15, 2000


class Counted:
    """A transport that counts requests and the bytes of bodies, both ways."""

    def __init__(self, url: str) -> None:
        self.requests, self.bytes = 0, 0
        client = httpx.AsyncClient(timeout=30, event_hooks={"response": [self._count]})
        self.transport = Transport(url, client=client)

    async def _count(self, response: httpx.Response) -> None:
        await response.aread()
        self.requests += 1
        self.bytes += len(response.content) + len(response.request.content)


async def fill(data: Path, count: int) -> None:
    """A log of about `count` leaves of other people, before the server starts."""
    (data / "keys").mkdir(parents=True)
    (data / "keys" / "log.key").write_text(Signer.generate("localhost/log").skey + "\n")
    database = await open_test_database(data / "paraph.db", ["paraph.server.ledger"])
    ledger = Ledger(database, data, "localhost/log", clock=system_time, cadence=Cadence(interval=0.005))
    await ledger.start()

    def some(tx: Transaction) -> None:
        for _ in range(BATCH):
            person = f"@{uuid4().hex}:localhost"
            ledger.set_log_key(tx, person, os.urandom(32))
            ledger.record_private(tx, "device", person, None, {"enrolment": {}})

    while ledger.size < count:
        await database.write(some)
        await asyncio.sleep(0.2)
    await ledger.stop()
    await database.close()


async def measure(
    name: str, counted: Counted, look: Callable[[], Awaitable[object]], before: Callable[[], Awaitable[object]]
) -> None:
    """Run a case some times and print its medians."""
    rows = []
    for _ in range(ROUNDS):
        await before()
        counted.requests = counted.bytes = 0
        wall, cpu = time.perf_counter(), time.process_time()
        await look()
        rows.append((counted.requests, counted.bytes, time.perf_counter() - wall, time.process_time() - cpu))
    requests, size, wall, cpu = (statistics.median(column) for column in zip(*rows, strict=True))
    print(f"{name:58} {requests:4.0f} requests {size / 1000:8.1f} kB {1000 * wall:7.1f} ms {1000 * cpu:7.1f} ms client")


async def main(leaves: int) -> None:
    """All cases on one server."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        await fill(data, leaves)
        with RunningServer(data) as server:
            await cases(server)


async def cases(server: RunningServer) -> None:
    """A person, her partners, and the looks at her grants."""
    operator, counted = Operator(server), Counted(server.url)
    author = await Person.register(server.url, "author", PASSWORD, transport=counted.transport)
    room_id = await author.create_room()
    await author.enrol()
    for number in range(5):
        partner = Partner.create(server.url, f"partner{number}", "localhost")
        await operator.admit(partner)
        terms = GrantTerms(purposes=[PURPOSE], until=system_time() + 30 * DAY, rooms=[room_id])
        state = await author.grant(partner.slug, terms)
        if number == 0:
            await author.send_text(room_id, "hello")
            await looks("one partner", author, counted, operator)
            await shares(author, partner, state.grant.grant_id, room_id, 1000)
            await author._consent.fresh_view()
            await looks("one partner, 1,000 keys shared this week", author, counted, operator)
        await partner.close()
    await looks("five partners, 1,000 keys shared this week", author, counted, operator)

    async def second() -> None:
        secrets = author.export_secrets()
        counted.requests = counted.bytes = 0
        device = await Person.login(server.url, "author", PASSWORD, secrets=secrets, transport=counted.transport)
        await device.enrol()
        counted.requests = counted.bytes = 0
        began = time.perf_counter()
        await device._consent._refresh_view(system_time())
        assert device._consent._view is not None
        assert len(device._consent._view.partners) == 5
        spent = 1000 * (time.perf_counter() - began)
        name = "a second device, for the first time"
        print(f"{name:58} {counted.requests:4} requests {counted.bytes / 1000:8.1f} kB {spent:7.1f} ms")

    await second()


async def looks(name: str, author: Person, counted: Counted, operator: Operator) -> None:
    """The log has moved on meanwhile, or stands where it was."""

    async def look() -> None:
        author._consent.forget_view()
        _, view = await author._consent.fresh_view()
        assert view is not None
        assert view.partners

    async def moved() -> None:
        slug = f"p{uuid4().hex[:10]}"
        await operator.admit(made := Partner.create(operator.server.url, slug, "localhost"))
        await made.close()
        await asyncio.sleep(0.3)

    async def nothing() -> None:
        return None

    await measure(f"{name}: the log has moved on", counted, look, moved)
    await measure(f"{name}: the same tree", counted, look, nothing)


async def shares(author: Person, partner: Partner, grant_id: str, room_id: str, count: int) -> None:
    """Record that many keys as shared with the partner."""
    keys = partner.engine.account
    ciphertext = {keys.curve25519: {"type": 0, "body": "AAAA"}}
    content = {
        "algorithm": "m.olm.v1.curve25519-aes-sha2",
        "sender_key": author.engine.account.curve25519,
        "ciphertext": ciphertext,
    }
    for start in range(0, count, 50):
        made = [
            {
                "device_id": partner.device_id,
                "content": content,
                "session": {"room_id": room_id, "session_id": uuid4().hex, "first_index": 0},
            }
            for _ in range(50)
        ]
        url = f"{PARAPH}/grants/{grant_id}/key-shares/fill{start}"
        await author._transport.json("PUT", url, {"shares": made})
    await asyncio.sleep(1)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
