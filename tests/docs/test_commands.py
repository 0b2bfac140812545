"""The commands that the pages show are there."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from paraph.cli.main import app

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/operating.md",
    "docs/partner-quickstart.md",
    "docs/partner-sidecar.md",
    "docs/settings.md",
    "examples/tempo/README.md",
]
_SHOWN = re.compile(r"(?:^|`)((?:paraph|make) [^`\n#]+)", re.MULTILINE)


def shown(program: str) -> list[str]:
    """Every command line of `program` that a page shows, in a block or between backticks."""
    found = {command.strip() for page in PAGES for command in _SHOWN.findall((ROOT / page).read_text(encoding="utf-8"))}
    return sorted(command for command in found if command.split()[0] == program)


def unknown(command: str) -> list[str]:
    """The words of a `paraph` command line that are no subcommand and no option."""
    node: Any = typer.main.get_command(app)
    missing = []
    words = iter(shlex.split(command)[1:])
    for word in words:
        if word.startswith("--"):
            options = {name: parameter for parameter in node.params for name in parameter.opts}
            missing += [] if word in {*options, "--help"} else [word]
            if word in options and not options[word].is_flag:
                next(words, None)
        elif hasattr(node, "commands"):
            if word not in node.commands:
                return [word]
            node = node.commands[word]
    return missing


@pytest.mark.parametrize("command", shown("paraph"))
def test_paraph_commands_exist(command: str) -> None:
    """Each `paraph` command that a page shows exists, with each option it shows."""
    assert unknown(command) == []


@pytest.mark.parametrize("command", shown("make"))
def test_make_targets_exist(command: str) -> None:
    """Each `make` command that a page shows names a target of the Makefile."""
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert command.split()[1] in targets


@pytest.mark.parametrize("command", ["paraph sevre", "paraph serve --dta x", "paraph log verify x --vkey y"])
def test_wrong_commands_are_found(command: str) -> None:
    """The check itself notices a wrong subcommand and a wrong option."""
    assert unknown(command)


def test_something_is_shown() -> None:
    """The pages do show commands: the search above finds the ones that matter."""
    assert {"make check", "make test", "make demo ONCE=1"} <= set(shown("make"))
    assert any(command.startswith("paraph serve") for command in shown("paraph"))
