"""A real `paraph sandbox` for tests, and partners' devices from its files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paraph.cli.sandbox.control import tell
from paraph.sdk import Message, Partner, SqliteStore, clock_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType

READY_WITHIN, STOPPED_WITHIN = 60.0, 20.0
PARAPH = Path(sys.executable).with_name("paraph")
PURPOSE = "recommendations"


class RunningSandbox:
    """The sandbox as a process; people say nothing unless told to or `chatting`."""

    def __init__(self, folder: Path, *partners: str, chatting: bool = False, port: int = 0) -> None:
        self.folder = folder
        self._command = [str(PARAPH), "sandbox", "--data", str(folder), "--json", "--port", str(port)]
        self._command += [word for partner in partners for word in ("--partner", partner)]
        self._command += ["--every", "0.5"] if chatting else ["--quiet"]
        self._process: subprocess.Popen[str] | None = None
        self.said: dict[str, Any] = {}

    def __enter__(self) -> RunningSandbox:
        """Start it and wait until it says what it has."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the sandbox ended with {self._process.wait()}"
        self.said = json.loads(line)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ctrl-C."""
        self.end(signal.SIGINT)

    def end(self, number: signal.Signals) -> int:
        """End it with a signal; its exit status."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            return self._process.wait(STOPPED_WITHIN)
        finally:
            self._process.kill()
            if self._process.stdout is not None:
                self._process.stdout.close()

    def tell(self, command: str, **more: Any) -> dict[str, Any]:
        """What a command of the sandbox does."""
        return tell(self.folder, command, **more)

    def say(self, text: str, room: str = "films", speaker: str = "author") -> str:
        """Let somebody say something; the event id."""
        return str(self.tell("say", room=room, speaker=speaker, text=text)["event_id"])

    def file(self, slug: str) -> Path:
        """The file with what a partner's program needs."""
        return Path(self.said["partners"][slug])

    def children(self) -> list[int]:
        """The ids of the processes that work on its folder: platform and witnesses."""
        found = []
        for one in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = one.read_bytes().split(b"\0")
            except OSError:
                continue
            if b"paraph.cli.leash" in words and any(str(self.folder).encode() in word for word in words):
                found.append(int(one.parent.name))
        return found

    def gone(self) -> bool:
        """Whether all of them end, in time."""
        deadline = time.monotonic() + STOPPED_WITHIN
        while self.children() and time.monotonic() < deadline:
            time.sleep(0.1)
        return not self.children()


@asynccontextmanager
async def device(file: Path) -> AsyncIterator[Partner]:
    """A partner's device, from the file with what its program needs."""
    needs = json.loads(file.read_text())
    store = SqliteStore.open(Path(needs["store"]), passphrase=needs["passphrase"])
    partner = Partner.open(store, now=clock_of(needs))
    try:
        yield partner
    finally:
        await partner.close()


async def all_read(partner: Partner, room_id: str) -> list[Message]:
    """Every message of a room that the platform gives the partner now."""
    await partner.poll()
    return list((await partner.messages(room_id, PURPOSE)).messages)


def program(*command: str | Path, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program with the Python of the tests, and give what it printed."""
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=90,
    )
