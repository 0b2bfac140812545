"""`paraph partner new`: what it writes runs, passes its own tests and overwrites nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from paraph.cli.scaffold import ScaffoldRefused, scaffold
from tests.sandbox.support import PARAPH, RunningSandbox, program


@pytest.mark.slow
def test_the_new_program_runs_and_its_tests_pass(sandbox: RunningSandbox, tmp_path: Path) -> None:
    """On the sandbox it hears the author, proposes, and is told that her device sent it."""
    folder = tmp_path / "newcomer"
    made = subprocess.run([PARAPH, "partner", "new", folder], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    assert all((folder / name).read_text().count("@NAME@") == 0 for name in ("main.py", "README.md", "pyproject.toml"))
    tested = program("-m", "pytest", "-q", cwd=folder)
    assert tested.returncode == 0, tested.stdout
    assert "3 passed" in tested.stdout
    sandbox.say('I could watch "Sunrise" again tonight.')
    done = program("main.py", sandbox.file("newcomer"), "4000", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert 'heard: I could watch "Sunrise" again tonight.' in done.stdout
    assert ": sealed" in done.stdout


def test_its_types_hold(tmp_path: Path) -> None:
    """Program and test pass the strictest check of their types."""
    folder = tmp_path / "newcomer"
    scaffold(folder)
    command = [sys.executable, "-m", "mypy", "--strict", "main.py", "test_main.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A folder that holds anything is refused and stays as it is."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "main.py").write_text("mine")
    with pytest.raises(ScaffoldRefused, match="not empty"):
        scaffold(tmp_path / "mine")
    assert [(file.name, file.read_text()) for file in (tmp_path / "mine").iterdir()] == [("main.py", "mine")]


@pytest.mark.parametrize("name", ["Marquee", "2nd", "two words", "dot.ted", "x" * 40])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    """The folder's name becomes the project's; where it cannot, nothing is written."""
    with pytest.raises(ScaffoldRefused, match="no name"):
        scaffold(tmp_path / name)
    assert not (tmp_path / name).exists()
