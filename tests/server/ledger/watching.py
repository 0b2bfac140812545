"""Witnesses for the ledger's tests: real ones in the same process, and ones that answer as they are told."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from pathlib import Path

import httpx
import uvicorn

from paraph.server.ledger.log import Log
from paraph.server.ledger.witnesses import Patience, Witnesses
from paraph.tlog import note, policy
from paraph.tlog.cosignature import CosignatureSigner
from paraph.tlog.policy import Policy
from paraph.witness import folder
from paraph.witness.app import WitnessApplication
from paraph.witness.service import Witness
from tests.server.ledger.support import NOON

IMPATIENT = Patience(deadline=1.0, grace=0.05)
Handler = Callable[[httpx.Request], Awaitable[httpx.Response]]


class Watching:
    """Three witnesses `w0`, `w1`, `w2` in folders below `root`; reached as http://w0 and so on."""

    def __init__(self, root: Path, count: int = 3) -> None:
        self.root = root
        self.down: set[str] = set()
        self.scripted: dict[str, Handler] = {}
        self.skew: dict[str, int] = {}
        self.asked: list[str] = []
        self.signers = {f"w{n}": folder.create(root / f"w{n}", f"w{n}.example/witness") for n in range(count)}
        self._applications: dict[str, httpx.ASGITransport] = {}

    def watch(self, vkey: str) -> None:
        """Start all witnesses, for the log with this key."""
        for name in self.signers:
            self._applications[name] = httpx.ASGITransport(self.application(name, vkey))

    def application(self, name: str, vkey: str) -> WitnessApplication:
        """One witness as an application."""
        signer, store = folder.open_folder(self.root / name)
        logs = [note.Verifier.from_vkey(vkey)]
        return WitnessApplication(Witness(store, signer, logs, lambda: NOON // 1000 + self.skew.get(name, 0)))

    def policy(self, *lines: str, urls: Iterable[str] = (), log: str | None = None) -> Policy:
        """A policy over all of them; two of three unless other lines are given."""
        places = dict(zip(self.signers, urls, strict=False)) or {name: f"http://{name}" for name in self.signers}
        known = [
            f"witness {name} {signer.verifier.vkey} {places.get(name, '')}" for name, signer in self.signers.items()
        ]
        quorum = lines or (f"group quorum {len(known) // 2 + 1} {' '.join(self.signers)}", "quorum quorum")
        own = [] if log is None else [f"log {log}"]
        return policy.parse("".join(f"{line}\n" for line in [*own, *known, *quorum]).encode())

    def client(self, log: Log, trusted: Policy | None = None, patience: Patience = IMPATIENT) -> Witnesses:
        """The log's side."""
        verifier = note.Verifier.from_vkey(log.vkey)
        return Witnesses(
            trusted or self.policy(),
            verifier,
            log.folder,
            clock=lambda: NOON,
            patience=patience,
            transport=_Routes(self._route),
        )

    async def _route(self, request: httpx.Request) -> httpx.Response:
        name = request.url.host
        self.asked.append(name)
        if name in self.down:
            raise httpx.ConnectError("connection refused")
        if name in self.scripted:
            return await self.scripted[name](request)
        return await self._applications[name].handle_async_request(request)


class _Routes(httpx.AsyncBaseTransport):
    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer by host."""
        return await self._handler(request)


def cosigner(watching: Watching, name: str) -> CosignatureSigner:
    """A witness's key."""
    return watching.signers[name]


@contextlib.asynccontextmanager
async def serving(applications: Sequence[WitnessApplication], ports: Sequence[int]) -> AsyncIterator[None]:
    """Serve these witnesses over HTTP on these ports."""
    servers = [
        uvicorn.Server(uvicorn.Config(application, log_level="warning", lifespan="on")) for application in applications
    ]
    sockets = [socket.create_server(("127.0.0.1", port)) for port in ports]
    tasks = [
        asyncio.create_task(server.serve(sockets=[listener])) for server, listener in zip(servers, sockets, strict=True)
    ]
    try:
        async with asyncio.timeout(10):
            while not all(server.started for server in servers):  # noqa: ASYNC110 (uvicorn offers no event)
                await asyncio.sleep(0.01)
        yield
    finally:
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*tasks)
