"""matrix-js-sdk, the client library under Element Web, whole: its own sync loop, store, threads and rust crypto."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from tests.interop.party import PASSWORD, PATIENCE, Party, Received

DRIVER = Path(__file__).parent / "node" / "js_sdk.mjs"
ANSWER_WITHIN = 20.0
Json = dict[str, Any]


class JsSdkError(AssertionError):
    """The client in Node failed; the message carries its stack."""


class JsSdkProcess:
    """The Node process with its clients. It belongs to no event loop: tests with loops of their own share it."""

    def __init__(self, node: str) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([node, str(DRIVER)], stdin=pipe, stdout=pipe, text=True)
        self._numbers = itertools.count()
        self._waiting: dict[int, Future[Json]] = {}
        threading.Thread(target=self._listen, daemon=True).start()

    async def call(self, client: str, command: str, arguments: Json) -> Any:
        """Let a client do something; JsSdkError if it fails, or takes too long."""
        number = next(self._numbers)
        waiting = self._waiting[number] = Future[Json]()
        line = json.dumps({"id": number, "client": client, "command": command, "arguments": arguments})
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        try:
            answer = await asyncio.wait_for(asyncio.wrap_future(waiting), ANSWER_WITHIN)
        except TimeoutError as error:
            raise JsSdkError(f"no answer to {command} within {ANSWER_WITHIN} s") from error
        if "error" in answer:
            raise JsSdkError(f"{command}: {answer['error']}")
        return answer["result"]

    async def requests(self) -> dict[str, list[Any]]:
        """What all clients of the process have asked for, as `asked`; as `refused` what the server refused."""
        found: dict[str, list[Any]] = await self.call("", "requests", {})
        return found

    def close(self) -> None:
        """End the process: it ends with its input."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(ANSWER_WITHIN)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = json.loads(line)
            _settle(self._waiting.pop(answer["id"]), answer)
        for waiting in self._waiting.values():
            _settle(waiting, {"error": "the Node process ended"})


class JsSdkParty(Party):
    """One client of the process, with a cross-signing identity if it signed up."""

    def __init__(self, process: JsSdkProcess, name: str) -> None:
        super().__init__()
        self._process = process
        self._name = name

    @classmethod
    async def sign_up(cls, process: JsSdkProcess, url: str, name: str, *, sliding: bool = False) -> JsSdkParty:
        """Register a new account; with `sliding`, the client follows it by sliding sync."""
        return await cls._begin(process, "register", url, name, sliding=sliding)

    @classmethod
    async def log_in(cls, process: JsSdkProcess, url: str, name: str) -> JsSdkParty:
        """Log in to an account that exists, as a device that nobody has signed."""
        return await cls._begin(process, "login", url, name)

    @classmethod
    async def _begin(cls, process: JsSdkProcess, command: str, url: str, name: str, **more: Any) -> JsSdkParty:
        party = cls(process, f"{name}/{next(_clients)}")
        account = await party.do(command, url=url, username=name, password=PASSWORD, **more)
        party.user_id, party.device_id = account["user_id"], account["device_id"]
        return party

    async def do(self, command: str, **arguments: Any) -> Any:
        """Any command of the driver."""
        return await self._process.call(self._name, command, arguments)

    async def create_room(self, invite: list[str]) -> str:
        return str(await self.do("create_room", invite=invite))

    async def join(self, room_id: str) -> None:
        await self.do("join", room_id=room_id)

    async def send(self, room_id: str, body: str) -> str:
        return str(await self.do("send", room_id=room_id, body=body))

    async def step(self, timeout_ms: int) -> None:
        brought = await self.do("snapshot", timeout=timeout_ms)
        self.invited |= set(brought["invited"])
        self.members.update({room: set(users) for room, users in brought["members"].items()})
        for message in brought["messages"]:
            self.received[message["event_id"]] = Received(**message)
        self.unopened = set(brought["unopened"])

    async def look(self, room_id: str) -> Json:
        """A room as a screen would show it."""
        view: Json = await self.do("look", room_id=room_id)
        return view

    async def sees(self, room_id: str, reached: Callable[[Json], Any], what: str) -> Json:
        """Sync until the room looks like that, and return it."""
        view: Json = {}

        async def look() -> bool:
            nonlocal view
            view = await self.look(room_id)
            return view is not None and bool(reached(view))

        deadline = asyncio.get_running_loop().time() + PATIENCE
        while not await look():
            assert asyncio.get_running_loop().time() < deadline, f"{self.user_id} waited in vain for {what}: {view}"
            await self.step(1000)
        return view

    async def close(self) -> None:
        """Stop this client's sync loop."""
        await self.do("close")


_clients = itertools.count()


def _settle(waiting: Future[Json], answer: Json) -> None:
    if waiting.set_running_or_notify_cancel():  # else nobody waits for it any more
        waiting.set_result(answer)
