"""A device that speaks plain HTTP, and what tests do with it again and again."""

from __future__ import annotations

import itertools
from typing import Any

import httpx

from tests.interop.party import PASSWORD
from tests.support.server import RunningServer

ENCRYPTION = {
    "type": "m.room.encryption",
    "state_key": "",
    "content": {"algorithm": "m.megolm.v1.aes-sha2"},
}
CIPHERTEXT = {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "AwgAEnAC", "session_id": "c2Vzc2lvbg"}
names = (f"walker{n}" for n in itertools.count())
transactions = (f"txn{n}" for n in itertools.count())


class Device:
    """A logged-in device that speaks plain HTTP."""

    def __init__(self, url: str, account: dict[str, str]) -> None:
        self.user_id, self.device_id = account["user_id"], account["device_id"]
        token = {"Authorization": f"Bearer {account['access_token']}"}
        self.http = httpx.Client(base_url=f"{url}/_matrix/client", headers=token, timeout=30)

    def __call__(self, method: str, path: str, content: Any = None, **query: Any) -> Any:
        """A request under /v3 that must succeed; returns its JSON."""
        answer = self.ask(method, path, content, **query)
        assert answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def ask(self, method: str, path: str, content: Any = None, **query: Any) -> httpx.Response:
        """A request under /v3, whatever comes of it."""
        body = {} if content is None and method in {"POST", "PUT"} else content
        return self.http.request(method, f"/v3{path}", json=body, params=query or None)

    def sync(self, since: str | None = None, **query: Any) -> Any:
        """A sync that does not wait unless told to."""
        query = {"timeout": 0, **({"since": since} if since else {}), **query}
        return self("GET", "/sync", **query)

    def send(self, room: str, txn: str | None = None) -> str:
        """Send an encrypted message; returns its event id."""
        path = f"/rooms/{room}/send/m.room.encrypted/{txn or next(transactions)}"
        return str(self("PUT", path, CIPHERTEXT)["event_id"])


def sign_up(server: RunningServer) -> Device:
    """Register in one shot, as clients do where registration is open."""
    content = {"username": next(names), "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
    answer = httpx.post(f"{server.url}/_matrix/client/v3/register", json=content, timeout=30)
    assert answer.status_code == 200, answer.text
    return Device(server.url, answer.json())


def log_in(server: RunningServer, user: str, password: str = PASSWORD) -> httpx.Response:
    """A login by password."""
    identifier = {"type": "m.id.user", "user": user}
    content = {"type": "m.login.password", "identifier": identifier, "password": password}
    return httpx.post(f"{server.url}/_matrix/client/v3/login", json=content, timeout=30)


def room_of(*people: Device) -> str:
    """A private encrypted room that the first creates and the others have joined."""
    host, *guests = people
    invite = [guest.user_id for guest in guests]
    content = {"preset": "private_chat", "invite": invite, "initial_state": [ENCRYPTION]}
    room = str(host("POST", "/createRoom", content)["room_id"])
    for guest in guests:
        guest("POST", f"/join/{room}")
    return room


def refused(answer: httpx.Response, status: int, errcode: str) -> None:
    """The answer is this Matrix error."""
    assert (answer.status_code, answer.json().get("errcode")) == (status, errcode), answer.text
    assert isinstance(answer.json()["error"], str)
