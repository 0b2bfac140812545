"""Witnesses for the servers of a whole test run: one thread, and for each data folder a witness with its own key."""

from __future__ import annotations

import functools
import itertools
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn

from paraph.sdk.clock import system_time
from paraph.tlog import note
from paraph.witness import folder
from paraph.witness.app import Receive, Scope, Send, WitnessApplication
from paraph.witness.service import Witness

READY_WITHIN = 15.0


def witness_policy(data: Path, clock: Callable[[], int] = system_time) -> Path:
    """A policy file beside the data folder of a server to be: one witness, which runs as long as the tests do.

    It goes by `clock` (ms), and learns the log's key from the folder when it is asked for the first time.
    """
    return _house().policy(data, clock)


class _House:
    """Dispatches `/<number>/...` to the witness of that number."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._logs: dict[str, tuple[Path, Callable[[], int]]] = {}
        self._witnesses: dict[str, WitnessApplication] = {}
        listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._port = listener.getsockname()[1]
        config = uvicorn.Config(
            self._answer, interface="asgi3", lifespan="off", ws="none", access_log=False, log_level="error"
        )
        self._server = uvicorn.Server(config)
        threading.Thread(target=self._server.run, args=([listener],), name="witnesses", daemon=True).start()
        deadline = time.monotonic() + READY_WITHIN
        while not self._server.started:
            assert time.monotonic() < deadline, "the witnesses did not start in time"
            time.sleep(0.005)

    def policy(self, data: Path, clock: Callable[[], int]) -> Path:
        """Make the witness and the policy of a data folder, or give those that it has."""
        path = data.with_name(f"{data.name}.policy")
        if not path.exists():
            number = str(next(self._numbers))
            own = data.with_name(f"{data.name}.witness")
            vkey = folder.create(own, f"test.example/witness-{number}").verifier.vkey
            self._logs[number] = data, clock
            path.write_text(f"witness w {vkey} http://127.0.0.1:{self._port}/{number}\nquorum w\n")
        return path

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        _, number, rest = str(scope["path"]).split("/", 2)
        if number not in self._witnesses:
            self._witnesses[number] = _open(*self._logs[number])
        inner: dict[str, Any] = {**scope, "path": f"/{rest}"}
        await self._witnesses[number](inner, receive, send)


def _open(data: Path, clock: Callable[[], int]) -> WitnessApplication:
    """The witness of the log whose key lies in a data folder."""
    signer, store = folder.open_folder(data.with_name(f"{data.name}.witness"))
    log = note.Signer.from_skey((data / "keys" / "log.key").read_text().strip()).verifier
    return WitnessApplication(Witness(store, signer, [log], clock=lambda: clock() // 1000))


@functools.cache
def _house() -> _House:
    return _House()
