"""A few plain Matrix requests, for tests that need a conversation and no client."""

from typing import Any

import httpx

PASSWORD = "a long enough pass phrase"
V3 = "/_matrix/client/v3"


def ciphertext(text: str) -> dict[str, Any]:
    """Content that has the shape of a Megolm event; no server can tell that nothing is inside."""
    return {
        "algorithm": "m.megolm.v1.aes-sha2",
        "ciphertext": text,
        "sender_key": "A" * 43,
        "device_id": "DEVICE",
        "session_id": "B" * 43,
    }


async def register(http: httpx.AsyncClient, username: str) -> dict[str, str]:
    """Make an account; returns its user id and the Authorization header of its first device."""
    body = {"username": username, "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
    answer = await http.post(f"{V3}/register", json=body)
    answer.raise_for_status()
    made = answer.json()
    return {"user_id": made["user_id"], "Authorization": f"Bearer {made['access_token']}"}


async def create_room(http: httpx.AsyncClient, account: dict[str, str]) -> str:
    """Make a private encrypted room."""
    answer = await http.post(f"{V3}/createRoom", json={"preset": "private_chat"}, headers=auth(account))
    answer.raise_for_status()
    return str(answer.json()["room_id"])


def auth(account: dict[str, str]) -> dict[str, str]:
    """The header that speaks for an account."""
    return {"Authorization": account["Authorization"]}


async def all_messages(http: httpx.AsyncClient, account: dict[str, str], room_id: str) -> list[dict[str, Any]]:
    """Every event of a room, oldest first, page by page."""
    events: list[dict[str, Any]] = []
    token: str | None = None
    while True:
        params = {"dir": "f", "limit": "100"} | ({"from": token} if token else {})
        answer = await http.get(f"{V3}/rooms/{room_id}/messages", params=params, headers=auth(account))
        answer.raise_for_status()
        page = answer.json()
        events += page["chunk"]
        token = page.get("end")
        if not token or not page["chunk"]:
            return events
