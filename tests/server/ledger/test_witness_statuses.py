"""The log's client of a witness, for every status that tlog-witness names and those that HTTP knows besides."""

from http import HTTPStatus
from pathlib import Path

import httpx
import pytest

from paraph.server.ledger.log import Log
from paraph.server.ledger.witnesses import Unwitnessed
from paraph.tlog import note
from tests.server.ledger.test_witnesses import _on_both_databases, answering, grow, log, reply, watching
from tests.server.ledger.watching import Watching, cosigner

__all__ = ["_on_both_databases", "log", "watching"]

SECONDS = 1_760_000_000
OTHERS = [status for status in HTTPStatus if status.value >= 200 and status not in (HTTPStatus.OK, HTTPStatus.CONFLICT)]


async def test_only_200_is_a_cosignature(log: Log, watching: Watching) -> None:
    """Any other status costs this witness its cosignature, though the right one stood in the body; it is told why."""
    line = cosigner(watching, "w1").cosign(note.parse(log.signed())[0], SECONDS).line.encode()
    for status in OTHERS:
        watching.scripted["w1"] = answering(status.value, line)
        watching.down = {"w2"}
        with pytest.raises(Unwitnessed, match=f"w1: it answered {status.value}: — w1"):
            await watching.client(log).cosign(log.signed())
        watching.down = set()
        names = {item.name[:2] for item in note.parse(await watching.client(log).cosign(log.signed()))[1][1:]}
        assert names == {"w0", "w2"}


async def test_a_witness_that_says_not_yet_is_asked_again(log: Log, watching: Watching) -> None:
    """503, as a map auditor answers while it replays: no fork is looked for, and the next round counts it."""
    asked: list[str] = []

    async def not_yet(request: httpx.Request) -> httpx.Response:
        await request.aread()
        asked.append(request.method)
        return reply(503, b"the map is being audited: 5 of 304 leaves so far; submit again\n")

    watching.scripted["w1"] = not_yet
    watching.down = {"w2"}
    witnesses = watching.client(log)
    with pytest.raises(Unwitnessed, match="w1: it answered 503: the map is being audited: 5 of 304 leaves"):
        await witnesses.cosign(log.signed())
    assert set(asked) == {"POST"}
    del watching.scripted["w1"]
    grow(log, 3)
    assert await witnesses.cosign(log.signed())


async def test_what_a_witness_says_is_repeated_within_bounds(log: Log, watching: Watching, tmp_path: Path) -> None:
    """Bytes that are no text, and more of them than anybody wants to read, do no harm."""
    watching.scripted["w1"] = answering(422, b"\xff\xfe" + b"x" * 60_000)
    watching.down = {"w2"}
    with pytest.raises(Unwitnessed) as refused:
        await watching.client(log).cosign(log.signed())
    assert len(str(refused.value)) < 1000
