"""At every durable step of the sequencer: killed, out of space, broken; done and not done. The log stays one log.

The steps are counted, not listed (`faults.py`). `make faults` tries 200 of all combinations of step and fault, spread
evenly, on SQLite and on PostgreSQL; the gate tries some. Each run has a second fault while the first is being mended.
"""

import asyncio
import contextlib
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
from tests.server.ledger.faults import MODES, opened
from tests.server.ledger.support import running_ledger, verify_log
from tests.support.postgresql import PostgresServer

RUNS = {name: int(os.environ.get("PARAPH_FAULTS", most)) for name, most in (("sqlite", "16"), ("postgresql", "5"))}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
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
    "records and the progress mark": "{dialect} COMMIT",
    "partial tiles, dropped": "unlink log/tile/0/000.p/",
    "their directory, dropped": "rmdir log/tile/entries/000.p",
}
"""What has to be among the steps, by how its line begins."""


class Workshop:
    """Runs children on copies of one base, and looks at what they leave."""

    def __init__(self, root: Path, server: PostgresServer | None) -> None:
        self.root = root
        self.base = root / "base"
        self._server = server
        self._stacks: dict[Path, contextlib.ExitStack] = {}
        self.settings: dict[Path, str] = {}
        self._begin(self.base, None)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.server.ledger.faults", str(self.base), self.settings[self.base]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(root / "stderr").open("wb"),
            text=True,
        )
        assert self._answer() == 0, self.stderr

    def close(self) -> None:
        """End the process that runs children."""
        self._process.communicate(timeout=30)
        for stack in self._stacks.values():
            stack.close()

    def _begin(self, data: Path, template: str | None) -> None:
        """A database for a data folder: a file in it, or one of PostgreSQL's, as long as the folder is needed."""
        stack = self._stacks[data] = contextlib.ExitStack()
        database = "sqlite" if self._server is None else stack.enter_context(self._server.database(template))
        self.settings[data] = database

    def discard(self, data: Path) -> None:
        """Throw a copy away."""
        workshop.discard(data)
        self._stacks.pop(data).close()

    @property
    def stderr(self) -> str:
        """What the children said."""
        return (self.root / "stderr").read_text()

    def fresh(self, name: str) -> Path:
        """A copy of the base, with what is known of it."""
        shutil.copytree(self.base, self.root / name)
        self._begin(self.root / name, self.settings[self.base])
        for kind in ("acknowledged", "signed"):
            shutil.copy(self.root / f"base.{kind}", self.root / f"{name}.{kind}")
        return self.root / name

    def run(self, data: Path, step: int | None, mode: str = "") -> int:
        """One child; its exit status."""
        assert self._process.stdin is not None
        job = {"data": str(data), "database": self.settings[data], "step": step, "mode": mode}
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def lines(self, data: Path, kind: str) -> list[str]:
        """What the children on `data` noted down."""
        return data.with_name(f"{data.name}.{kind}").read_text().splitlines()

    def _answer(self) -> int:
        assert self._process.stdout is not None
        return int(json.loads(self._process.stdout.readline() or '{"status": 99}')["status"])


@pytest.fixture
def workshop(tmp_path: Path, dialect: str, request: pytest.FixtureRequest) -> Iterator[Workshop]:
    server = None if dialect == "sqlite" else request.getfixturevalue("postgresql")
    made = Workshop(tmp_path, server)
    yield made
    made.close()


async def check(workshop: Workshop, data: Path) -> None:
    """Start once more without a fault; everything that was acknowledged or signed holds in the log that is there."""
    database = await opened(data, workshop.settings[data])
    async with running_ledger(data, database=database) as (_, ledger):
        vkey = ledger.vkey
        for _ in range(1000):  # on PostgreSQL it leads once the role of whoever was killed is free
            if await database.read(lambda tx: tx.row("SELECT 1 FROM ledger_outbox WHERE leaf_index IS NULL")) is None:
                break
            await asyncio.sleep(0.01)
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


@pytest.mark.parametrize("dialect", RUNS)
async def test_every_durable_step_may_fail(
    workshop: Workshop, dialect: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever fails at whichever step: the log verifies, nothing acknowledged is missing, no size has two trees."""
    began = time.monotonic()
    data = workshop.fresh("whole")
    assert workshop.run(data, None) == 0, workshop.stderr
    steps = workshop.lines(data, "steps")
    database = "sqlite paraph.db" if dialect == "sqlite" else dialect
    kinds = {kind: line.format(dialect=database) for kind, line in KINDS.items()}
    missing = [kind for kind, line in kinds.items() if not any(f"{step}\n".startswith(line) for step in steps)]
    assert not missing, f"not among the {len(steps)} steps: {missing}"
    await check(workshop, data)
    ends: Counter[str] = Counter()
    combinations = [(number, mode) for number in range(1, len(steps) + 1) for mode in MODES]
    runs = RUNS[dialect]
    for run in range(runs):
        step, mode = combinations[run * len(combinations) // runs]
        ends[await one_run(workshop, f"run-{run}", step, mode)] += 1
    with capsys.disabled():
        took = time.monotonic() - began
        print(f"\n{runs} faults at {len(steps)} durable steps on {dialect} in {took:.0f} s: {dict(ends)}")  # noqa: T201
    assert ends["not reached"] <= max(runs // 10, 1)


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


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_a_broken_log_would_be_noticed(workshop: Workshop, dialect: str) -> None:
    """The check itself fails where a signed tree is no beginning of the log, and where an acknowledged leaf is not."""

    def damaged(name: str, kind: str, line: str) -> Any:
        data = workshop.fresh(name)
        with data.with_name(f"{name}.{kind}").open("a") as file:
            file.write(f"{line}\n")
        return check(workshop, data)

    with pytest.raises(AssertionError, match="signed at size 2"):
        asyncio.run(damaged("one", "signed", f"2 {'00' * 32}"))
    with pytest.raises(AssertionError):
        asyncio.run(damaged("two", "acknowledged", "00" * 32))
