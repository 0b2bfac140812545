"""Durable before acknowledged: kill -9 under load, and the order of system calls of a single send."""

import asyncio
import os
import random
import re
import shutil
import signal
import subprocess
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.conftest import StartServer
from tests.support.databases import runs_writes_once
from tests.support.matrix import V3, all_messages, auth, ciphertext, create_room, register
from tests.support.server import RunningServer

pytestmark = [pytest.mark.slow, runs_writes_once]

KILLS = int(os.environ.get("PARAPH_KILLS", "3"))
SENDERS = 8


class Load:
    """Concurrent senders that remember what was acknowledged and what they cannot know."""

    def __init__(self, url: str, account: dict[str, str], room_id: str) -> None:
        self._url, self._account, self._room = url, account, room_id
        self.acknowledged: dict[str, str] = {}
        self.unknown: set[str] = set()
        self._next = 0

    async def send(self, http: httpx.AsyncClient, txn: str) -> None:
        """Send one message; without an answer nobody can say whether it was kept."""
        path = f"{V3}/rooms/{self._room}/send/m.room.encrypted/{txn}"
        try:
            answer = await http.put(path, json=ciphertext(f"text of {txn}"), headers=auth(self._account))
        except httpx.TransportError:
            self.unknown.add(txn)
            return
        answer.raise_for_status()
        event_id = answer.json()["event_id"]
        assert self.acknowledged.setdefault(txn, event_id) == event_id
        self.unknown.discard(txn)

    async def run_until_killed(self, server: RunningServer, after: float) -> None:
        """Send from all sides, pull the plug after `after` seconds, and stop when the connections break."""
        async with httpx.AsyncClient(base_url=self._url, timeout=5) as http:
            senders = [asyncio.create_task(self._sender(http)) for _ in range(SENDERS)]
            await asyncio.sleep(after)
            await asyncio.to_thread(server.kill)
            await asyncio.gather(*senders)

    async def _sender(self, http: httpx.AsyncClient) -> None:
        while not self.unknown:
            self._next += 1
            await self.send(http, f"t{self._next}")

    async def retry_unknown(self, http: httpx.AsyncClient) -> None:
        """What a client does after a broken connection: the same transaction once more."""
        for txn in sorted(self.unknown):
            await self.send(http, txn)


@pytest.mark.timeout(1800)
async def test_kill_9_under_load_loses_and_doubles_nothing(dialect: str, start_server: StartServer) -> None:
    """After each of several kills every acknowledged message is there once, and a retried one is not there twice."""
    server = start_server()
    moments = random.Random(20130601)
    async with httpx.AsyncClient(base_url=server.url) as http:
        account = await register(http, "author")
        load = Load(server.url, account, await create_room(http, account))
    for _ in range(KILLS):
        await load.run_until_killed(server, moments.uniform(0.2, 1.0))
        await asyncio.to_thread(server.restart)
        async with httpx.AsyncClient(base_url=server.url) as http:
            await load.retry_unknown(http)
            events = await all_messages(http, account, load._room)
        stored = Counter(event["content"]["ciphertext"] for event in events if event["type"] == "m.room.encrypted")
        ids = {event["event_id"] for event in events}
        assert set(load.acknowledged.values()) <= ids
        assert set(stored) == {f"text of {txn}" for txn in load.acknowledged}
        assert set(stored.values()) == {1}
    assert len(load.acknowledged) > 20 * KILLS


SEND_CALLS = "write,writev,sendto,sendmsg,pwrite64,fdatasync,fsync"


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed: apt-get install strace")
async def test_no_answer_precedes_its_fdatasync(
    dialect: str, request: pytest.FixtureRequest, start_server: StartServer, tmp_path: Path
) -> None:
    """Seen from the kernel: the message reaches the log file, the file is synced, and only then the answer leaves."""
    server, trace = start_server(), tmp_path / "trace"
    async with httpx.AsyncClient(base_url=server.url) as http:
        account = await register(http, "author")
        room_id = await create_room(http, account)
        pids = [server.pid]
        if dialect == "postgresql":
            pids += _children(request.getfixturevalue("postgresql").pid)
        strace = subprocess.Popen(
            [
                "strace",
                "-f",
                "-y",
                "-s",
                "70000",
                "-e",
                f"trace={SEND_CALLS}",
                "-o",
                trace,
                *(f"-p{pid}" for pid in pids),
            ],
            stderr=subprocess.PIPE,
        )
        for _ in pids:
            await _attached(strace)
        answers = {}
        for wave in range(5):
            names = [f"marker{wave}x{number}x" for number in range(8)]
            sent = await asyncio.gather(
                *(
                    http.put(
                        f"{V3}/rooms/{room_id}/send/m.room.encrypted/{name}",
                        json=ciphertext(name * 3),
                        headers=auth(account),
                    )
                    for name in names
                )
            )
            answers |= {name: answer.json()["event_id"] for name, answer in zip(names, sent, strict=True)}
        strace.send_signal(signal.SIGINT)
        await asyncio.to_thread(strace.wait, 10)
    calls = _completed_calls(trace.read_text(errors="replace").splitlines())
    log = {"sqlite": "paraph.db-wal", "postgresql": "/pg_wal/"}[dialect]
    for name, event_id in answers.items():
        written = _first(calls, 0, "pwrite64(", log, name)
        synced = _first(calls, written, "fdatasync(", log, " = 0")
        answered = _first(calls, 0, "<socket:", f'{{\\"event_id\\":\\"{event_id}')
        assert written < synced < answered, f"{name}: written {written}, synced {synced}, answered {answered}"


def _children(pid: int) -> list[int]:
    """The processes that this one has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def _attached(strace: "subprocess.Popen[bytes]") -> None:
    stderr = strace.stderr
    assert stderr is not None
    line = await asyncio.to_thread(stderr.readline)
    if b"attached" not in line:
        strace.kill()
        pytest.skip(f"strace may not attach here: {line.decode(errors='replace').strip()}")


def _completed_calls(lines: list[str]) -> list[str]:
    """Calls in the order in which they *completed* (a resumed line stands where its call returned), pid removed.

    A socket write counts from where it *began*: its bytes may leave before the call returns.
    """
    began: dict[str, str] = {}
    calls = []
    for line in lines:
        pid, _, call = line.partition(" ")
        call = call.strip()
        if call.endswith("<unfinished ...>"):
            began[pid] = call.removesuffix("<unfinished ...>")
            if "socket:" in call or "TCP:" in call:
                calls.append(call)
        elif match := re.match(r"<\.\.\. \w+ resumed>(.*)", call):
            calls.append(began.pop(pid, "") + match[1])
        else:
            calls.append(call)
    return calls


def _first(calls: list[str], start: int, *parts: str) -> int:
    for index in range(start, len(calls)):
        if all(part in calls[index] for part in parts):
            return index
    raise AssertionError(f"strace shows no call with {parts}")
