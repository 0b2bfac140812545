"""A partner's device as JSON on this machine: every address, who is let in, and that nothing is lost or taken twice."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from paraph.cli.sidecar.app import Application
from paraph.cli.sidecar.handlers import Handlers
from paraph.cli.sidecar.problems import KINDS
from paraph.sdk import Partner
from paraph.sdk.partner import retention
from tests.sdk.stage import PURPOSE, VERBS, Stage, stage

pytestmark = pytest.mark.slow

TOKEN, PORT = "the-token-of-this-run", 8642
PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "partner-sidecar.md"


@asynccontextmanager
async def served(here: Stage, partner: Partner, purpose: str | None = PURPOSE) -> AsyncIterator[httpx.AsyncClient]:
    """The sidecar of a partner in this process; its store stays open at the end."""
    handlers = Handlers(partner, purpose, here.now)
    application = Application(handlers, TOKEN, lambda: PORT, "0")
    headers = {"authorization": f"Bearer {TOKEN}"}
    transport = httpx.ASGITransport(application)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url=f"http://127.0.0.1:{PORT}", headers=headers) as http:
        await handlers.start()
        try:
            yield http
        finally:
            for feed in handlers._feeds.values():
                await feed.stop()


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path) as made:
        yield made


async def got(http: httpx.AsyncClient, path: str, **query: Any) -> dict[str, Any]:
    """The answer of a GET that must succeed."""
    answer = await http.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def words(http: httpx.AsyncClient, many: int, since: str | None = None) -> tuple[list[str], str]:
    """That many open messages behind a state, which is acknowledged, and the state behind them."""
    found: list[str] = []
    state = since
    while len(found) < many:
        query = {"wait": 20, "limit": 500} | ({} if state is None else {"since": state})
        answer = await got(http, "/changes", **query)
        assert answer["changes"], "nothing came"
        state = str(answer["state"])
        found += [c["message"]["body"] for c in answer["changes"] if c["kind"] == "message" and c["state"] == "open"]
    return found, str(state)


async def test_all_that_a_partner_can_do(here: Stage) -> None:
    """Read, look, follow, propose, delete and download, in JSON, over one token."""
    grant_id = await here.grant(*VERBS)
    await here.author.send_text(here.room_id, "the first")
    await here.author.send_file(here.room_id, b"a picture", name="picture.png")
    async with served(here, here.partner) as http:
        (grant,) = (await got(http, "/grants"))["grants"]
        assert (grant["grant_id"], grant["person"], grant["verbs"]) == (grant_id, here.author.user_id, VERBS)
        assert (await got(http, "/rooms"))["rooms"] == [{"room_id": here.room_id, "grants": [grant_id]}]
        page = await got(http, "/messages", room_id=here.room_id)
        assert [message["body"] for message in page["messages"]] == ["the first", "picture.png"]
        assert (page["pending"], page["messages"][0]["verified"]) == ([], True)
        file = await http.post("/attachments", json={"message": page["messages"][1]})
        assert (file.content, file.headers["content-type"]) == (b"a picture", "application/octet-stream")
        assert [room["room_id"] for room in (await got(http, "/metadata", grant_id=grant_id))["rooms"]] == [
            here.room_id
        ]
        assert (await got(http, "/friends", grant_id=grant_id))["friends"] == []
        left = await http.post("/drafts", json={"grant_id": grant_id, "room_id": here.room_id, "body": "Shall we?"})
        draft_id = left.json()["draft_id"]
        assert (await got(http, f"/drafts/{draft_id}"))["status"] == "queued"
        event_id = await here.author.drafts.seal(draft_id)
        assert (await got(http, f"/drafts/{draft_id}"))["event_id"] == event_id
        gone = await http.post("/deletes", json={"room_id": here.room_id, "event_id": event_id, "reason": "a slip"})
        assert gone.json()["redaction_id"].startswith("$")
        other = await http.post("/drafts", json={"grant_id": grant_id, "room_id": here.room_id, "body": "Or not?"})
        assert (await http.delete(f"/drafts/{other.json()['draft_id']}")).json()["status"] == "withdrawn"
        assert (await got(http, "/evidence")) == {"evidence": []}
        health = await got(http, "/health")
        assert (health["status"], health["partner"], health["streams"][0]["purpose"]) == ("ok", "marquee", PURPOSE)


async def test_changes_come_until_they_are_acknowledged(here: Stage) -> None:
    """The same again without a state, on from a state with one; a state of before the last acknowledged is gone."""
    await here.grant("read")
    async with served(here, here.partner) as http:
        for number in range(3):
            await here.author.send_text(here.room_id, f"word {number}")
        first, state = await words(http, 3)
        assert first == ["word 0", "word 1", "word 2"]
        again = await got(http, "/changes", limit=500)
        assert [c["message"]["body"] for c in again["changes"] if c["kind"] == "message"][-1] == "word 2"
        await here.author.send_text(here.room_id, "word 3")
        assert await words(http, 1, state) != first
        gone = await http.get("/changes", params={"since": _earlier(state)})
        assert (gone.status_code, gone.json()["type"]) == (410, "urn:paraph:sidecar:state-gone")
        for bad in ("x", state[:-2], _earlier(state, name="00000000")):
            assert (await http.get("/changes", params={"since": bad})).json()["type"] == "urn:paraph:sidecar:bad-state"


def _earlier(state: str, name: str | None = None) -> str:
    from paraph.protocol.base64 import b64url, unb64url

    own, purpose, number = json.loads(unb64url(state))
    return b64url(json.dumps([name or own, purpose, number - 1 if name is None else number]).encode())


async def test_another_run_on_the_same_store_goes_on(here: Stage) -> None:
    """What was poured into the store and not acknowledged is given again by the next run; the rest is not."""
    await here.grant("read")
    await here.author.send_text(here.room_id, "kept")
    async with served(here, here.partner) as http:
        _, state = await words(http, 1)
        await here.author.send_text(here.room_id, "on its way")
        await words(http, 1, state)
    again = Partner.open(here.partner._records._store, transport=here.transport(), now=here.now)
    async with served(here, again) as http:
        found, _ = await words(http, 1)
        assert found == ["on its way"]


async def test_the_program_is_told_what_to_delete(here: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is due comes as a change, without the words; its acknowledgement is what the author's record confirms."""
    grant_id = await here.grant("read")
    event_id = await here.author.send_text(here.room_id, "not to be kept")
    async with served(here, here.partner) as http:
        _, state = await words(http, 1)
        monkeypatch.setattr(retention, "AT_LEAST_MS", 0)
        await here.partner.dispose()
        answer = await got(http, "/changes", since=state, wait=5)
        (told,) = [change for change in answer["changes"] if change["kind"] == "forget"]
        assert (told["grant_id"], told["event_ids"]) == (grant_id, [event_id])
        await here.partner.dispose()
        assert not [entry for entry in await here.author.entries() if entry.kind == "disposal"]
        await got(http, "/changes", since=answer["state"])
        await here.partner.dispose()
        (made,) = [entry for entry in await here.author.entries() if entry.kind == "disposal"]
        assert made.body["disposal"]["opened_before"] == told["opened_before"]


