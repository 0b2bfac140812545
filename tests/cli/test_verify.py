"""`paraph user verify`, as a person types it, with another device at the other end."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from paraph.cli.main import app
from paraph.sdk import Person, SqliteStore
from tests.sdk.person.test_person import PASSWORD
from tests.support.server import RunningServer

pytestmark = pytest.mark.slow

WITHIN = 20.0


class Other(threading.Thread):
    """The person at the other end, who accepts what she is asked and says whether it is the same."""

    def __init__(self, url: str, name: str, *, same: bool) -> None:
        super().__init__(daemon=True)
        self._url, self._name, self._same = url, name, same
        self.ready = threading.Event()
        self.outcome = ""
        self.user_id = ""

    def run(self) -> None:
        asyncio.run(self._answer())

    async def _answer(self) -> None:
        person = await Person.register(self._url, self._name, PASSWORD)
        self.user_id = person.user_id
        self.ready.set()
        async with asyncio.timeout(WITHIN):
            while not person.verifications():
                await person.sync(500)
            (theirs,) = person.verifications()
            await theirs.accept()
            while theirs.phase.name != "SHOWN":
                await person.sync(500)
            await (theirs.confirm() if self._same else theirs.mismatch())
            while theirs.phase.name not in ("DONE", "CANCELLED"):
                await person.sync(500)
        self.outcome = theirs.phase.name
        await person.close()


def device(url: str, store: Path) -> Path:
    """A device of a new person's, with its store on disk."""

    async def make() -> None:
        keys = SqliteStore.open(store, passphrase=PASSWORD)
        await (await Person.register(url, store.stem, PASSWORD, store=keys)).close()

    asyncio.run(make())
    return store


def type_(store: Path, *more: str, answer: str) -> Result:
    arguments = ["user", "verify", *more, "--store", str(store)]
    return CliRunner().invoke(app, arguments, env={"PARAPH_PASSPHRASE": PASSWORD}, input=answer)


@pytest.mark.parametrize(
    ("name", "answer", "same", "status"),
    [("agree", "y\n", True, 0), ("differ", "n\n", True, 1), ("denied", "y\n", False, 1)],
)
def test_a_person_compares(
    server: RunningServer, tmp_path: Path, name: str, answer: str, same: bool, status: int
) -> None:
    """Who says yes on both ends is verified; a no on either end leaves nobody verified, and the command says why."""
    store = device(server.url, tmp_path / f"cli-{name}.store")
    other = Other(server.url, f"cli-{name}-other", same=same)
    other.start()
    assert other.ready.wait(WITHIN)
    result = type_(store, other.user_id, "--json", answer=answer)
    other.join(WITHIN)
    assert result.exit_code == status, result.output
    assert other.outcome == ("DONE" if status == 0 else "CANCELLED")
    if status == 0:
        found = json.loads(result.stdout[result.stdout.index("{") :])  # the runner echoes what was typed
        assert found["user_id"] == other.user_id
        assert len(found["emoji"]) == 7
    else:
        assert "m.mismatched_sas" in result.stderr
    assert asyncio.run(is_verified(store, other.user_id)) is (status == 0)


async def is_verified(store: Path, user_id: str) -> bool:
    """What the device's store says afterwards."""
    person = await Person.open(SqliteStore.open(store, passphrase=PASSWORD))
    try:
        return person.is_verified(user_id)
    finally:
        await person.close()


def test_a_missing_store_is_named(tmp_path: Path) -> None:
    """The file that is not there is in the message."""
    result = type_(tmp_path / "none.store", answer="")
    assert result.exit_code == 1
    assert "none.store" in result.stderr
