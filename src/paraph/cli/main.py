"""The `paraph` command and its subcommands.

A platform, its witnesses and their checks are processes that start often, and each command brings along what it needs:
so a command line that names one of them loads that one alone.
"""

import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Annotated

import typer

from paraph import __version__

COMMANDS = {
    "serve": "serve.serve",
    "backup": "backup.backup",
    "restore": "backup.restore",
    "consent": "consent.consent",
    "demo": "demo.command",
}
"""Module and function of each command, below `paraph.cli`."""
GROUPS = ("user", "partner", "agreement", "log", "witness", "policy", "sandbox")
"""Modules below `paraph.cli` that have commands of their own."""


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"paraph {__version__}")
        raise typer.Exit


def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Private messaging with an Inbox API whose every promise can be checked."""


def commands(names: Sequence[str] = (*COMMANDS, *GROUPS)) -> typer.Typer:
    """The `paraph` command with these subcommands."""
    app = typer.Typer(
        name="paraph",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
        help="Private messaging with an Inbox API whose every promise can be checked.",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(root)
    for name in names:
        if name in GROUPS:
            app.add_typer(import_module(f"paraph.cli.{name}").app, name=name)
        else:
            module, _, function = COMMANDS[name].partition(".")
            app.command(name=name)(getattr(import_module(f"paraph.cli.{module}"), function))
    return app


@cache
def _whole() -> typer.Typer:
    return commands()


def __getattr__(name: str) -> typer.Typer:
    """`app`: the command with all its subcommands, made when it is asked for."""
    if name == "app":
        return _whole()
    raise AttributeError(name)


def main() -> None:
    """Entry point of the `paraph` script."""
    named = sys.argv[1:2]
    known = named and (named[0] in COMMANDS or named[0] in GROUPS)
    (commands(named) if known else _whole())()