async def test_only_programs_with_the_token_are_let_in(here: Stage) -> None:
    """No token, another, a web page's origin, another host's name: refused before anything is read."""
    async with served(here, here.partner, None) as http:
        for headers, status, slug in (
            ({"authorization": ""}, 401, "unauthorized"),
            ({"authorization": "Bearer another"}, 401, "unauthorized"),
            ({"authorization": f"Basic {TOKEN}"}, 401, "unauthorized"),
            ({"origin": "http://127.0.0.1:8642"}, 403, "forbidden-origin"),
            ({"host": "rebound.example:8642"}, 403, "forbidden-origin"),
            ({"host": "127.0.0.1:80"}, 403, "forbidden-origin"),
        ):
            answer = await http.get("/grants", headers=headers)
            assert (answer.status_code, answer.json()["type"]) == (status, f"urn:paraph:sidecar:{slug}"), headers
            assert answer.headers["content-type"] == "application/problem+json"
            assert not any(name.startswith("access-control") for name in answer.headers)
        assert (await http.options("/grants")).status_code == 405
        assert (await http.get("/health", headers={"host": "localhost:8642"})).status_code == 200


async def test_what_is_wrong_is_said(here: Stage) -> None:
    """Each error is a problem with a type of the table, and says what was expected."""
    await here.grant("read")
    draft = {"grant_id": "gr_x", "room_id": here.room_id, "body": "x"}
    async with served(here, here.partner, None) as http:
        for method, path, body, slug in (
            ("GET", "/nothing", None, "not-found"),
            ("PUT", "/grants", None, "method-not-allowed"),
            ("GET", "/changes", None, "bad-request"),
            ("GET", f"/messages?purpose={PURPOSE}", None, "bad-request"),
            ("GET", f"/changes?purpose={PURPOSE}&limit=-1", None, "bad-request"),
            ("GET", f"/changes?purpose={PURPOSE}&wait=61", None, "bad-request"),
            ("GET", f"/changes?purpose={PURPOSE}&purpose=x", None, "bad-request"),
            ("GET", f"/messages?room_id={here.room_id}&purpose=advertising", None, "refused-by-platform"),
            ("GET", f"/metadata?grant_id=gr_x&purpose={PURPOSE}", None, "not-found"),
            ("GET", "/drafts/dr_x", None, "not-found"),
            ("POST", "/drafts", draft, "refused-draft"),
            ("POST", "/drafts", draft | {"content": {}}, "bad-request"),
            ("POST", "/drafts", {"more": 1}, "bad-request"),
            ("POST", "/deletes", draft, "bad-request"),
            ("POST", "/drafts", {"grant_id": "x" * 300_000}, "too-large"),
        ):
            answer = await http.request(method, path, json=body)
            assert answer.json()["type"] == f"urn:paraph:sidecar:{slug}", (path, answer.text)
            assert answer.status_code == KINDS[slug][0]


async def test_the_document_has_every_address(here: Stage) -> None:
    """OpenAPI 3.1, without a token, with every address, its parameters and the forms of bodies."""
    async with served(here, here.partner) as http:
        document = (await http.get("/openapi.json", headers={"authorization": ""})).json()
    assert (document["openapi"], document["security"]) == ("3.1.0", [{"run": []}])
    for path, operations in document["paths"].items():
        for operation in operations.values():
            named = {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "path"}
            assert named == set(re.findall(r"{(.*?)}", path))
            assert {"default"} < operation["responses"].keys()
    assert {"/changes", "/drafts/{draft_id}", "/attachments", "/evidence"} <= document["paths"].keys()
    assert document["components"]["schemas"]["DraftBody"]["required"] == ["grant_id", "room_id"]
