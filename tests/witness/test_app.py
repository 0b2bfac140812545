"""The witness over HTTP: every status of the protocol, and nothing that the protocol does not name."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from paraph.tlog import note, witness
from paraph.tlog.checkpoint import open_signed
from paraph.tlog.witness import AddCheckpoint
from paraph.witness import folder
from paraph.witness.app import WitnessApplication
from paraph.witness.store import origin_hash
from tests.witness.support import FORK, LOG, STRANGER, checkpoint, open_witness, request


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a witness that cosigned size 200."""
    app = WitnessApplication(open_witness(tmp_path))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://witness.example") as client:
        assert (await client.post("/add-checkpoint", content=request(0, 200))).status_code == 200
        yield client


async def test_200_is_one_signature_line(client: httpx.AsyncClient, tmp_path: Path) -> None:
    """Whose cosignature opens the checkpoint."""
    answer = await client.post("/add-checkpoint", content=request(200, 300))
    verifier = folder.open_folder(tmp_path)[0].verifier
    assert answer.status_code == 200
    assert witness.parse_cosignature(answer.content, checkpoint(300).text, verifier)


def forged() -> bytes:
    text = checkpoint(300).text
    return AddCheckpoint(200, (), note.encode(text, [note.Signature(LOG.name, LOG.key_id, bytes(64))])).encode()


STATUSES = {
    "malformed": (b"old 200\n", 400),
    "empty": (b"", 400),
    "too long": (b"old 200\n" + b"x" * 100_000, 400),
    "old above new": (AddCheckpoint(300, (), witness.parse(request(200, 250)).checkpoint).encode(), 400),
    "unknown key": (AddCheckpoint(200, (), note.sign(checkpoint(300).text, [STRANGER])).encode(), 403),
    "wrong signature": (forged(), 403),
    "unknown log": (request(0, 5, log=STRANGER), 404),
    "stale": (request(0, 300), 409),
    "rolled back": (request(0, 150), 409),
    "ahead": (request(250, 300), 409),
    "two roots": (request(200, 200, FORK), 409),
    "no proof": (AddCheckpoint(200, (), witness.parse(request(200, 300)).checkpoint).encode(), 422),
    "a fork": (request(200, 300, FORK), 422),
}


@pytest.mark.parametrize("name", STATUSES)
async def test_refusals_have_the_protocols_status(client: httpx.AsyncClient, name: str) -> None:
    """409 tells the known size as text/x.tlog.size; the others say in words what was wrong."""
    body, status = STATUSES[name]
    answer = await client.post("/add-checkpoint", content=body)
    assert answer.status_code == status, answer.text
    if status == 409:
        assert (answer.headers["content-type"], answer.content) == ("text/x.tlog.size", b"200\n")
    else:
        assert answer.headers["content-type"].startswith("text/plain")
        assert answer.text.endswith("\n")


async def test_the_newest_checkpoint_is_there_for_monitors(client: httpx.AsyncClient) -> None:
    """By the SHA-256 of the origin; HEAD without the body; 404 for logs never cosigned."""
    path = f"/{origin_hash(LOG.name)}/checkpoint"
    answer = await client.get(path)
    assert open_signed(answer.content, LOG.verifier).checkpoint == checkpoint(200)
    assert (await client.head(path)).content == b""
    assert (await client.get(f"/{origin_hash(STRANGER.name)}/checkpoint")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404), ("GET", "/checkpoint", 404), ("POST", "/add-checkpoint/", 404),
        ("GET", f"/{origin_hash(LOG.name).upper()}/checkpoint", 404), ("GET", "/add-checkpoint", 405),
        ("PUT", "/add-checkpoint", 405), ("POST", f"/{origin_hash(LOG.name)}/checkpoint", 405),
    ],
)  # fmt: skip
async def test_nothing_else_is_answered(client: httpx.AsyncClient, method: str, path: str, status: int) -> None:
    """Other paths are 404, other methods 405."""
    assert (await client.request(method, path, content=request(200, 300))).status_code == status


async def test_concurrent_requests_are_taken_in_turn(client: httpx.AsyncClient) -> None:
    """Of two histories sent at once, many times each, one alone is cosigned."""
    bodies = [request(200, 300, tree) for tree in (FORK, FORK)] + [request(200, size) for size in (300, 300, 300, 399)]
    answers = await asyncio.gather(*(client.post("/add-checkpoint", content=body) for body in bodies * 5))
    cosigned = [body for body, answer in zip(bodies * 5, answers, strict=True) if answer.status_code == 200]
    assert len(cosigned) == 1
    assert {answer.status_code for answer in answers} == {200, 409, 422}
