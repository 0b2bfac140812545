"""A sandbox from its first process to Ctrl-C."""

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from paraph.cli.operator import Operator
from paraph.cli.processes import ServerProcess, Witnesses, free_port
from paraph.cli.sandbox.clock import Clock
from paraph.cli.sandbox.control import Control
from paraph.cli.sandbox.folder import CLOCK, STATE, claimed, write
from paraph.cli.sandbox.partners import Wanted, admitted
from paraph.cli.sandbox.people import People, people
from paraph.sdk import SdkError
from paraph.tlog import note
from paraph.tlog import policy as policies
from paraph.tlog.policy import Policy

Json = dict[str, Any]
FREED_WITHIN = 15.0
CATCH_UP_EVERY = 1.0


class PortTaken(Exception):
    """Another program listens on the port."""


async def run(
    folder: Path,
    wanted: Sequence[Wanted],
    *,
    port: int,
    every: float | None,
    ready: Callable[[Json], None],
    troubled: Callable[[str], None],
) -> None:
    """Run until SIGINT or SIGTERM; `ready` gets what `sandbox.json` says, `troubled` what went wrong meanwhile.

    `every` is the seconds between the messages that people send by themselves; None: they send none.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(claimed(folder))
        server, policy = await asyncio.to_thread(_platform, stack, folder, port)
        if stop.is_set():
            return
        clock = Clock(folder / CLOCK, server.url, policy)
        cast = await stack.enter_async_context(people(server.url, folder / "people", clock.now))
        partners = await _partners(server, folder, cast, wanted)
        control = Control(cast, clock)
        listener, control_port = await control.listen()
        stack.callback(listener.close)
        said = {
            "url": server.url,
            "partners": {slug: str(file.resolve()) for slug, file in partners.items()},
            "rooms": cast.rooms,
            "control": {"port": control_port, "secret": control.secret},
        }
        write(folder / STATE, said)
        ready(said)
        await _live(cast, every, stop, troubled)


def _platform(stack: contextlib.AsyncExitStack, folder: Path, port: int) -> tuple[ServerProcess, Policy]:
    """The platform, and the policy that names the witnesses of its log."""
    port = _freed(port) if port else free_port()
    data = folder / "platform"
    clock = (folder / CLOCK).resolve()
    watching = stack.enter_context(Witnesses(folder / "witnesses", data, port, clock=clock))
    settings = {"registration": "open", "witnesses": str(watching.policy), "profile": "test", "clock_file": str(clock)}
    log = note.Signer.from_skey(watching.log_key.read_text(encoding="utf-8").strip()).verifier
    policy = policies.parse(watching.policy.read_bytes()).for_log(log)
    return stack.enter_context(ServerProcess(data, settings=settings, port=port)), policy


def _freed(port: int) -> int:
    """The port, once nobody has it: a sandbox that was killed leaves a platform that is still ending."""
    deadline = time.monotonic() + FREED_WITHIN
    while True:
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError as error:
            if time.monotonic() > deadline:
                raise PortTaken(f"port {port} is taken ({error.strerror}): name another --port") from None
            time.sleep(0.2)


async def _partners(server: ServerProcess, folder: Path, cast: People, wanted: Sequence[Wanted]) -> dict[str, Path]:
    """Admit the partners, and let the author open a room to each."""
    operator = await asyncio.to_thread(Operator, server.data)
    made = {}
    for one in wanted:
        made[one.slug] = await admitted(server.url, folder / "partners", operator, one, (folder / CLOCK).absolute())
        await cast.grant(one.slug, [one.room])
    return made


async def _live(cast: People, every: float | None, stop: asyncio.Event, troubled: Callable[[str], None]) -> None:
    """Let time pass: messages come in, devices catch up."""
    due = time.monotonic()
    while not stop.is_set():
        try:
            if every is not None and time.monotonic() >= due:
                due += every
                await cast.chat()
            await cast.catch_up()
        except SdkError as error:
            troubled(str(error))
        with contextlib.suppress(TimeoutError):
            wait = CATCH_UP_EVERY if every is None else max(min(CATCH_UP_EVERY, due - time.monotonic()), 0.05)
            await asyncio.wait_for(stop.wait(), wait)
