"""A client of sliding sync: one connection of one device."""

from __future__ import annotations

from typing import Any

from paraph.server.messenger.sliding.http import STABLE, UNSTABLE
from tests.server.messenger.house import Device

EVERYTHING = [["*", "*"]]


def rooms_list(*window: int, limit: int = 10, state: Any = (), **filters: Any) -> dict[str, Any]:
    """A list: `rooms_list(0, 19, limit=5, is_dm=True)`."""
    made: dict[str, Any] = {"timeline_limit": limit, "required_state": list(state)}
    if window:
        made["ranges"] = [list(window)]
    return made | ({"filters": filters} if filters else {})


class Connection:
    """Goes on from its last answer; keeps what it asked for until it asks for something else."""

    def __init__(self, device: Device, conn_id: str = "", path: str = UNSTABLE) -> None:
        self.device = device
        self.conn_id = conn_id
        self.path = path
        self.pos: str | None = None
        self.body: dict[str, Any] = {}

    async def ask(self, pos: str | None = None, wait: int = 0, **body: Any) -> Any:
        """One request from `pos`, waiting so many milliseconds for news."""
        self.body = body or self.body
        given = {"conn_id": self.conn_id, **self.body}
        if self.path == STABLE:
            given |= {"timeout": wait} | ({} if pos is None else {"pos": pos})
            return await self.device.call("POST", self.path, given)
        query = {"timeout": wait} | ({} if pos is None else {"pos": pos})
        return await self.device.call("POST", self.path, given, **query)

    async def next(self, wait: int = 0, **body: Any) -> Any:
        """The answer after the last one."""
        answer = await self.ask(self.pos, wait, **body)
        assert answer.status == 200, answer
        self.pos = answer["pos"]
        return answer
