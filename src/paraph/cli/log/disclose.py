"""`paraph log disclose`: the operator opens kind, partner and day of every private record, and nobody's name."""

import os
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from paraph.audit.disclosure import header, line
from paraph.cli.admin import Admin, AsJson, Data
from paraph.cli.log.progress import leaf_progress
from paraph.cli.output import emit_json, fail, out

_PATH = "/_paraph/v1/admin/disclosure"


def disclose(
    data: Data,
    to: Annotated[Path, typer.Option("--to", help="The file to write; it must not exist yet.")],
    as_json: AsJson = False,
) -> None:
    """Write the totals of everything private that this log holds, checkable by anyone, with nobody named.

    Per record: kind, partner and day, and what proves that the log committed to just these. For the check:
    paraph log check FILE --log LOG --policy POLICY.

    Example: paraph log disclose --data ./data --to totals.disclosure
    """
    admin = Admin(data)
    partial = to.with_name(f"{to.name}.part")
    if to.exists():
        fail(f"{to} is there already")
    try:
        with partial.open("wb") as file:
            size, private = _write(admin, file, hidden=as_json)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(to)
    except OSError as error:
        fail(f"{to} cannot be written: {error}")
    if as_json:
        emit_json({"file": str(to), "size": size, "private": private})
    else:
        out.print(f"{private} private records of the first {size} leaves are opened in {to}")


def _write(admin: Admin, file: BinaryIO, *, hidden: bool) -> tuple[int, int]:
    """Every page, in order; gives the size of the tree and the number of private leaves."""
    log = admin.get("/_paraph/v1/platform")["log"]["origin"]
    page = admin.get(f"{_PATH}?from=0")
    size, private = page["size"], 0
    file.write(header(log, size))
    with leaf_progress("disclosing", hidden=hidden) as told:
        while True:
            for leaf in page["leaves"]:
                file.write(line(leaf))
            private += len(page["leaves"])
            if page["next"] is None:
                return size, private
            told(page["next"], size)
            page = admin.get(f"{_PATH}?from={page['next']}&size={size}")
