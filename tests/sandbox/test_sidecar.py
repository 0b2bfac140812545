"""The sidecar as people run it: a process beside the sandbox, killed and begun again; and the page's Node program."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.sandbox.support import PARAPH, RunningSandbox

pytestmark = pytest.mark.slow

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "partner-sidecar.md"


class Run:
    """The command as a process, beside a sandbox."""

    def __init__(self, process: subprocess.Popen[str], said: dict[str, str]) -> None:
        self.process = process
        self.url = said["url"]
        self.file = Path(said["token"])

    @property
    def headers(self) -> dict[str, str]:
        """What lets a request in."""
        return {"authorization": f"Bearer {self.file.read_text().strip()}"}


@contextmanager
def run(file: Path) -> Iterator[Run]:
    """`paraph partner sidecar` on a free port; killed at the end, without a warning."""
    command = [str(PARAPH), "partner", "sidecar", str(file), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Run(process, json.loads(process.stdout.readline()))
        finally:
            process.send_signal(signal.SIGKILL)


async def heard(http: httpx.AsyncClient, text: str, since: str | None = None) -> tuple[list[str], str]:
    """The open messages behind a state (which is acknowledged) up to one that says `text`, and the state behind it."""
    found: list[str] = []
    state = since
    while text not in found:
        query: dict[str, Any] = {"wait": 30, "limit": 1} | ({} if state is None else {"since": state})
        answer = (await http.get("/changes", params=query)).json()
        assert answer["changes"], "nothing came"
        state = str(answer["state"])
        found += [c["message"]["body"] for c in answer["changes"] if c["kind"] == "message" and c["state"] == "open"]
    return found, str(state)


async def test_a_killed_run_loses_nothing(sandbox: RunningSandbox) -> None:
    """Killed between any two answers, each word comes once to whoever keeps the state with what it did."""
    kept: list[str] = []
    state: str | None = None
    for number in range(2):
        with run(sandbox.file("sidecar")) as sidecar:
            assert stat.S_IMODE(sidecar.file.stat().st_mode) == 0o600
            sandbox.say(f"the sidecar's word {number}")
            async with httpx.AsyncClient(base_url=sidecar.url, headers=sidecar.headers, timeout=40) as http:
                found, state = await heard(http, f"the sidecar's word {number}", state)
                kept += found
    assert [word for word in kept if word.startswith("the sidecar's")] == [f"the sidecar's word {n}" for n in (0, 1)]


def test_a_program_in_another_language(sandbox: RunningSandbox, tmp_path: Path) -> None:
    """The page's program for Node, as printed: it hears the author as events, and leaves a draft that she sends."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not on this machine: the page's program was not run")
    text = PAGE.read_text(encoding="utf-8").partition("<!-- first.mjs -->\n```js\n")[2].partition("```")[0]
    (tmp_path / "first.mjs").write_text(text)
    sandbox.tell("drafts", how="seal")
    with run(sandbox.file("sidecar")) as sidecar:
        command = [node, str(tmp_path / "first.mjs"), sidecar.url, str(sidecar.file)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as program:
            sandbox.say('I could watch "Stalker" again tonight.')
            printed, _ = program.communicate(timeout=60)
    assert program.returncode == 0
    assert any("Stalker" in line for line in printed.splitlines())
    assert printed.splitlines()[-1] == "the draft was sealed"


async def test_streams_name_their_states(sandbox: RunningSandbox) -> None:
    """JSON Lines and server-sent events give each change with its state; `Last-Event-ID` goes on behind it."""
    with run(sandbox.file("sidecar")) as sidecar:
        sandbox.say("as a line")
        async with httpx.AsyncClient(base_url=sidecar.url, headers=sidecar.headers, timeout=40) as http:
            lines = await _until(http, {"accept": "application/jsonl"}, "as a line")
            state = json.loads(lines[-1])["state"]
            assert (await http.post("/acknowledgements", json={"state": state})).status_code == 204
            sandbox.say("as an event")
            events = await _until(http, {"accept": "text/event-stream", "last-event-id": state}, "as an event")
            assert "as a line" not in "".join(events)
            assert any(line.startswith("id: ") for line in events)


async def _until(http: httpx.AsyncClient, headers: dict[str, str], text: str) -> list[str]:
    """The lines of a stream up to the one with this text."""
    found = []
    async with asyncio.timeout(30), http.stream("GET", "/changes", headers=headers) as answer:
        assert answer.headers["content-type"] == headers["accept"]
        async for line in answer.aiter_lines():
            found.append(line)
            if text in line:
                return found
    raise AssertionError(f"the stream ended: {found}")
