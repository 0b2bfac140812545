"""The `paraph demo` command."""

import asyncio
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from paraph.cli.output import emit_json, fail


def command(
    once: Annotated[bool, typer.Option("--once", help="Exit after the story instead of staying up.")] = False,
    data: Annotated[Path | None, typer.Option(help="Folder to play in [default: a new temporary one].")] = None,
    database: Annotated[
        str, typer.Option(help="sqlite, postgresql (one is started for the demo), or a postgresql:// URL.")
    ] = "sqlite",
    as_json: Annotated[bool, typer.Option("--json", help="Print the evidence as JSON; implies --once.")] = False,
) -> None:
    """Play the main job on a real server and print what was tried and what happened, measured.

    Two people talk about films, one lets a partner read her own words, the partner tries everything, she revokes, and
    the public log is verified from its files. Exit status 0: every promise that is shown was kept. 1: one was broken.

    Example: paraph demo --once
    """
    from paraph.cli.demo.films import FilmsMissing
    from paraph.cli.demo.postgresql import PostgresUnavailable, new_databases
    from paraph.cli.demo.process import ServerFailed
    from paraph.cli.demo.screen import Screen
    from paraph.cli.demo.story import Story

    if database not in ("sqlite", "postgresql") and "://" not in database:
        fail(f"--database is {database!r}; expected sqlite, postgresql or postgresql://...", status=2)
    folder = data or Path(tempfile.mkdtemp(prefix="paraph-demo-"))
    if any(folder.glob("*")):
        fail(f"{folder} is not empty: the demo starts from nothing, name another --data", status=2)
    screen = Screen(quiet=as_json)
    try:
        with new_databases(database) as new_database:
            kept = asyncio.run(Story(folder, screen, new_database=new_database).play(stay=not (once or as_json)))
    except (FilmsMissing, ServerFailed, PostgresUnavailable) as error:
        fail(str(error))
    if as_json:
        emit_json(screen.document)
    raise typer.Exit(0 if kept else 1)
