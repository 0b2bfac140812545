"""The commands of an operator and a partner against a running server, as they would be typed."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from paraph.cli.main import app
from tests.support.server import RunningServer

pytestmark = pytest.mark.slow


class Terminal:
    """Types commands for one data folder."""

    def __init__(self, data: Path, folder: Path) -> None:
        self.data = data
        self.folder = folder
        self._runner = CliRunner()

    def run(self, *arguments: object) -> Result:
        """Run a command and return what happened."""
        return self._runner.invoke(app, [str(argument) for argument in arguments])

    def ok(self, *arguments: object) -> str:
        """Run a command that has to succeed; returns what it printed."""
        result = self.run(*arguments)
        assert result.exit_code == 0, result.output
        return result.output

    def refused(self, *arguments: object) -> str:
        """Run a command that has to fail with one clear line; returns that line."""
        result = self.run(*arguments)
        assert result.exit_code in (1, 2), result.output
        assert "Traceback" not in result.output
        assert result.output.startswith("paraph: ")
        return result.output


@pytest.fixture
def terminal(server: RunningServer, tmp_path: Path) -> Terminal:
    return Terminal(server.data, tmp_path)


def partner(terminal: Terminal, slug: str) -> Path:
    """Keys of a partner, registered."""
    keys = terminal.folder / slug
    terminal.ok("partner", "keys", "--out", keys)
    public = keys / "public.json"
    terminal.ok("partner", "register", slug, "--name", slug.title(), "--public", public, "--data", terminal.data)
    return keys


def vkey(server: RunningServer) -> str:
    return str(httpx.get(f"{server.url}/_paraph/v1/platform").json()["log"]["vkey"])


def test_an_agreement_from_draft_to_end(terminal: Terminal, server: RunningServer) -> None:
    """Drafted, signed by both sides, published, superseded, ended; each step shows in the list of partners."""
    keys, file = partner(terminal, "marquee"), terminal.folder / "agreement.json"
    for version in (1, 2):
        terminal.ok("agreement", "draft", "marquee", "--data", terminal.data, "--out", file)
        assert "expected a signature" in terminal.refused("agreement", "publish", file, "--data", terminal.data)
        terminal.ok("agreement", "sign", file, "--operator", "--data", terminal.data)
        terminal.ok("agreement", "sign", file, "--key", keys / "master.key")
        terminal.ok("agreement", "publish", file, "--data", terminal.data)
        listed: list[dict[str, Any]] = json.loads(terminal.ok("partner", "list", "--data", terminal.data, "--json"))
        assert [len(found["agreements"]) for found in listed if found["slug"] == "marquee"] == [version]
    shown = json.loads(terminal.ok("agreement", "show", "marquee", "--data", terminal.data, "--json"))
    assert [document["version"] for document in shown] == [1, 2]
    terminal.ok("agreement", "end", "marquee", "--reason", "contract over", "--data", terminal.data)
    assert "version 2, ended" in terminal.ok("partner", "list", "--data", terminal.data)


def test_where_answers_may_go_is_registered(terminal: Terminal) -> None:
    """Redirect URIs are given with the registration, or later; another client key replaces the old one."""
    keys = partner(terminal, "redirected")
    common = ("partner", "register", "redirected", "--name", "R", "--data", terminal.data)
    uri = "https://redirected.example/callback"
    terminal.ok(*common, "--public", keys / "public.json", "--redirect-uri", uri, "--redirect-uri", f"{uri}2")
    refused = terminal.refused(*common, "--public", keys / "public.json", "--redirect-uri", "http://elsewhere.example/")
    assert "https URI" in refused
    terminal.ok("partner", "keys", "--out", terminal.folder / "next")
    public = json.loads((terminal.folder / "next" / "public.json").read_text())
    public["master_key"] = json.loads((keys / "public.json").read_text())["master_key"]
    (keys / "rotated.json").write_text(json.dumps(public))
    terminal.ok(*common, "--public", keys / "rotated.json")


def test_private_keys_are_private_and_never_overwritten(terminal: Terminal) -> None:
    """Key files have mode 0600, and a second `partner keys` into the same folder is refused."""
    keys = partner(terminal, "umbra")
    for name in ("master.key", "client.jwk"):
        assert (keys / name).stat().st_mode & 0o777 == 0o600
    assert "never overwritten" in terminal.refused("partner", "keys", "--out", keys)
    assert "d" not in json.loads((keys / "public.json").read_text())["client_jwk"]


def test_accounts_are_made_and_listed(terminal: Terminal, server: RunningServer) -> None:
    """`user add` makes an account that can log in with the password it shows; reserved names are refused."""
    made = json.loads(terminal.ok("user", "add", "author", "--data", terminal.data, "--json"))
    login = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": "author"},
        "password": made["password"],
    }
    assert httpx.post(f"{server.url}/_matrix/client/v3/login", json=login).json()["user_id"] == made["user_id"]
    listed = json.loads(terminal.ok("user", "list", "--data", terminal.data, "--json"))
    assert made["user_id"] in [user["user_id"] for user in listed]
    assert "M_EXCLUSIVE" in terminal.refused("user", "add", "app-x", "--data", terminal.data)
    assert "M_USER_IN_USE" in terminal.refused("user", "add", "author", "--data", terminal.data)


@pytest.mark.parametrize("where", ["folder", "url"])
def test_log_verify_reads_folders_and_urls(terminal: Terminal, server: RunningServer, where: str) -> None:
    """The log verifies from its files and over HTTP, also against a checkpoint kept from before."""
    log = terminal.data / "log" if where == "folder" else f"{server.url}/log"
    kept = terminal.folder / "kept"
    kept.write_bytes((terminal.data / "log" / "checkpoint").read_bytes())
    report = json.loads(terminal.ok("log", "verify", log, "--key", vkey(server), "--older", kept, "--json"))
    assert report["verified"] is True
    assert report["kinds"]["platform"] == 1
    assert report["begins_with"] <= report["size"]


def test_log_verify_names_what_is_wrong(terminal: Terminal, server: RunningServer) -> None:
    """Another key, a missing log, a malformed key: exit status 1 or 2 and one line that says what was expected."""
    log, key = terminal.data / "log", vkey(server)
    other = f"{key[:-2]}{'A' if key[-2] != 'A' else 'B'}{key[-1]}"
    assert "expected a key as" in terminal.refused("log", "verify", log, "--key", "bogus")
    assert terminal.run("log", "verify", log, "--key", other).exit_code == 1
    assert "no such file" in terminal.refused("log", "verify", terminal.folder / "nowhere", "--key", key)
    answer = terminal.run("log", "verify", terminal.folder / "nowhere", "--key", key, "--json")
    assert answer.exit_code == 1
    assert json.loads(answer.output)["verified"] is False


def test_commands_for_a_folder_without_a_server_say_so(terminal: Terminal) -> None:
    """Neither a traceback nor a guess: start a server, or name another folder."""
    nowhere = terminal.folder / "nothing"
    for command in (("user", "list"), ("partner", "list"), ("agreement", "show", "x")):
        assert "no server has run on" in terminal.refused(*command, "--data", nowhere)


def test_serve_refuses_what_makes_no_sense(terminal: Terminal) -> None:
    """Bad settings and a folder in use are refused with a sentence, before anything is opened."""
    assert "open, token, closed" in terminal.refused("serve", "--registration", "maybe")
    assert "expected 0 to 65535" in terminal.refused("serve", "--port", "70000")
    assert "in use by another process" in terminal.refused("serve", "--data", terminal.data, "--port", "0")


def test_every_command_has_help_with_an_example() -> None:
    """`--help` of every command that does something shows how it is typed."""
    runner = CliRunner()
    for command in (
        ("serve",), ("demo",), ("user", "add"), ("user", "list"), ("user", "invite"), ("partner", "keys"),
        ("consent",), ("partner", "register"), ("partner", "list"), ("agreement", "draft"), ("agreement", "sign"),
        ("agreement", "publish"), ("agreement", "show"), ("agreement", "end"), ("log", "verify"),
    ):  # fmt: skip
        result = runner.invoke(app, [*command, "--help"])
        assert result.exit_code == 0
        assert f"Example: paraph {' '.join(command)}" in " ".join(result.output.split()), command
