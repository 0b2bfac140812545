"""The log over HTTP: exactly the published files, and nothing beside them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from paraph.protocol import entry as protocol
from paraph.protocol.base64 import unb64url
from paraph.server.http import Access, PersonPrincipal
from paraph.server.http.asgi import Application
from paraph.server.http.limits import Limiter
from paraph.server.ledger.http import endpoints
from paraph.server.ledger.service import Ledger
from paraph.server.storage import Database
from paraph.tlog.merkle import leaf_hash
from tests.server.ledger.support import PERSON, K, running_ledger


class NoLifespan:
    async def start(self) -> None: ...
    async def stop(self) -> None: ...


async def who(token: str) -> PersonPrincipal | None:
    """The test's two people, by token."""
    return {
        "author": PersonPrincipal(PERSON, "AUTHOR"),
        "other": PersonPrincipal("@other:example.org", "OTHER"),
    }.get(token)


@asynccontextmanager
async def client(data: Path) -> AsyncIterator[tuple[httpx.AsyncClient, Database, Ledger]]:
    """An HTTP client of an application that serves the ledger's endpoints."""
    async with running_ledger(data) as (database, ledger):
        application = Application(
            endpoints(ledger, database), {Access.PERSON: who}, Limiter(lambda: 0.0, enabled=False), NoLifespan()
        )
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://example.org") as http:
            yield http, database, ledger


async def test_checkpoint_and_tiles_are_served_as_they_are_on_disk(tmp_path: Path) -> None:
    """Tiles may be cached for ever, the checkpoint not at all."""
    async with client(tmp_path) as (http, _, _ledger):
        answer = await http.get("/log/checkpoint")
        assert answer.content == (tmp_path / "log" / "checkpoint").read_bytes()
        assert answer.headers["cache-control"] == "no-cache"
        for path in ("tile/0/000.p/1", "tile/entries/000.p/1"):
            answer = await http.get(f"/log/{path}")
            assert answer.content == (tmp_path / "log" / path).read_bytes()
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert answer.headers["content-type"] == "application/octet-stream"


async def test_caches_and_browsers_are_told_what_they_need(tmp_path: Path) -> None:
    """Any site's script may read the log; who has a file already is told so without sending it again."""
    async with client(tmp_path) as (http, _, _ledger):
        for path in ("checkpoint", "tile/0/000.p/1", "tile/entries/000.p/1"):
            whole = await http.get(f"/log/{path}")
            assert whole.headers["access-control-allow-origin"] == "*"
            tag = whole.headers["etag"]
            for known in (tag, f'"other", {tag}', "*"):
                again = await http.get(f"/log/{path}", headers={"If-None-Match": known})
                assert (again.status_code, again.content) == (304, b"")
                assert again.headers["etag"] == tag
                assert again.headers["cache-control"] == whole.headers["cache-control"]
                assert "content-length" not in again.headers
            other = await http.get(f"/log/{path}", headers={"If-None-Match": '"other"'})
            assert (other.status_code, other.content) == (200, whole.content)
            head = await http.head(f"/log/{path}")
            assert (head.status_code, head.headers["etag"]) == (200, tag)
        assert (await http.get("/log/checkpoint")).headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    "path",
    [
        "/log/tile/0/..%2f..%2fcheckpoint",
        "/log/tile/..%2f..%2f/keys",
        "/log/tile/entries/../checkpoint",
        "/log/tile/entries/000.p/01",
        "/log/tile/entries/000.p/257",
        "/log/tile/00/000",
        "/log/tile/64/000",
        "/log/tile/0/x000/000",
        "/log/tile/0/%2e%2e/log.key",
        "/log/tile/0/000",
        "/log/..%2fkeys%2flog.key",
        "/log/tile/0/000.p/1.new",
        "/log/checkpoint.new",
    ],
)
async def test_no_other_path_leads_to_a_file(tmp_path: Path, path: str) -> None:
    """A path that tlog-tiles does not allow, or that is not published, is 404."""
    async with client(tmp_path) as (http, _, _ledger):
        assert (await http.get(path)).status_code == 404


async def test_a_path_with_a_nul_is_refused(tmp_path: Path) -> None:
    """NUL in a path is refused before anybody looks for a file."""
    async with client(tmp_path) as (http, _, _ledger):
        assert (await http.get("/log/tile/entries/000.p/1%00")).status_code == 400


async def test_a_leaf_is_found_by_its_hash(tmp_path: Path) -> None:
    """Known leaves have an index and a size that covers it; unknown ones are refused as not integrated."""
    async with client(tmp_path) as (http, database, ledger):
        made = await database.write(lambda tx: ledger.record_public(tx, "notice", "marquee", {}))
        leaf = protocol.public_leaf("notice", "marquee", made["ts"], {})
        found = await http.get(f"/_paraph/v1/log/leaf/{leaf_hash(leaf).hex()}?timeout=5000")
        assert found.json()["leaf_index"] < found.json()["size"]
        unknown = await http.get(f"/_paraph/v1/log/leaf/{'0' * 64}?timeout=5000")
        assert (unknown.status_code, unknown.json()["errcode"]) == (404, "ORG_PARAPH_NOT_INTEGRATED")
        malformed = await http.get(f"/_paraph/v1/log/leaf/{'0' * 63}Z")
        assert malformed.status_code == 400


async def test_entries_are_for_their_person_only(tmp_path: Path) -> None:
    """A person pages through her own entries with openings that fit their leaves."""
    async with client(tmp_path) as (http, database, ledger):

        def record(tx: object) -> None:
            ledger.set_log_key(tx, PERSON, K)  # type: ignore[arg-type]
            for _ in range(3):
                ledger.record_private(tx, "device", PERSON, None, {"enrolment": {}})  # type: ignore[arg-type]

        await database.write(record)
        headers = {"authorization": "Bearer author"}
        page = (await http.get("/_paraph/v1/entries?limit=2", headers=headers)).json()
        rest = (await http.get(f"/_paraph/v1/entries?from={page['next']}", headers=headers)).json()
        assert (len(page["entries"]), len(rest["entries"])) == (2, 1)
        for item in page["entries"] + rest["entries"]:
            commitment = protocol.commitment(item["entry"], unb64url(item["o1"]), unb64url(item["o2"]))
            leaf = protocol.private_leaf(item["week"], unb64url(item["label"]), commitment)
            assert await ledger.integrated(leaf_hash(leaf), 5_000)
        other = await http.get("/_paraph/v1/entries", headers={"authorization": "Bearer other"})
        assert other.json() == {"entries": [], "next": 0}
        assert (await http.get("/_paraph/v1/entries")).status_code == 401
