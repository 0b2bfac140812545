"""At every durable step of the sequencer: killed, out of space, broken; done and not done. The log stays one log.

The steps are counted, not listed (`faults.py`). `make faults` tries 200 of all combinations of step and fault, spread
evenly; the gate tries some. Each run has a second fault while the first is being mended.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from paraph.audit.replay import replay
from paraph.audit.sources import DirectorySource
from paraph.tlog.merkle import Tree, leaf_hash
from tests.server.ledger.faults import MODES
from tests.server.ledger.support import running_ledger, verify_log

RUNS = int(os.environ.get("PARAPH_FAULTS", "16"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.parametrize("dialect", ["sqlite"], indirect=True),
]

KINDS = {
    "staging": "sqlite checkpoints.db INSERT OR REPLACE INTO staged",
    "a tile's bytes": "write log/tile/0/000",
    "a bundle's bytes": "write log/tile/entries/",
    "a tile's sync": "sync log/tile/0/000",
    "a tile's place": "rename log/tile/0/000",
    "a directory's sync": "sync log/tile/0\n",
    "a new directory": "mkdir log/tile/",
    "the map": "sqlite map.db COMMIT",
    "the signed head": "sqlite checkpoints.db UPDATE head SET",
    "the checkpoint's bytes": "write log/checkpoint.new",
    "the checkpoint's place": "rename log/checkpoint.new",
    "records and the progress mark": "sqlite paraph.db COMMIT",
    "partial tiles, dropped": "unlink log/tile/0/000.p/",
    "their directory, dropped": "rmdir log/tile/entries/000.p",
}
"""What has to be among the steps, by how its line begins."""


class Workshop:
    """Runs children on copies of one base, and looks at what they leave."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.base = root / "base"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.server.ledger.faults", str(self.base)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(root / "stderr").open("wb"),
            text=True,
        )
        assert self._answer() == 0, self.stderr

    def close(self) -> None:
        """End the process that runs children."""
        self._process.communicate(timeout=30)

    @property
    def stderr(self) -> str:
        """What the children said."""
        return (self.root / "stderr").read_text()

    def fresh(self, name: str) -> Path:
        """A copy of the base, with what is known of it."""
        shutil.copytree(self.base, self.root / name)
        for kind in ("acknowledged", "signed"):
            shutil.copy(self.root / f"base.{kind}", self.root / f"{name}.{kind}")
        return self.root / name

    def run(self, data: Path, step: int | None, mode: str = "") -> int:
        """One child; its exit status."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"data": str(data), "step": step, "mode": mode}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def lines(self, data: Path, kind: str) -> list[str]:
        """What the children on `data` noted down."""
        return data.with_name(f"{data.name}.{kind}").read_text().splitlines()

    def _answer(self) -> int:
        assert self._process.stdout is not None
        return int(json.loads(self._process.stdout.readline() or '{"status": 99}')["status"])


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    made = Workshop(tmp_path)
    yield made
    made.close()


async def check(workshop: Workshop, data: Path) -> None:
    """Start once more without a fault; everything that was acknowledged or signed holds in the log that is there."""
    async with running_ledger(data) as (database, ledger):
        vkey = ledger.vkey
        rows = await database.read(lambda tx: tx.rows("SELECT leaf, leaf_index FROM ledger_outbox"))
    source = DirectorySource(data / "log")
    listing = list(source.paths())
    report = replay(source, vkey, listing=listing)
    logged = verify_log(data / "log", vkey)
    assert not report.unchecked
    assert not [path for path in listing if path.endswith(".new")]
    at = {leaf_hash(leaf): index for index, leaf in enumerate(logged)}
    assert {bytes.fromhex(line) for line in workshop.lines(data, "acknowledged")} <= at.keys()
    assert all(index == at[leaf_hash(leaf)] for leaf, index in rows)
    assert len(rows) == sum(leaf[0] != 2 for leaf in logged)
    signed: defaultdict[int, set[bytes]] = defaultdict(set)
    for line in workshop.lines(data, "signed"):
        size, root = line.split()
        signed[int(size)].add(bytes.fromhex(root))
    tree = Tree(leaf_hash(leaf) for leaf in logged)
    assert signed
    for size, roots in signed.items():
        assert roots == {tree.root(size)}, f"signed at size {size}"


async def test_every_durable_step_may_fail(workshop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever fails at whichever step: the log verifies, nothing acknowledged is missing, no size has two trees."""
    began = time.monotonic()
    data = workshop.fresh("whole")
    assert workshop.run(data, None) == 0, workshop.stderr
    steps = workshop.lines(data, "steps")
    missing = [kind for kind, line in KINDS.items() if not any(f"{step}\n".startswith(line) for step in steps)]
    assert not missing, f"not among the {len(steps)} steps: {missing}"
    await check(workshop, data)
    ends: Counter[str] = Counter()
    combinations = [(number, mode) for number in range(1, len(steps) + 1) for mode in MODES]
    for run in range(RUNS):
        step, mode = combinations[run * len(combinations) // RUNS]
        ends[await one_run(workshop, f"run-{run}", step, mode)] += 1
    with capsys.disabled():
        took = time.monotonic() - began
        print(f"\n{RUNS} faults at {len(steps)} durable steps in {took:.0f} s: {dict(ends)}")  # noqa: T201
    assert ends["not reached"] <= RUNS // 10


async def one_run(workshop: Workshop, name: str, step: int, mode: str) -> str:
    """A fault, a second one while the first is mended, and the check; how the first ended."""
    data = workshop.fresh(name)
    first = workshop.run(data, step, mode)
    described = f"step {step}, {mode}: {first}\n{workshop.stderr[-2000:]}"
    hit = any(line.endswith(f"! {mode}") for line in workshop.lines(data, "steps"))
    assert first in (0, -9, 3), described
    assert (first == -9) == (mode.startswith("kill") and hit), described
    second = workshop.run(data, 1 + step % 11, MODES[(step + 1) % len(MODES)])
    assert second in (0, -9, 3), f"after {described}"
    try:
        await check(workshop, data)
    except BaseException as error:
        error.add_note(described)
        raise
    shutil.rmtree(data)
    return {0: "went on", -9: "killed", 3: "start refused"}[first] if hit else "not reached"


def test_a_broken_log_would_be_noticed(workshop: Workshop) -> None:
    """The check itself fails where a signed tree is no beginning of the log, and where an acknowledged leaf is not."""
    import asyncio

    def damaged(name: str, kind: str, line: str) -> Any:
        data = workshop.fresh(name)
        with data.with_name(f"{name}.{kind}").open("a") as file:
            file.write(f"{line}\n")
        return check(workshop, data)

    with pytest.raises(AssertionError, match="signed at size 2"):
        asyncio.run(damaged("one", "signed", f"2 {'00' * 32}"))
    with pytest.raises(AssertionError):
        asyncio.run(damaged("two", "acknowledged", "00" * 32))
