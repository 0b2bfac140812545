"""The commands for accounts and registration tokens against a running server, as they would be typed."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.test_commands import Terminal
from tests.support.matrix import V3
from tests.support.server import RunningServer

pytestmark = pytest.mark.slow


@pytest.fixture
def terminal(server: RunningServer, tmp_path: Path) -> Terminal:
    return Terminal(server.data, tmp_path)


def user(terminal: Terminal, *arguments: object) -> Any:
    """The JSON that a `paraph user` command prints."""
    return json.loads(terminal.ok("user", *arguments, "--data", terminal.data, "--json"))


def log_in(server: RunningServer, name: str, password: str) -> httpx.Response:
    identifier = {"type": "m.id.user", "user": name}
    body = {"type": "m.login.password", "identifier": identifier, "password": password}
    return httpx.post(f"{server.url}{V3}/login", json=body)


def who(server: RunningServer, token: str) -> int:
    answer = httpx.get(f"{server.url}{V3}/account/whoami", headers={"Authorization": f"Bearer {token}"})
    return answer.status_code


def test_a_new_password_is_made_and_shown(terminal: Terminal, server: RunningServer) -> None:
    """It logs in, the old one does not; sessions end unless `--keep-devices` says otherwise."""
    made = user(terminal, "add", "reader")
    token = log_in(server, "reader", made["password"]).json()["access_token"]
    new = user(terminal, "password", "@reader:localhost", "--keep-devices")["password"]
    assert who(server, token) == 200
    assert log_in(server, "reader", made["password"]).status_code == 403
    told = terminal.ok("user", "password", "@reader:localhost", "--password", "chosen by hand", "--data", terminal.data)
    assert told == "@reader:localhost has a new password.\n"
    assert who(server, token) == 401
    assert log_in(server, "reader", new).status_code == 403
    assert log_in(server, "reader", "chosen by hand").status_code == 200


def test_an_account_is_ended(terminal: Terminal, server: RunningServer) -> None:
    """Not without a yes; then its sessions are over and the list says so; a second time is as good as one."""
    made = user(terminal, "add", "leaver")
    token = log_in(server, "leaver", made["password"]).json()["access_token"]
    asked = terminal.run("user", "deactivate", "@leaver:localhost", "--data", terminal.data)
    assert asked.exit_code == 1
    assert who(server, token) == 200
    for _ in range(2):
        assert user(terminal, "deactivate", "@leaver:localhost", "--yes") == {"user_id": "@leaver:localhost"}
    assert who(server, token) == 401
    (found,) = [entry for entry in user(terminal, "list") if entry["user_id"] == "@leaver:localhost"]
    assert found["deactivated"] >= found["created"]


def test_an_account_is_suspended_and_locked(terminal: Terminal, server: RunningServer) -> None:
    """The list shows how it stands; a locked one is let in nowhere; lifted, its old session goes on."""
    made = user(terminal, "add", "shouter")
    token = log_in(server, "shouter", made["password"]).json()["access_token"]
    for command, state in (("suspend", "suspended"), ("lock", "locked")):
        assert user(terminal, command, "@shouter:localhost") == {"user_id": "@shouter:localhost", state: True}
    (found,) = [entry for entry in user(terminal, "list") if entry["user_id"] == "@shouter:localhost"]
    assert (found["suspended"], found["locked"], who(server, token)) == (True, True, 401)
    assert user(terminal, "lock", "@shouter:localhost", "--lift") == {"user_id": "@shouter:localhost", "locked": False}
    assert who(server, token) == 200
    said = terminal.ok("user", "suspend", "@shouter:localhost", "--lift", "--data", terminal.data)
    assert said == "@shouter:localhost is not suspended any more; the log says that it happened\n"


def test_registration_tokens_from_first_to_last(terminal: Terminal) -> None:
    """Made with uses and days, listed by id in the order they were made, revoked."""
    first, second = user(terminal, "invite", "--uses", 3, "--days", 2), user(terminal, "invite")
    entries = {entry["id"]: entry for entry in user(terminal, "invites")}
    assert entries[first["id"]]["uses_left"] == 3
    assert entries[first["id"]]["expires"] - entries[first["id"]]["created"] == pytest.approx(
        2 * 86_400_000, abs=60_000
    )
    assert entries[second["id"]]["expires"] is None
    assert first["token"] not in terminal.ok("user", "invites", "--data", terminal.data)
    assert user(terminal, "uninvite", first["id"]) == {"id": first["id"]}
    assert [entry["id"] for entry in user(terminal, "invites")] == [second["id"]]
    said = terminal.ok("user", "invite", "--days", 1, "--data", terminal.data)
    assert said.endswith("good for 1 account within 1 day, shown only now\n")


def test_the_whole_list_is_shown(terminal: Terminal, server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists that the server gives in pages are shown whole."""
    monkeypatch.setattr("paraph.cli.user._PAGE", 2)
    names = {user(terminal, "add", f"many{n}")["user_id"] for n in range(5)}
    assert names <= {entry["user_id"] for entry in user(terminal, "list")}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["password", "@nobody:localhost"], "no such account"),
        (["password", "nobody"], "no such account"),
        (["deactivate", "@nobody:localhost", "--yes"], "no such account"),
        (["password", "@../../partners:localhost"], "no such account"),
        (["uninvite", "0123456789ab"], "no such registration token"),
    ],
)
def test_what_is_not_there_is_said(terminal: Terminal, arguments: list[str], says: str) -> None:
    """One clear line for what the server does not know."""
    assert says in terminal.refused("user", *arguments, "--data", terminal.data)


@pytest.mark.parametrize("command", ["password", "suspend", "lock", "deactivate", "invites", "uninvite"])
def test_help_shows_an_example(terminal: Terminal, command: str) -> None:
    """`--help` shows how the command is typed."""
    assert f"Example: paraph user {command}" in " ".join(terminal.ok("user", command, "--help").split())
