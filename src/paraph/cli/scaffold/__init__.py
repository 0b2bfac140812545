"""`paraph partner new`: the beginning of a partner's program, with a test, in a folder of its own."""

import re
from importlib.resources import files
from pathlib import Path

NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
PLACEHOLDER = "@NAME@"
TEMPLATES = ("pyproject.toml", "main.py", "test_main.py", "README.md")


class ScaffoldRefused(Exception):
    """The folder cannot become a program."""


def scaffold(folder: Path) -> list[Path]:
    """Write the program into a new or empty folder, which it is named after; returns its files.

    Raises ScaffoldRefused, with nothing written.
    """
    name = folder.resolve().name
    if not NAME.fullmatch(name):
        raise ScaffoldRefused(f"{name!r} is no name for a program: small letters, digits and dashes, a letter first")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ScaffoldRefused(f"{folder} is not empty: nothing is ever overwritten")
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for template in TEMPLATES:
        text = files(__name__).joinpath(f"{template}.txt").read_text(encoding="utf-8")
        made.append(folder / template)
        made[-1].write_text(text.replace(PLACEHOLDER, name), encoding="utf-8")
    return made
