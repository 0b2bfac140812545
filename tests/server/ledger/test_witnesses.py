"""The log's side of witnessing: a quorum or nothing, whatever single witnesses do; a fork is never gone on with."""

import asyncio
import secrets
import shutil
import time
from pathlib import Path

import httpx
import pytest
import structlog

from paraph.server.ledger.errors import LogStopped, StartRefused
from paraph.server.ledger.log import Log, open_log
from paraph.server.ledger.witnesses import Patience, Unwitnessed, load_policy
from paraph.tlog import checkpoint, note
from paraph.tlog.checkpoint import Checkpoint
from paraph.witness import folder
from tests.server.ledger.support import NOON, ORIGIN
from tests.server.ledger.watching import Handler, Watching, cosigner

SECONDS = NOON // 1000
STRANGER = note.Signer("elsewhere.example/log", bytes(32))


@pytest.fixture
def _on_both_databases() -> None:
    """Nothing here touches the main database."""


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """A log of a few batches."""
    opened = open_log(tmp_path / "data", ORIGIN)
    for count in (3, 300, 1):
        grow(opened, count)
    return opened


@pytest.fixture
def watching(tmp_path: Path, log: Log) -> Watching:
    """Three witnesses that watch it and have seen nothing yet."""
    made = Watching(tmp_path)
    made.watch(log.vkey)
    return made


def grow(log: Log, leaves: int) -> None:
    """One batch more."""
    log.stage([b"\x01\x00\x00" + secrets.token_bytes(64) for _ in range(leaves)], NOON)
    log.finish()


async def test_a_quorum_cosigns(log: Log, watching: Watching) -> None:
    """The log's signature first, then the witnesses' in the policy's order; any reader with the policy accepts it."""
    witnesses = watching.client(log)
    for leaves in (0, 5, 256, 1000):
        grow(log, leaves)
        cosigned = await witnesses.cosign(log.signed())
        found = watching.policy(log=log.vkey).check(cosigned, SECONDS, 0)
        assert found.checkpoint.size == log.head().size
        names = [item.name for item in note.parse(cosigned)[1]]
        assert names == [ORIGIN, *(cosigner(watching, name).name for name in ("w0", "w1", "w2"))]
    await witnesses.close()


async def test_without_a_policy_nothing_changes(log: Log, watching: Watching) -> None:
    """The checkpoint is published as the log signed it, and nobody is asked."""
    witnesses = watching.client(log)
    witnesses._policy = None
    assert await witnesses.cosign(log.signed()) == log.head().note
    assert watching.asked == []


async def test_each_step_costs_one_request(log: Log, watching: Watching) -> None:
    """What a witness cosigned last is remembered; only the first step has to ask for it."""
    witnesses = watching.client(log)
    await witnesses.cosign(log.signed())
    watching.asked.clear()
    grow(log, 7)
    await witnesses.cosign(log.signed())
    assert sorted(watching.asked) == ["w0", "w1", "w2"]


async def test_a_witness_that_was_away_catches_up(log: Log, watching: Watching) -> None:
    """The quorum goes on without it; when it is back, it is brought forward from where it was."""
    witnesses = watching.client(log, patience=Patience(deadline=30, grace=30))  # all that are up are waited for
    for down in (set(), {"w1"}, {"w1"}, {"w2"}, set()):
        watching.down = down
        grow(log, 40)
        names = {item.name[:2] for item in note.parse(await witnesses.cosign(log.signed()))[1][1:]}
        assert names == {"w0", "w1", "w2"} - down


async def test_another_process_goes_on_where_the_first_stopped(log: Log, watching: Watching) -> None:
    """Nothing about witnesses has to be kept: they tell their sizes."""
    await watching.client(log).cosign(log.signed())
    grow(log, 40)
    await watching.client(log).cosign(log.signed())


async def test_the_empty_tree_may_be_cosigned(tmp_path: Path) -> None:
    """A log that never signed anything can ask whether anybody knows better."""
    fresh = open_log(tmp_path / "fresh", ORIGIN)
    watching = Watching(tmp_path)
    watching.watch(fresh.vkey)
    found = watching.policy(log=fresh.vkey).check(await watching.client(fresh).cosign(fresh.signed()), SECONDS)
    assert found.checkpoint.size == 0


@pytest.mark.parametrize("down", [{"w0", "w1"}, {"w0", "w1", "w2"}])
async def test_too_few_are_not_enough(log: Log, watching: Watching, down: set[str]) -> None:
    """The error says who failed, and why; when they are back, the same tree is cosigned."""
    witnesses = watching.client(log)
    watching.down = down
    with pytest.raises(Unwitnessed, match="w0: ConnectError: connection refused; w1: ConnectError"):
        await witnesses.cosign(log.signed())
    watching.down = set()
    assert await witnesses.cosign(log.signed())


