"""Metrics: what a server counts and times, for its operator alone, and without a word about anybody."""

import asyncio
import re
import time
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from paraph.server.http import Access, Endpoint, Reply, Request
from paraph.server.http.asgi import Application
from paraph.server.http.limits import Limiter
from paraph.server.ledger.metrics import STAGES
from paraph.server.ledger.service import Ledger
from paraph.server.ledger.witnesses import Witnesses
from paraph.server.metrics import Metrics, endpoints
from paraph.server.storage import Database
from tests.conftest import StartServer
from tests.server.ledger.support import NOON, ORIGIN, PERSON, QUICK, K, open_database, running_ledger, until
from tests.server.ledger.watching import IMPATIENT, Watching
from tests.support.matrix import PASSWORD, V3

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parsed(text: str) -> Samples:
    """Every sample by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class Scraped:
    """The metrics of a ledger in this process, at a time of the test's choice."""

    def __init__(self, ledger: Ledger, database: Database) -> None:
        self.now = NOON
        self._metrics = Metrics(ledger, database, dict, lambda: self.now)

    async def __call__(self) -> Samples:
        request = Request("GET", {}, b"", [], b"", "", None)
        return parsed((await self._metrics.scrape(request)).body.decode())


async def test_the_log_is_counted_and_timed(tmp_path: Path) -> None:
    """Sizes, ages, batches, every stage of each, and the keys of the map, from the first batch on and after a start."""
    async with running_ledger(tmp_path) as (database, ledger):
        scrape = Scraped(ledger, database)
        await until(lambda: ledger.size)
        before = await scrape()
        await database.write(lambda tx: ledger.record_public(tx, "notice", "marquee", {"n": 1}))
        await database.write(lambda tx: ledger.set_log_key(tx, PERSON, K))
        await database.write(lambda tx: ledger.record_private(tx, "device", PERSON, None, {"enrolment": {}}))
        await until(lambda: ledger.size >= before["paraph_log_size", ()] + 3 and not ledger._waiting)
        await until(lambda: ledger._leading.label_map and ledger._leading.label_map.labels == 2)
        await until(lambda: ledger.metrics.registry.get_sample_value("paraph_log_leaves_total") == ledger.size)
        scrape.now = NOON + 5000
        after = await scrape()
        batches = after["paraph_log_batches_total", ()]
        assert batches > before["paraph_log_batches_total", ()]
        assert after["paraph_log_leaves_total", ()] == after["paraph_log_size", ()] == ledger.size
        assert after["paraph_log_epoch", ()] == batches - 1
        assert after["paraph_log_published_age_seconds", ()] == 5
        assert after["paraph_map_labels", ()] == 2
        assert (after["paraph_log_leader", ()], after["paraph_log_stopped", ()]) == (1, 0)
        assert after["paraph_log_waiting_leaves", ()] == after["paraph_log_oldest_waiting_seconds", ()] == 0
        for stage in STAGES:
            assert after["paraph_log_stage_seconds_count", (("stage", stage),)] >= batches
        written = after["paraph_storage_batch_writes_sum", ()]
        assert written >= 3
        assert after["paraph_storage_batch_writes_bucket", (("le", "+Inf"),)] <= written
    async with running_ledger(tmp_path) as (database, ledger):
        assert (await Scraped(ledger, database)())["paraph_map_labels", ()] == 2


