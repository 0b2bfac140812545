"""How commands speak: tables for people, one JSON document for programs, errors that say what to do."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)


def emit_json(value: Any) -> None:
    """Print `value` as one JSON document on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def emit_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool, empty: str) -> None:
    """Print rows as a table, or as a JSON array when asked; `empty` is said when there are none."""
    if as_json:
        emit_json(list(rows))
        return
    if not rows:
        out.print(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "))
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns))
    out.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)


def fail(message: str, *, status: int = 1) -> NoReturn:
    """Say what went wrong on standard error and exit with `status`."""
    err.print(f"[bold red]paraph:[/] {message}")
    raise typer.Exit(status)
