"""Receipts from end to end: what was promised survives kill -9, and what was promised and not kept can be shown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from typer.testing import CliRunner

from paraph.cli.main import app as cli
from paraph.protocol.base64 import unb64url
from paraph.protocol.entry import public_leaf
from paraph.protocol.limits import MERGE_DELAY_MS
from paraph.protocol.receipt import verify_receipt
from paraph.sdk import GrantTerms, Page, Partner, Person, ProblemError
from paraph.sdk.clock import system_time
from paraph.sdk.transport import Transport
from paraph.server.app import Server, build
from paraph.server.config import Settings
from paraph.server.ledger.log import open_log
from paraph.server.ledger.sequencer import Sequencer
from paraph.server.ledger.service import Ledger
from paraph.tlog import note
from paraph.tlog.merkle import leaf_hash
from paraph.witness import folder
from paraph.witness.app import WitnessApplication
from paraph.witness.service import Witness
from tests.conftest import StartServer
from tests.sdk.partner.test_partner import DAY, PASSWORD, PURPOSE, Scene
from tests.server.ledger.watching import serving
from tests.server.test_witnessed import Watchers, vkey_of, wait_for_checkpoint, watchers
from tests.support.databases import databases, runs_writes_once
from tests.support.partners import publish_agreement, register_partner
from tests.support.server import free_port

__all__ = ["watchers"]

pytestmark = pytest.mark.slow


@runs_writes_once
async def test_what_a_receipt_promises_survives_kill_9(
    start_server: StartServer, watchers: Watchers, dialect: str
) -> None:
    """Answered while no witness was there to publish anything, killed at once: after the start the leaf is there."""
    server = start_server(witnesses=str(watchers.file))
    vkey = vkey_of(server)
    person = await Person.register(server.url, f"a{uuid4().hex[:8]}", PASSWORD)
    answered = answer_of(person._transport, "/enrol")
    enrolling = asyncio.create_task(person.enrol())  # recorded and promised; then it waits for the log to show it
    answer = await asyncio.wait_for(answered, 10)
    server.kill()
    enrolling.cancel()
    await asyncio.gather(enrolling, return_exceptions=True)
    await person.close()
    receipt = answer["entry"]["receipt"]
    leaf = unb64url(receipt["leaf"], 32).hex()
    watchers.start(vkey, 0, 1)
    server.start()
    wait_for_checkpoint(server, watchers.policy(vkey))
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as http:
        found = await http.get(f"/_paraph/v1/log/leaf/{leaf}?timeout=10000")
        assert found.status_code == 200, server.tail()
        key = (await http.get("/_paraph/v1/platform")).json()["receipt_key"]
    assert verify_receipt(receipt, log="localhost/log", receipt_key=key).deadline > system_time()


def answer_of(transport: Transport, path: str) -> asyncio.Future[dict[str, Any]]:
    """The first answer to a request whose path ends so."""
    answered: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    ask = transport.json

    async def noting(method: str, asked: str, *args: Any, **more: Any) -> dict[str, Any]:
        answer = await ask(method, asked, *args, **more)
        if asked.endswith(path) and not answered.done():
            answered.set_result(answer)
        return answer

    transport.json = noting  # type: ignore[method-assign]
    return answered


class Clock:
    """Everybody's time, the witness's included."""

    def __init__(self) -> None:
        self.now = system_time() + 60_000  # the agreement is drafted by the machine's own clock

    def __call__(self) -> int:
        return self.now


class Stage:
    """A platform with a witness in one process, an author, and a partner that she granted a room."""

    def __init__(self, server: Server, http: httpx.AsyncClient, clock: Clock) -> None:
        self.server = server
        self.http = http
        self.clock = clock

    async def set(self) -> None:
        """Sign up, agree, grant."""
        url = self.server.settings.base_url
        self.author = await Person.register(url, "author", PASSWORD, transport=self.transport(), now=self.clock)
        self.partner = Partner.create(url, "marquee", "localhost", transport=self.transport(), now=self.clock)
        operator = {"Authorization": f"Bearer {self.server._admin_token}"}
        await register_partner(self.http, operator, self.partner)
        await publish_agreement(self.http, operator, self.partner, self.server)
        await self.partner.publish_device()
        self.room_id = await self.author.create_room()
        await self.author.enrol()
        await self.author.grant("marquee", GrantTerms([PURPOSE], self.clock.now + DAY, [self.room_id]))

    def transport(self) -> Transport:
        """Requests to the platform."""
        return Transport(self.server.settings.base_url, client=self.http)

    async def read(self, since: str | None = None) -> Page:
        """What the partner reads, keys taken in first."""
        await self.partner.poll()
        return await self.partner.messages(self.room_id, PURPOSE, since=since)

    async def epoch(self) -> None:
        """One more tree, now."""
        ledger = self.server.ledger
        text = {"text": str(self.clock.now)}
        made = await self.server.database.write(lambda tx: ledger.record_public(tx, "notice", "platform", text))
        leaf = public_leaf("notice", "platform", made["ts"], made["document"])
        assert await ledger.integrated(leaf_hash(leaf), 10_000) is not None


@asynccontextmanager
async def stage(root: Path) -> AsyncIterator[Stage]:
    """Everything but the network between platform and people is real; time is the test's, for the witness as well."""
    data, port, clock = root / "data", free_port(), Clock()
    log = open_log(data, "localhost/log")
    vkey = log.vkey
    log.close()
    signer = folder.create(root / "witness", "test.example/witness")
    (root / "policy").write_text(f"log {vkey}\nwitness w {signer.verifier.vkey} http://127.0.0.1:{port}\nquorum w\n")
    made, store = folder.open_folder(root / "witness")
    witness = WitnessApplication(Witness(store, made, [note.Verifier.from_vkey(vkey)], lambda: clock.now // 1000))
    setting = databases().setting(data / "paraph.db")
    settings = Settings(
        data=data, database=setting, registration="open", rate_limits=False, witnesses=str(root / "policy")
    )
    async with serving([witness], [port]):
        server = build(settings, clock)
        await server.start()
        try:
            transport = httpx.ASGITransport(app=server.application)
            async with httpx.AsyncClient(transport=transport, base_url=settings.base_url) as http:
                here = Stage(server, http, clock)
                await here.set()
                yield here
        finally:
            await server.stop()


async def test_a_read_that_is_never_logged_is_shown_to_strangers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dialect: str
) -> None:
    """The platform answers with a fitting receipt and keeps the read out of its log: the partner gets evidence."""
    async with stage(tmp_path) as here:
        await here.author.send_text(here.room_id, "recorded")
        page = await here.read()
        assert [message.body for message in page.messages] == ["recorded"]
        await here.author.send_text(here.room_id, "hidden")
        with monkeypatch.context() as cheat:
            cheat.setattr(Ledger, "_add_leaf", lambda *_: None)
            page = await here.read(page.next)
        assert [message.body for message in page.messages] == ["hidden"]
        await here.epoch()
        found = await here.partner.prove_receipts()
        assert (found.missed, found.kept) == (0, 1)  # the recorded one is proven, the hidden one not late yet
        here.clock.now += MERGE_DELAY_MS + 1
        await here.epoch()
        found = await here.partner.prove_receipts()
        assert (found.proven, found.missed, found.kept) == (0, 1, 0)
        (data,) = here.partner.evidence()
        file, mutated = tmp_path / "promise.evidence", tmp_path / "mutated.evidence"
        file.write_bytes(data)
        mutated.write_bytes(data.replace(b'"deadline":1', b'"deadline":2', 1))
        monkeypatch.setattr("paraph.cli.log.check.time", SimpleNamespace(time=lambda: here.clock.now / 1000))
    policy_file = ["--policy", str(tmp_path / "policy")]
    checked = CliRunner().invoke(cli, ["log", "check", str(file), *policy_file])
    assert checked.exit_code == 0, checked.output
    assert "PROVEN" in checked.output
    checked = CliRunner().invoke(cli, ["log", "check", str(mutated), *policy_file])
    assert checked.exit_code == 1
    assert "REJECTED" in checked.output


async def test_reads_stop_with_the_log_and_go_on_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dialect: str
) -> None:
    """No batch comes through: after the merge delay the partner is refused, and nothing is recorded about it."""
    async with stage(tmp_path) as here:
        await here.author.send_text(here.room_id, "one")
        await here.read()
        await here.epoch()

        async def stuck(_self: Sequencer) -> bool:
            raise OSError("no space left on device")

        with monkeypatch.context() as broken:
            broken.setattr(Sequencer, "run_batch", stuck)
            broken.setattr("paraph.sdk.transport.ATTEMPTS", 1)
            assert [message.body for message in (await here.read()).messages] == ["one"]
            here.clock.now += MERGE_DELAY_MS + 1
            recorded = len(await here.author.entries())
            with pytest.raises(ProblemError, match="log-not-fresh"):
                await here.read()
            assert len(await here.author.entries()) == recorded
        await here.epoch()
        assert [message.body for message in (await here.read()).messages] == ["one"]
        assert (await here.partner.prove_receipts()).missed == 0
        assert here.partner.evidence() == []


async def test_another_receipt_key_is_taken_up_from_the_log(start_server: StartServer) -> None:
    """The key file is gone at a start: another one is made and recorded, and the partner goes on by itself."""
    server = start_server()
    scene = await Scene(server).set()
    try:
        await scene.grant()
        await scene.author.send_text(scene.room_id, "one")
        assert await scene.opened() == ["one"]
        before = (await scene.operator.platform())["record"]
        server.stop()
        (server.data / "keys" / "receipt.key").unlink()
        server.start()
        await scene.author.send_text(scene.room_id, "two")
        assert await scene.opened() == ["one", "two"]
        after = (await scene.operator.platform())["record"]
        assert before["document"]["receipt_key"] != after["document"]["receipt_key"]
        assert (await scene.partner.prove_receipts()).missed == 0
    finally:
        await scene.close()
