"""`paraph consent`, as a person types it: what she is shown, what she allows, and what she is told to open."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from paraph.cli.main import app
from paraph.sdk import ConsentRefusedError, Person, SqliteStore
from paraph.sdk.partner.flow import Asking, Granted
from tests.sdk.partner.test_partner import PURPOSE, Scene
from tests.sdk.person.test_authorize import CALLBACK, asked
from tests.sdk.person.test_person import PASSWORD
from tests.support.server import RunningServer

pytestmark = pytest.mark.slow


class Desk:
    """A person with a key store on disk, and a partner that asks her for something."""

    def __init__(self, server: RunningServer, store: Path) -> None:
        self.store = store
        self._server = server
        self._seed = b""
        self.asking: Asking
        asyncio.run(self._prepare())

    async def _prepare(self) -> None:
        keys = SqliteStore.open(self.store, passphrase=PASSWORD)
        author = await Person.register(self._server.url, self.store.stem, PASSWORD, store=keys)
        await author.enrol()
        await author.close()
        self.scene = await Scene(self._server).set()
        partner = self.scene.partner
        body = {"slug": partner.slug, "name": "Marquee [bold]", "master_key": partner.master_key}
        body |= {"client_jwk": partner.client_jwk, "redirect_uris": [CALLBACK]}  # type: ignore[dict-item]
        await self.scene.operator.post("/partners", body)
        self.asking = await partner.ask(asked(), CALLBACK)
        await self._rest()

    async def _rest(self) -> None:
        """Each command runs in a loop of its own: connections do not outlive this one."""
        await self.scene.partner._transport._client.aclose()

    def type(self, *more: object, answer: str | None = None) -> Result:
        """Answer the request."""
        arguments = ["consent", self.asking.url, "--store", str(self.store), *map(str, more)]
        env = {"PARAPH_PASSPHRASE": PASSWORD, "COLUMNS": "160"}
        return CliRunner().invoke(app, arguments, env=env, input=answer)

    def redeem(self, redirect: str) -> Granted:
        """What the partner learns."""
        import httpx

        async def run() -> Granted:
            self.scene.partner._transport._client = httpx.AsyncClient()
            try:
                return await self.scene.partner.redeem(self.asking, redirect)
            finally:
                await self._rest()

        return asyncio.run(run())


@pytest.fixture
def desk(server: RunningServer, tmp_path: Path) -> Desk:
    return Desk(server, tmp_path / f"author{tmp_path.name[-8:].strip('_').lower()}.keys")


def last_line(result: Result) -> str:
    return result.stdout.strip().splitlines()[-1]


def test_a_person_reads_signs_and_goes_back(desk: Desk) -> None:
    """She sees who asks for what and the exact text; only a yes signs; the address is for her own browser."""
    refused = desk.type(answer="n\n")
    assert refused.exit_code == 1
    assert "nothing was signed" in refused.output
    signed = desk.type("--days", 7, "--retention-days", 0, answer="y\n")
    assert signed.exit_code == 0, signed.output
    for words in (
        f"Marquee [bold] ({desk.scene.partner.slug}) asks you",
        "read: read the messages that you write in them",
        f"what for: {PURPOSE}",
        "The exact text that you sign",
        "promises to keep nothing",
        "Open this in your own browser",
    ):
        assert words in signed.stdout, words
    repeated = desk.type()
    assert "You have signed it." in repeated.stdout
    assert last_line(repeated) == last_line(signed)
    granted = desk.redeem(last_line(signed))
    assert granted.details["retention_days"] == 0
    assert granted.details["until"] - granted.details["from"] <= 7 * 86_400_000
    again = desk.type("--yes")
    assert again.exit_code == 1
    assert "Traceback" not in again.output


def test_for_programs(desk: Desk) -> None:
    """--json shows the request and signs nothing; with --yes it answers with grant and redirect."""
    shown: dict[str, Any] = json.loads(desk.type("--json").stdout)
    assert (shown["status"], shown["partner"]["slug"]) == ("open", desk.scene.partner.slug)
    signed = json.loads(desk.type("--json", "--yes", "--verb", "read").stdout)
    assert desk.redeem(signed["redirect"]).grant_id == signed["grant_id"]


def test_declined(desk: Desk) -> None:
    """Nothing is allowed, and the partner learns it if she opens the address."""
    declined = desk.type("--decline")
    assert declined.exit_code == 0, declined.output
    with pytest.raises(ConsentRefusedError):
        desk.redeem(last_line(declined))


def test_what_cannot_be_answered_is_said_plainly(desk: Desk) -> None:
    """More than is asked for, another host's address, no store: one line, nothing signed."""
    for result in (
        desk.type("--yes", "--purpose", "advertising"),
        desk.type("--yes", "--retention-days", 30),
        CliRunner().invoke(app, ["consent", "https://elsewhere.example/x", "--store", str(desk.store)],
                           env={"PARAPH_PASSPHRASE": PASSWORD}),
        CliRunner().invoke(app, ["consent", "x", "--store", str(desk.store.with_name("none"))]),
    ):  # fmt: skip
        assert result.exit_code == 1, result.output
        assert "paraph: " in result.output
        assert "Traceback" not in result.output
