#!/usr/bin/env python3
"""Remove one check after the other from what verifies logs, and show that a test fails each time.

    make mutants [ARGS='PATH-PART...']     all modules below, or those whose path has one of these parts

A check is an `if` that raises or returns early (its condition becomes False), one operand of an `and` or `or`
within such a condition, or a call whose result nobody takes, such as `_check_size(...)`. Each mutant is tried in a copy
of the package, first with the tests of its own module, then with the negative corpus. Survivors are printed: each is a
check that no test misses.
"""

import ast
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "src"
TARGETS = {
    "tlog/text.py": ("tests/tlog/test_text.py", "number or base64"),
    "tlog/merkle.py": ("tests/tlog/test_merkle.py", "proof"),
    "tlog/note.py": ("tests/tlog/test_note.py", "note or vkey or skey or signed or answer"),
    "tlog/cosignature.py": ("tests/tlog/test_cosignature.py", "cosigned or vkey or skey"),
    "tlog/checkpoint.py": ("tests/tlog/test_checkpoint.py", "checkpoint"),
    "tlog/policy.py": ("tests/tlog/test_policy.py", "policy"),
    "tlog/proof.py": ("tests/tlog/test_proof.py", "bundle"),
    "tlog/tiles.py": ("tests/tlog/test_tiles.py", "tile or path or entry"),
    "tlog/map_proof.py": ("tests/tlog/test_map_proof.py", "map"),
    "tlog/witness.py": ("tests/tlog/test_witness.py", "add or conflict"),
    "audit/replay.py": ("tests/audit/test_replay.py", "of a log"),
    "audit/files.py": ("tests/audit/test_replay.py", "of a log"),
    "audit/epochs.py": ("tests/audit/test_replay.py", "of a log"),
    "audit/map.py": ("tests/audit/test_map.py", "of a log"),
    "audit/statement.py": ("tests/audit/test_statement.py", "tree or key or JSON"),
}
"""For each module its own tests, and which structures of the corpus it reads."""
RUN = """
from hypothesis import Phase, settings
settings.register_profile("mutants", database=None, phases=(Phase.explicit, Phase.generate))
settings.load_profile("mutants")
import pytest, sys
sys.exit(pytest.main(sys.argv[1:]))
"""
"""Runs pytest; that an example fails is enough, the smallest one is not looked for."""
AT_ONCE = 2
SECONDS = 240


class Mutant:
    """A module with one check gone."""

    def __init__(self, module: str, line: int, check: str, source: str) -> None:
        self.name = f"{module}:{line}: {check[:100]}"
        self.module = module
        self.source = source


def mutants(module: str) -> Iterator[Mutant]:
    """Every module that lacks one check."""
    text = (SOURCES / "paraph" / module).read_text()
    for number in range(len(list(_checks(ast.parse(text))))):
        tree = ast.parse(text)
        node, replace = list(_checks(tree))[number]
        check, line = ast.unparse(node), node.lineno
        replace()
        yield Mutant(module, line, check.splitlines()[0], ast.unparse(ast.fix_missing_locations(tree)))


def _checks(tree: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, "Replace"]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.body[-1], ast.Raise | ast.Return):
            yield node.test, Replace(node, "test", ast.Constant(False))
            for one in ast.walk(node.test):
                if isinstance(one, ast.BoolOp):
                    neutral = ast.Constant(isinstance(one.op, ast.And))
                    for at in range(len(one.values)):
                        yield one.values[at], Replace(one.values, at, neutral)
        for field in ("body", "orelse", "finalbody"):
            body = getattr(node, field, None)
            for at, statement in enumerate(body if isinstance(body, list) else []):
                if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
                    yield statement, Replace(body, at, ast.Pass())


class Replace:
    """Puts one node in the place of another, when called."""

    def __init__(self, owner: object, place: str | int, node: ast.AST) -> None:
        self.owner, self.place, self.node = owner, place, node

    def __call__(self) -> None:
        """Do it."""
        if isinstance(self.owner, list):
            self.owner[self.place] = self.node
        else:
            setattr(self.owner, str(self.place), self.node)


def killed(mutant: Mutant) -> bool:
    """Whether a test fails without this check."""
    with tempfile.TemporaryDirectory(prefix="paraph-mutant-") as folder:
        shutil.copytree(SOURCES, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        (Path(folder) / "paraph" / mutant.module).write_text(mutant.source)
        own, structures = TARGETS[mutant.module]
        return any(not passes(folder, *tests) for tests in ((own,), ("tests/corpus", "-k", structures)))


def passes(folder: str, *tests: str) -> bool:
    """Whether the tests pass with the package in this folder; too long counts as a failure."""
    command = [sys.executable, "-c", RUN, "-x", "-q", "-m", "not slow", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, timeout=SECONDS)  # noqa: S603
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def main() -> int:
    """Try all; 1 if any survives."""
    wanted = [module for module in TARGETS if not sys.argv[1:] or any(part in module for part in sys.argv[1:])]
    made = [mutant for module in wanted for mutant in mutants(module)]
    survivors = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        tried = {pool.submit(killed, mutant): mutant for mutant in made}
        for count, done in enumerate(as_completed(tried), start=1):
            if not done.result():
                survivors += 1
                sys.stdout.write(f"{count} of {len(made)}: no test misses {tried[done].name}\n")
                sys.stdout.flush()
    sys.stdout.write(f"{len(made)} checks removed, {len(made) - survivors} found by a test, {survivors} not\n")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
