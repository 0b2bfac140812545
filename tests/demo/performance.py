"""One performance of the demo in the test's own process, on a platform that may be sabotaged; made cheap."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from paraph.cli.demo.films import Film
from paraph.cli.demo.process import SERVE
from paraph.cli.demo.screen import Screen
from paraph.cli.demo.story import ACTS, Story
from paraph.cli.demo.stranger import CHECK
from paraph.cli.demo.witnesses import Witnesses
from paraph.cli.processes import AUDITOR, STOPPED_WITHIN
from paraph.tlog import note
from paraph.witness import folder
from paraph.witness.app import WitnessApplication
from paraph.witness.service import Witness

LAUNCHER = Path(__file__).parent / "sabotage" / "serve.py"
# Reading the real ratings takes longer than the story; the texts need to be different, no more.
FILMS = [Film(f"Film {number}", 1950 + number, "drama", 1 + number % 5, 5 - number % 4) for number in range(40)]


class WitnessThreads(Witnesses):
    """The demo's witnesses and map auditor, as threads of this process: three processes fewer to start."""

    def __init__(self, root: Path, data: Path, port: int) -> None:
        super().__init__(root, data, port)
        self._servers: list[tuple[uvicorn.Server, threading.Thread]] = []

    def _start(self, name: str, vkey: str) -> str:
        data, log = self._root / name, note.Verifier.from_vkey(vkey)
        folder.create(data, f"demo.example/{name}")
        signer, store = folder.open_folder(data)
        known = signer.verifier.vkey
        auditors = {log.name: folder.open_auditor(data, log, self._url, known, seconds)} if name == AUDITOR else {}
        listener = socket.create_server(("127.0.0.1", 0))
        (data / "witness.json").write_text(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"}))
        application = WitnessApplication(Witness(store, signer, [log], clock=seconds), auditors)
        server = uvicorn.Server(uvicorn.Config(application, lifespan="on", ws="none", log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name=name, daemon=True)
        thread.start()
        self._servers.append((server, thread))
        return known

    def __exit__(self, *_: object) -> None:
        for server, _thread in self._servers:
            server.should_exit = True
        for _server, thread in self._servers:
            thread.join(STOPPED_WITHIN)


def seconds() -> int:
    """The clock of the witnesses."""
    return int(time.time())


@dataclass(frozen=True)
class Played:
    """How a performance ended: the exit status it stands for, and the document it printed."""

    kept: bool
    document: dict[str, Any]

    def verdict(self, promise: str) -> bool | None:
        """Whether a promise was kept, or None where it was not shown."""
        kept: bool | None = self.document["promises"][promise]["kept"]
        return kept

    @property
    def broken(self) -> set[str]:
        """The promises that the demo says are broken."""
        return {promise for promise in self.document["promises"] if self.verdict(promise) is False}

    def evidence(self, promise: str) -> dict[str, Any]:
        """The evidence of a promise."""
        evidence: dict[str, Any] = self.document["promises"][promise]["evidence"]
        return evidence

    def wrong(self, promise: str) -> dict[str, int]:
        """What was counted and is not as it has to be, with what was found."""
        counts = self.evidence(promise)["counts"]
        return {count["what"]: count["found"] for count in counts if count["found"] != count["expected"]}

    def accepted(self, promise: str, name: str) -> set[str]:
        """What was tried and should have been refused, and was not."""
        return {attempt["what"] for attempt in self.evidence(promise)[name] if not attempt["refused"]}


def play(
    place: Path,
    sabotage: str | None = None,
    *,
    acts: Collection[str] = ACTS,
    check_command: tuple[str, ...] = CHECK,
) -> Played:
    """Play the story once, without its control; `sabotage` names what the platform fails to enforce.

    `acts` are those of them that are played, where only they could notice; `check_command` is what the stranger runs.
    """
    command = SERVE if sabotage is None else (sys.executable, str(LAUNCHER), sabotage, "serve")
    screen = Screen(quiet=True)
    story = Story(
        place,
        screen,
        server_command=command,
        films=lambda: FILMS,
        control=False,
        acts=acts,
        witnesses=WitnessThreads,
        check_command=check_command,
    )
    kept = asyncio.run(story.play())
    return Played(kept, screen.document)
