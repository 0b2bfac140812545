"""`paraph backup` and `paraph restore` on a real server, as an operator would type them."""

import json
import shutil
import subprocess
import threading
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from typer.testing import CliRunner, Result

from paraph.cli.demo.postgresql import binaries
from paraph.cli.main import app
from tests.conftest import StartServer
from tests.server.test_witnessed import Watchers, vkey_of, wait_for_checkpoint
from tests.support.databases import databases
from tests.support.matrix import PASSWORD, V3, ciphertext
from tests.support.server import RunningServer, StartError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("dialect", ["sqlite", "postgresql"], indirect=True),
]


@pytest.fixture(autouse=True)
def _on(dialect: str) -> None:
    """Each test on both databases."""


class Author:
    """A person with a room of her own."""

    def __init__(self, url: str) -> None:
        body = {"username": "author", "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
        token = httpx.post(f"{url}{V3}/register", json=body).raise_for_status().json()["access_token"]
        self.http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30)
        made = self.http.post(f"{V3}/createRoom", json={"preset": "private_chat"}).raise_for_status()
        self.room = quote(made.json()["room_id"])
        self._count = 0

    def send(self) -> str:
        """Send something; returns its event id once it is acknowledged."""
        self._count += 1
        path = f"{V3}/rooms/{self.room}/send/m.room.encrypted/t{self._count}"
        return str(self.http.put(path, json=ciphertext("x")).raise_for_status().json()["event_id"])

    def upload(self, content: bytes) -> str:
        """Upload a file; returns the path below which it can be fetched."""
        made = self.http.post("/_matrix/media/v3/upload", content=content).raise_for_status()
        return str(made.json()["content_uri"]).removeprefix("mxc://")

    def has_file(self, url: str, place: str, content: bytes) -> bool:
        """Whether the server at this URL has a file of hers, unchanged."""
        found = httpx.get(f"{url}/_matrix/client/v1/media/download/{place}", headers=self.http.headers)
        return found.status_code == 200 and found.content == content

    def has(self, url: str, event: str) -> bool:
        """Whether the server at this URL has an event of hers."""
        path = f"{url}{V3}/rooms/{self.room}/event/{quote(event)}"
        return httpx.get(path, headers=self.http.headers).status_code == 200


def run(server: RunningServer, *arguments: object) -> Result:
    """A command with the server's settings; PostgreSQL's own programs are those of the server that runs here."""
    if arguments[0] == "backup" and server.settings["database"] != "sqlite":
        arguments = (*arguments, "--pg-dump", binaries() / "pg_dump")
    environment = {f"PARAPH_{name.upper()}": value for name, value in server.settings.items()}
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)


def test_a_running_server_is_backed_up_and_put_back(start_server: StartServer, tmp_path: Path, dialect: str) -> None:
    """Under load: the copy is in order, a server on it has what was acknowledged before, and its log goes on."""
    server = start_server()
    vkey = vkey_of(server)
    author = Author(server.url)
    sent = [author.send() for _ in range(20)]
    place = author.upload(b"ciphertext")
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            author.send()

    sending = threading.Thread(target=load)
    sending.start()
    try:
        made = run(server, "backup", "--data", server.data, "--to", tmp_path / "copy", "--json")
    finally:
        stop.set()
        sending.join()
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["vkey"] == vkey
    server.kill()
    back = RunningServer(tmp_path / "back", database=database_of(tmp_path, dialect))
    restored = run(back, "restore", "--from", tmp_path / "copy", "--data", back.data, "--last")
    assert restored.exit_code == 0, restored.output
    assert "nothing is wrong" in restored.output
    assert "What happens next" in restored.output
    with back:
        assert author.has(back.url, sent[-1])
        assert author.has_file(back.url, place, b"ciphertext")
        beside = run(back, "log", "fsck", "--data", back.data)
        assert (beside.exit_code, "beside a running server" in beside.output) == (0, True), beside.output
        assert vkey_of(back) == vkey
    again = run(back, "restore", "--from", tmp_path / "copy", "--data", back.data)
    assert (again.exit_code, "never over another" in again.output) == (1, True)
    after = run(back, "log", "fsck", "--data", back.data)
    assert (after.exit_code, "nothing is wrong" in after.output) == (0, True), after.output


def database_of(root: Path, dialect: str) -> str:
    """A second database; on PostgreSQL, what the backup's dump holds."""
    setting = databases().setting(root / "second.db")
    if dialect == "postgresql":
        program = binaries() / "pg_restore"
        subprocess.run([program, "--no-owner", f"--dbname={setting}", root / "copy" / "paraph.dump"], check=True)
    return setting


@pytest.fixture
def watchers(tmp_path: Path) -> Watchers:
    return Watchers(tmp_path / "watchers")


def test_an_old_backup_is_refused_and_finds_its_way(
    start_server: StartServer, watchers: Watchers, tmp_path: Path, dialect: str
) -> None:
    """The witnesses know more: the start is refused, says why and what to do, and doing that is the way out."""
    server = start_server(witnesses=str(watchers.file))
    vkey = vkey_of(server)
    try:
        watchers.start(vkey, 0, 1, 2)
        trusted = watchers.policy(vkey)
        size = wait_for_checkpoint(server, trusted).checkpoint.size
        made = run(server, "backup", "--data", server.data, "--to", tmp_path / "copy")
        assert made.exit_code == 0, made.output
        server.stop()
        server.start()  # its first epoch is newer than the backup
        newest = wait_for_checkpoint(server, trusted, above=size).checkpoint.size
        server.stop()
        back = RunningServer(tmp_path / "back", witnesses=str(watchers.file), database=database_of(tmp_path, dialect))
        assert run(back, "restore", "--from", tmp_path / "copy", "--data", back.data).exit_code == 0
        with pytest.raises(StartError, match=r"(?s)something older was put back.*paraph restore --log"):
            back.start()
        shutil.rmtree(back.data)
        caught_up = run(
            back, "restore", "--from", tmp_path / "copy", "--data", back.data, "--log", server.data / "log", "--last"
        )
        assert f"to {newest} leaves" in caught_up.output, caught_up.output
        with back:
            wait_for_checkpoint(back, trusted, above=newest)
    finally:
        for witness in watchers.running:
            witness.kill()