async def test_what_waits_and_who_fails_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a quorum, leaves wait and grow old, and each failing witness is counted by its name in the policy."""
    watching = Watching(tmp_path / "watchers")
    watching.down = {"w0", "w2"}

    def witnesses(ledger: Ledger) -> Witnesses:
        if not watching.signers.keys() & watching._applications.keys():
            watching.watch(ledger.vkey)
        return Witnesses(
            watching.policy(),
            ledger._verifier,
            ledger._folder,
            clock=lambda: NOON,
            patience=IMPATIENT,
            transport=httpx.MockTransport(watching._route),
            metrics=ledger.metrics,
        )

    monkeypatch.setattr(Ledger, "_witnesses", witnesses)
    database = await open_database(tmp_path)
    ledger = Ledger(database, tmp_path, ORIGIN, clock=lambda: NOON, cadence=QUICK, policy=watching.policy())
    await ledger.start()
    try:
        scrape = Scraped(ledger, database)
        await database.write(lambda tx: ledger.record_public(tx, "notice", "marquee", {"n": 1}))
        scrape.now = NOON + 90_000
        failed = 0.0
        async with asyncio.timeout(10):
            while failed < 2:
                shown = await scrape()
                failed = shown["paraph_log_witness_failures_total", (("witness", "w0"),)]
                await asyncio.sleep(0.01)
        assert shown["paraph_log_witness_failures_total", (("witness", "w1"),)] == 0
        assert shown["paraph_log_waiting_leaves", ()] == 1
        assert shown["paraph_log_oldest_waiting_seconds", ()] == 90
        assert ("paraph_log_published_age_seconds", ()) not in shown
    finally:
        await ledger.stop()
        await database.close()


async def test_requests_are_counted_by_their_endpoint() -> None:
    """Paths are those of the table: what is in a path, and paths that are in no table, never become a label."""

    async def fine(_request: Request) -> Reply:
        return Reply.json({})

    async def broken(_request: Request) -> Reply:
        raise RuntimeError

    class NoLifespan:
        async def start(self) -> None: ...
        async def stop(self) -> None: ...

    table = [
        Endpoint("GET", "/room/{id}", Access.PUBLIC, fine, "fine"),
        Endpoint("PUT", "/room/{id}", Access.PUBLIC, broken, "broken"),
        Endpoint("GET", "/person", Access.PERSON, fine, "for somebody"),
    ]
    application = Application(table, {}, Limiter(lambda: 0.0, enabled=False), NoLifespan())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://example.org") as http:
        for _ in range(2):
            await http.get("/room/secret")
        await http.put("/room/secret")
        await http.get("/nowhere/secret")
        await http.get("/person")
    assert application.answered == {
        ("GET", "/room/{id}", 200): 2,
        ("PUT", "/room/{id}", 500): 1,
        ("", "none", 404): 1,
        ("GET", "/person", 401): 1,
    }


def test_only_the_operator_is_answered() -> None:
    """The rule stands in the table."""
    [endpoint] = endpoints(Metrics.__new__(Metrics))
    assert (endpoint.method, endpoint.path, endpoint.access) == ("GET", "/metrics", Access.OPERATOR)


@pytest.mark.slow
def test_a_servers_metrics_name_nobody(start_server: StartServer) -> None:
    """After people have signed up and written: no name, room, device or message is among names and labels."""
    server = start_server()
    body = {"username": "somebody", "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
    made = httpx.post(f"{server.url}{V3}/register", json=body).json()
    person = {"Authorization": f"Bearer {made['access_token']}"}
    room = httpx.post(f"{server.url}{V3}/createRoom", json={"preset": "private_chat"}, headers=person).json()["room_id"]
    httpx.get(f"{server.url}{V3}/rooms/{quote(room)}/state", headers=person).raise_for_status()
    assert httpx.get(f"{server.url}/metrics").status_code == 401
    assert httpx.get(f"{server.url}/metrics", headers=person).status_code == 401
    token = (server.data / "keys" / "admin-token").read_text().strip()
    deadline, text = time.monotonic() + 10, ""
    while "paraph_log_batches_total 0.0" in text or not text:
        assert time.monotonic() < deadline
        text = httpx.get(f"{server.url}/metrics", headers={"Authorization": f"Bearer {token}"}).raise_for_status().text
    samples = parsed(text)
    assert samples["paraph_http_requests_total", (("method", "POST"), ("path", f"{V3}/register"), ("status", "200"))]
    assert samples["process_resident_memory_bytes", ()] > 0
    for word in ("somebody", room, room[1:10], made["device_id"], token):
        assert word not in text
    documented = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()
    names = {
        re.sub(r"_(total|bucket|sum|count|created)$", "", name) for name, _ in samples if name.startswith("paraph")
    }
    assert [name for name in sorted(names) if f"`{name}" not in documented] == []
