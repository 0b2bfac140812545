"""The OlmMachine that Element ships, in a Node process of its own."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.interop.party import PASSWORD, Party, Received

DRIVER = Path(__file__).parent / "node" / "driver.mjs"
ANSWER_WITHIN = 15.0


class DriverError(AssertionError):
    """The client in Node failed; the message carries its stack."""


class OlmMachineParty(Party):
    """A client with a cross-signing identity, made at sign-up, that signs its device.

    `devices` says whom it sends keys to and `senders` whose messages it decrypts: "any" device, or
    "owner_signed" ones alone.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        super().__init__()
        self._process = process
        self.devices = "any"
        self.senders = "any"
        self.access_token = ""

    @classmethod
    async def sign_up(cls, node: str, url: str, name: str) -> OlmMachineParty:
        """Register a new account."""
        return await cls._begin(node, "register", url, name)

    @classmethod
    async def log_in(cls, node: str, url: str, name: str) -> OlmMachineParty:
        """Log in to an account that exists, as a device that nobody has signed."""
        return await cls._begin(node, "login", url, name)

    @classmethod
    async def _begin(cls, node: str, command: str, url: str, name: str) -> OlmMachineParty:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(node, str(DRIVER), stdin=pipe, stdout=pipe, limit=2**24)
        party = cls(process)
        try:
            account = await party._call(command, url=url, username=name, password=PASSWORD)
        except BaseException:
            await party.close()
            raise
        party.user_id, party.device_id = account["user_id"], account["device_id"]
        party.access_token = account["access_token"]
        return party

    async def create_room(self, invite: list[str]) -> str:
        return str(await self._call("create_room", invite=invite))

    async def join(self, room_id: str) -> None:
        await self._call("join", room_id=room_id)

    async def send(self, room_id: str, body: str) -> str:
        return str(await self._call("send", room_id=room_id, body=body, devices=self.devices))

    async def step(self, timeout_ms: int) -> None:
        brought = await self._call("sync", timeout=timeout_ms, senders=self.senders)
        self.invited |= set(brought["invited"])
        self.members.update({room: set(users) for room, users in brought["members"].items()})
        for message in brought["messages"]:
            self.received[message["event_id"]] = Received(**message)
        self.unopened = set(brought["unopened"])

    async def owner_signed(self, user_id: str, device_id: str) -> bool | None:
        """Whether this client takes a device for signed by its owner; None if it does not know the device."""
        answer: bool | None = await self._call("owner_signed", user_id=user_id, device_id=device_id)
        return answer

    async def close(self) -> None:
        """End the Node process: it ends with its input."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await asyncio.wait_for(self._process.wait(), ANSWER_WITHIN)

    async def _call(self, command: str, **arguments: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"command": command, "arguments": arguments}).encode() + b"\n")
        line = await asyncio.wait_for(self._process.stdout.readline(), ANSWER_WITHIN)
        if not line:
            raise DriverError(f"the Node process ended during {command}")
        answer = json.loads(line)
        if "error" in answer:
            raise DriverError(f"{command}: {answer['error']}")
        return answer["result"]