async def test_a_required_group_is_waited_for(log: Log, watching: Watching) -> None:
    """Where the policy wants a map auditor, no number of others replaces it."""
    lines = ("group plain all w0 w1", "group map-auditors all w2", "group both all plain map-auditors", "quorum both")
    witnesses = watching.client(log, watching.policy(*lines))
    watching.down = {"w2"}
    with pytest.raises(Unwitnessed, match="no quorum"):
        await witnesses.cosign(log.signed())
    watching.down = set()
    assert await witnesses.cosign(log.signed())


async def test_a_slow_witness_does_not_hold_up_the_quorum(log: Log, watching: Watching) -> None:
    """Once there is a quorum the others get a moment, not the whole time; alone it makes the round fail in time."""

    async def hang(_request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        raise AssertionError("not cancelled")

    watching.scripted["w1"] = hang
    witnesses = watching.client(log, patience=Patience(deadline=30, grace=0.01))
    started = time.monotonic()
    assert await witnesses.cosign(log.signed())
    assert time.monotonic() - started < 10
    watching.scripted["w2"] = hang
    with pytest.raises(Unwitnessed, match=r"w1: no answer within 0\.1 s; w2: no answer"):
        await watching.client(log, patience=Patience(deadline=0.1, grace=0)).cosign(log.signed())


def reply(status: int, body: bytes) -> httpx.Response:
    """A response that is read as it comes, as from the network."""
    return httpx.Response(status, stream=httpx.ByteStream(body))


def answering(status: int, body: bytes, served: bytes = b"", served_status: int = 200) -> Handler:
    """A witness that always gives this answer to add-checkpoint, and serves this as its newest checkpoint."""

    async def answer(request: httpx.Request) -> httpx.Response:
        await request.aread()
        if request.method == "GET":
            return reply(served_status, served)
        return reply(status, body)

    return answer


def climbing() -> Handler:
    """A witness that names another size each time."""
    sizes = iter(range(1, 100))

    async def answer(_request: httpx.Request) -> httpx.Response:
        return reply(409, b"%d\n" % next(sizes))

    return answer


def other_text(size: int) -> bytes:
    """A checkpoint of another log."""
    return checkpoint.sign(Checkpoint(STRANGER.name, size, bytes(32)), STRANGER)


BROKEN = {
    "empty 200": answering(200, b""),
    "garbage": answering(200, b"<html>welcome</html>\n"),
    "another text": answering(200, other_text(999).partition(b"\n\n")[2]),
    "huge": answering(200, b"x" * 1_000_000),
    "redirect": answering(301, b""),
    "malformed": answering(400, b"no\n"),
    "unknown key": answering(403, b"no\n"),
    "unknown log": answering(404, b"no\n"),
    "size in words": answering(409, b"many\n"),
    "size without newline": answering(409, b"3"),
    "never the same size": climbing(),
    "ahead, unproven": answering(409, b"999999\n", b"not found\n", 404),
    "ahead, another log's": answering(409, b"999999\n", other_text(999_999)),
    "same size, unproven": answering(409, b"307\n", b""),
    "bad proof, unproven": answering(422, b"no\n", other_text(5)),
    "down": answering(500, b"internal server error\n"),
    "busy": answering(503, b""),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_one_broken_witness_is_never_enough_to_stop_the_log(log: Log, watching: Watching, name: str) -> None:
    """Whatever it claims, the others' quorum is published; alone with one more, the round fails and no more."""
    watching.scripted["w1"] = BROKEN[name]
    witnesses = watching.client(log)
    cosigned = await witnesses.cosign(log.signed())
    assert {item.name[:2] for item in note.parse(cosigned)[1][1:]} == {"w0", "w2"}
    watching.down = {"w0"}
    with pytest.raises(Unwitnessed, match="w1: "):
        await witnesses.cosign(log.signed())


async def test_a_cosignature_under_another_key_does_not_count(log: Log, watching: Watching) -> None:
    """A witness that answers with another witness's line is not that witness."""
    text = note.parse(log.signed())[0]
    for line in (
        cosigner(watching, "w0").cosign(text, SECONDS).line,
        note.Signature("w1.example/witness", cosigner(watching, "w1").verifier.key_id, bytes(72)).line,
    ):
        watching.scripted["w1"] = answering(200, line.encode())
        cosigned = await watching.client(log).cosign(log.signed())
        assert {item.name[:2] for item in note.parse(cosigned)[1][1:]} == {"w0", "w2"}


@pytest.mark.parametrize(("skew", "said"), [(3600, "ahead of this clock: w0, w1"), (-3600, "3600 seconds old")])
async def test_a_wrong_clock_is_noticed_here(log: Log, watching: Watching, skew: int, said: str) -> None:
    """Readers would not count such cosignatures; the operator is told instead of them finding out."""
    watching.skew = {"w0": skew, "w1": skew}
    with pytest.raises(Unwitnessed, match=said):
        await watching.client(log).cosign(log.signed())


async def test_failures_are_logged_when_they_begin_and_end(log: Log, watching: Watching) -> None:
    """Not at each of ten rounds a second."""
    witnesses = watching.client(log)
    with structlog.testing.capture_logs() as logged:
        for down in (set(), {"w1"}, {"w1"}, {"w1"}, set(), set()):
            watching.down = down
            await witnesses.cosign(log.signed())
    assert [(item["event"], item["witness"]) for item in logged] == [
        ("witness fails", "w1"),
        ("witness cosigns again", "w1"),
    ]


def copy(log: Log, place: Path) -> Log:
    """The log's folder, keys and checkpoints as they are now, in another place."""
    shutil.copytree(log.folder.root.parent, place)
    return open_log(place, ORIGIN)


async def test_something_older_put_back_is_noticed(log: Log, watching: Watching, tmp_path: Path) -> None:
    """The whole data folder from a backup: the witnesses show the newer tree, signed with the log's own key."""
    backup = copy(log, tmp_path / "backup")
    grow(log, 50)
    await watching.client(log).cosign(log.signed())
    with pytest.raises(LogStopped, match=rf"size {log.head().size}.*something older was put back"):
        await watching.client(backup).cosign(backup.signed())


async def test_one_honest_witness_is_enough_to_notice(log: Log, watching: Watching, tmp_path: Path) -> None:
    """Also where the others say whatever is asked of them, and even where they do not answer."""
    backup = copy(log, tmp_path / "backup")
    grow(log, 50)
    await watching.client(log).cosign(log.signed())
    watching.down = {"w0", "w2"}
    with pytest.raises(LogStopped, match="the witness w1"):
        await watching.client(backup).cosign(backup.signed())


async def test_a_lost_history_is_not_begun_anew(log: Log, watching: Watching, tmp_path: Path) -> None:
    """Only the key was saved: the empty tree is behind what the witnesses know."""
    await watching.client(log).cosign(log.signed())
    (tmp_path / "anew" / "keys").mkdir(parents=True)
    shutil.copy(log.folder.root.parent / "keys" / "log.key", tmp_path / "anew" / "keys" / "log.key")
    anew = open_log(tmp_path / "anew", ORIGIN)
    with pytest.raises(LogStopped, match="of size 0"):
        await watching.client(anew).cosign(anew.signed())


@pytest.mark.parametrize("more", [0, 30])
async def test_two_histories_are_noticed(log: Log, watching: Watching, tmp_path: Path, more: int) -> None:
    """Of the same size or of a larger one: the one that comes second stops."""
    second = copy(log, tmp_path / "second")
    grow(log, 50)
    grow(second, 50 + more)
    await watching.client(log).cosign(log.signed())
    with pytest.raises(LogStopped, match="two histories"):
        await watching.client(second).cosign(second.signed())
    assert await watching.client(log).cosign(log.signed())


async def test_no_two_trees_of_one_size_get_a_quorum(log: Log, watching: Watching, tmp_path: Path) -> None:
    """Two forks ask at the same time: at most one is cosigned by two of three."""
    second = copy(log, tmp_path / "second")
    grow(log, 50)
    grow(second, 50)
    both = await asyncio.gather(
        *(watching.client(one).cosign(one.signed()) for one in (log, second)), return_exceptions=True
    )
    assert sum(isinstance(item, bytes) for item in both) <= 1


async def test_contradictions_are_kept_by_the_witness(log: Log, watching: Watching, tmp_path: Path) -> None:
    """The second tree of a size leaves evidence that anyone can check."""
    second = copy(log, tmp_path / "second")
    grow(log, 50)
    grow(second, 50)
    await watching.client(log).cosign(log.signed())
    with pytest.raises(LogStopped):
        await watching.client(second).cosign(second.signed())
    (found,) = folder.open_folder(watching.root / "w0")[1].contradictions()
    trees = [checkpoint.open(one, note.Verifier.from_vkey(log.vkey)) for one in (found.known, found.refused)]
    assert trees[0].size == trees[1].size
    assert trees[0].root != trees[1].root


async def test_damaged_tiles_stop_the_log(log: Log, watching: Watching) -> None:
    """A proof that cannot be made is not a witness's fault."""
    witnesses = watching.client(log)
    await witnesses.cosign(log.signed())
    grow(log, 300)
    for path in (log.folder.root / "tile" / "0").rglob("*"):
        if path.is_file():
            path.write_bytes(b"x")
    with pytest.raises(LogStopped, match="damaged"):
        await witnesses.cosign(log.signed())


def test_policies_that_cannot_be_used_are_refused(log: Log, watching: Watching, tmp_path: Path) -> None:
    """Another log's, one whose witnesses have no address, a missing or malformed file: before anything starts."""
    with pytest.raises(StartRefused, match="another log"):
        watching.client(log, watching.policy(log=STRANGER.vkey))
    with pytest.raises(StartRefused, match="too few witnesses a URL"):
        watching.client(log, watching.policy(urls=["http://w0"]))
    with pytest.raises(StartRefused, match="cannot be used"):
        load_policy(tmp_path / "missing")
    (tmp_path / "bad").write_text("quorum nobody\n")
    with pytest.raises(StartRefused, match="line 1"):
        load_policy(tmp_path / "bad")
