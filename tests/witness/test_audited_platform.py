"""A real platform under a policy with a map auditor, both in processes of their own: started, killed, cheating."""

import asyncio
import contextlib
import functools
import http.server
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from paraph.cli.main import app
from paraph.server.ledger.log import open_log
from paraph.server.ledger.witnesses import Unwitnessed, Witnesses
from paraph.tlog import checkpoint, note, policy
from paraph.tlog.policy import Policy
from paraph.witness import folder
from tests.support.server import RunningServer, free_port
from tests.witness.process import RunningWitness

pytestmark = pytest.mark.slow

WITHIN = 20.0
LOG = note.Signer("localhost/log", bytes(range(32)))


class Audited:
    """A platform whose only witness is a map auditor."""

    def __init__(self, root: Path) -> None:
        self.witness = root / "auditor"
        self.port = free_port()
        self.data = root / "data"
        self.data.mkdir()
        (self.data / "keys").mkdir(mode=0o700)
        key = self.data / "keys" / "log.key"
        key.write_text(LOG.skey + "\n")
        key.chmod(0o600)
        vkey = folder.create(self.witness, "auditor.example/map").verifier.vkey
        text = f"witness a {vkey} http://127.0.0.1:{self.port}\ngroup map-auditors any a\nquorum map-auditors\n"
        (root / "policy").write_text(text)
        self.policy: Policy = policy.parse(text.encode()).for_log(LOG.verifier)
        self.server = RunningServer(self.data, witnesses=str(root / "policy"))
        self.auditor: RunningWitness | None = None

    def audit(self) -> None:
        """Start the auditor's process."""
        options = ("--audit-map", "--log-url", f"{self.server.url}/log")
        self.auditor = RunningWitness(self.witness, LOG.vkey, *options, port=self.port)

    def kill(self) -> None:
        """SIGKILL to the auditor."""
        if self.auditor is not None:
            self.auditor.kill()

    def size(self) -> int:
        """Size of the newest published tree, which the policy accepts; 0 before the first."""
        answer = httpx.get(f"{self.server.url}/log/checkpoint")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return 0
        return self.policy.check(answer.content, int(time.time())).checkpoint.size


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Audited]:
    made = Audited(tmp_path)
    yield made
    made.server.kill()
    made.kill()


def until(condition: Callable[[], bool], said: Callable[[], str]) -> None:
    """Return once it holds."""
    deadline = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < deadline, said()
        time.sleep(0.05)


def test_a_platform_goes_on_with_its_auditor(platform: Audited) -> None:
    """Published is what was audited. Either may be killed at any time: the log goes on where both are up again."""
    platform.audit()
    platform.server.start()
    until(lambda: platform.size() > 0, platform.server.tail)
    for _ in range(2):
        before = platform.size()
        platform.kill()
        platform.server.kill()
        platform.server.start()
        assert platform.size() == before, "nothing is published without the auditor"
        platform.audit()
        until(lambda before=before: platform.size() > before, platform.server.tail)  # type: ignore[misc]
    platform.server.kill()
    log = (platform.witness / "witness.log").read_text()
    assert "begins at the first leaf" not in log
    assert "leaves is there again after" in log


def test_what_breaks_the_rules_is_not_published(platform: Audited) -> None:
    """A platform that signs a wrong map gets no cosignature and publishes nothing; the auditor shows the evidence."""
    platform.audit()
    platform.server.start()
    until(lambda: platform.size() > 0, platform.server.tail)
    platform.server.stop()
    size = checkpoint.open((platform.data / "log" / "checkpoint").read_bytes(), LOG.verifier).size
    with _serving(platform.data, platform.server.port), pytest.raises(Unwitnessed, match="it answered 422: leaf"):
        asyncio.run(_cheat(platform))
    shown = json.loads(CliRunner().invoke(app, ["witness", "show", "--data", str(platform.witness), "--json"]).output)
    (fault,) = shown["faults"]
    assert "expected the map root" in fault["reason"]
    signed = checkpoint.open(fault["note"].encode(), LOG.verifier)
    assert (fault["leaf_index"], signed.size) == (signed.size - 1, signed.size)
    assert [item["size"] for item in shown["cosigned"]] == [size]
    plain = CliRunner().invoke(app, ["witness", "show", "--data", str(platform.witness)]).output
    assert "broke the rules of its leaves, epochs or map" in plain


async def _cheat(platform: Audited) -> None:
    """Sign one more tree whose map leaves out a leaf, with the platform's own key, and ask for cosignatures."""
    log = open_log(platform.data, LOG.name)
    honest = log.label_map.root_after
    setattr(log.label_map, "root_after", lambda start, _leaves: honest(start, []))  # noqa: B010
    setattr(log.label_map, "check", lambda _batch: None)  # noqa: B010
    log.stage([b"\x01\x0b\x54" + bytes(64)], int(time.time() * 1000))
    log.extend()
    witnesses = Witnesses(platform.policy, LOG.verifier, log.folder, clock=lambda: int(time.time() * 1000))
    try:
        await witnesses.cosign(log.signed())
    finally:
        await witnesses.close()
        log.close()


@contextlib.contextmanager
def _serving(data: Path, port: int) -> Iterator[None]:
    """The published files at the platform's address, though the platform would not start with them."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(data))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def test_an_auditor_ends_when_asked(platform: Audited) -> None:
    """SIGTERM during an audit that cannot go on, since the platform is not there."""
    platform.audit()
    assert platform.auditor is not None
    os.kill(platform.auditor.process.pid, signal.SIGTERM)
    assert platform.auditor.process.wait(10) in (0, -signal.SIGTERM)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--audit-map"], "needs to know where localhost/log is published"),
        (["--log-url", "https://x.example/log"], "of use with --audit-map only"),
        (["--audit-map", "--log-url", "x.example"], "expected ORIGIN=https://"),
        (["--audit-map", "--log-url", "other/log=https://x.example"], "expected ORIGIN=https://"),
        (["--audit-map", "--log-url", "https://x.example", "--log-url", "https://y.example"], "once for each"),
    ],
)
def test_where_the_log_is_has_to_be_said(platform: Audited, options: list[str], said: str) -> None:
    """One clear line for each mistake."""
    arguments = ["witness", "serve", "--data", str(platform.witness), "--log", LOG.vkey, *options]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert said in " ".join(result.output.split())
