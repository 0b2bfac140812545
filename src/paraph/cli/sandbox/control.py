"""How the commands reach the sandbox that runs: one line of JSON each way, on loopback, with a secret of its folder."""

import asyncio
import hmac
import json
import secrets
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from paraph.cli.output import fail
from paraph.cli.sandbox.clock import CannotTurn, Clock
from paraph.cli.sandbox.folder import STATE
from paraph.cli.sandbox.people import People, Unknown
from paraph.protocol.errors import ProtocolError
from paraph.sdk import SdkError

Json = dict[str, Any]
PATIENCE = 60.0


class Control:
    """Takes commands for the people of the sandbox."""

    def __init__(self, people: People, clock: Clock) -> None:
        self.secret = secrets.token_urlsafe(24)
        self._people = people
        self._clock = clock
        self._does: dict[str, Callable[[Json], Awaitable[Json]]] = {
            "say": self._say,
            "grant": self._grant,
            "revoke": self._revoke,
            "answer": self._answer,
            "drafts": self._drafts,
            "lose-keys": self._lose_keys,
            "find-keys": self._find_keys,
            "clock": self._turn,
        }

    async def listen(self) -> tuple[asyncio.Server, int]:
        """Listen on a free port of this machine."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return server, int(server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answer = await self._do(json.loads(await reader.readline()))
        except (SdkError, ProtocolError, Unknown, CannotTurn) as error:
            answer = {"error": f"{error}"}
        except (ValueError, KeyError, TypeError):
            answer = {"error": "the sandbox does not understand this command"}
        writer.write(json.dumps(answer).encode() + b"\n")
        await writer.drain()
        writer.close()

    async def _do(self, command: Json) -> Json:
        if not hmac.compare_digest(str(command["secret"]).encode(), self.secret.encode()):
            return {"error": "the sandbox was started anew: the secret is another one now"}
        return await self._does[command["command"]](command)

    async def _say(self, asked: Json) -> Json:
        return {"event_id": await self._people.say(asked["room"], asked["speaker"], asked["text"])}

    async def _grant(self, asked: Json) -> Json:
        return {"grant_id": await self._people.grant(asked["partner"], asked["rooms"], asked["minutes"])}

    async def _revoke(self, asked: Json) -> Json:
        return {"revoked": await self._people.revoke(asked["partner"])}

    async def _answer(self, asked: Json) -> Json:
        return {"redirect": await self._people.answer(asked["link"], decline=asked["decline"])}

    async def _drafts(self, asked: Json) -> Json:
        await self._people.treat_drafts(asked["how"])
        return {"drafts": asked["how"]}

    async def _lose_keys(self, _asked: Json) -> Json:
        await self._people.lose_keys()
        return {"losing": True}

    async def _find_keys(self, _asked: Json) -> Json:
        return {"losing": False, "found": await self._people.find_keys()}

    async def _turn(self, asked: Json) -> Json:
        now, at, forward = self._clock.now(), asked["at"], asked["forward"]
        if at is None and forward is None:
            return {"now": now}
        return {"now": await self._people.turn(self._clock, forward if at is None else at - now)}


def state(folder: Path) -> Json:
    """What the sandbox that runs on a folder says of itself; ends the command where there is none."""
    try:
        found: Json = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        fail(f"no sandbox runs on {folder}: start one with `paraph sandbox --data {folder}`")
    return found


def tell(folder: Path, command: str, **more: Any) -> Json:
    """Have the sandbox that runs on a folder do something; ends the command with the reason where it does not."""
    control = state(folder)["control"]
    try:
        with socket.create_connection(("127.0.0.1", control["port"]), timeout=PATIENCE) as line:
            line.sendall(json.dumps({"secret": control["secret"], "command": command, **more}).encode() + b"\n")
            answer: Json = json.loads(line.makefile("rb").readline())
    except (OSError, ValueError) as error:
        fail(f"the sandbox on {folder} does not answer ({error}); is it running?")
    if "error" in answer:
        fail(str(answer["error"]))
    return answer
