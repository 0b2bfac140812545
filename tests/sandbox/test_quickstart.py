"""The first integration does what its page says, exactly as printed there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sandbox.support import RunningSandbox, program

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "partner-quickstart.md"


def printed(name: str = "first.py") -> str:
    """A program on the page."""
    marked = rf"<!-- {re.escape(name)} -->\n```python\n(.*?)^```$"
    found = re.search(marked, PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert found is not None
    return found[1]


def shown() -> list[str]:
    """What the page says that it prints."""
    found = re.search(r"^\$ python first\.py \S+\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert found is not None
    return found[1].splitlines()


def test_it_is_as_short_as_promised() -> None:
    """It has at most thirty lines, all told, and imports nothing but the standard library and the SDK."""
    lines = printed().splitlines()
    assert len(lines) <= 30
    ours = [line for line in lines if line.startswith(("import ", "from ")) and "paraph" in line]
    assert [line.partition(" import ")[0] for line in ours] == ["from paraph.sdk"]


def test_its_types_hold(tmp_path: Path) -> None:
    """What people copy passes the strictest check of its types."""
    files = [tmp_path / name for name in ("first.py", "asking.py", "webhook.py")]
    for file in files:
        file.write_text(printed(file.name), encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", *map(str, files)]
    done = subprocess.run(command, cwd=PAGE.parent.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_it_runs(sandbox: RunningSandbox, tmp_path: Path) -> None:
    """It prints what the page shows: the author's words, nothing of the correspondent's, and the draft's end."""
    sandbox.say('I could watch "The Third Man" again tonight.')
    sandbox.say("Too sad.", speaker="correspondent")
    sandbox.say('I could watch "Metropolis" again tonight.')
    (tmp_path / "first.py").write_text(printed(), encoding="utf-8")
    done = program(tmp_path / "first.py", sandbox.file("starter"))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    expected = shown()
    assert lines[0] == expected[0]
    assert [line for line in lines if line in expected] == expected
    assert {line.partition(" ")[0] for line in lines[1:-1]} == {"@author:localhost"}
