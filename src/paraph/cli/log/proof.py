"""`paraph log proof`: check, offline, that one record is in a log (C2SP tlog-proof)."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from paraph.cli.admin import AsJson
from paraph.cli.output import emit_json, fail, out
from paraph.tlog import note, policy, proof
from paraph.tlog.checkpoint import Checkpoint
from paraph.tlog.errors import TlogError
from paraph.tlog.merkle import leaf_hash
from paraph.tlog.policy import Cosigned


def check(
    record: Annotated[Path, typer.Argument(help="The record's bytes, as the log explorer gives them (.leaf).")],
    bundle: Annotated[Path, typer.Argument(help="The proof bundle (.tlog-proof).")],
    vkey: Annotated[str, typer.Option("--key", help="The log's public key, as you were given it.")],
    policy_file: Annotated[
        Path | None, typer.Option("--policy", help="A witness policy: its quorum must have cosigned the checkpoint.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that a record is in a log, from two files and the log's key, without asking anybody.

    Exit status 0: it is there. 1: these files do not show it.

    Example: paraph log proof record.leaf record.tlog-proof --key "localhost/log+0a1b2c3d+AX…"
    """
    try:
        index, tree, cosigned = verified(record.read_bytes(), bundle.read_bytes(), vkey, _policy(policy_file))
    except (TlogError, OSError) as error:
        if as_json:
            emit_json({"verified": False, "kind": type(error).__name__, "error": str(error)})
            raise typer.Exit(1) from None
        fail(f"[bold]NOT VERIFIED[/]: {error}")
    if as_json:
        emit_json(_summary(index, tree, cosigned))
        return
    out.print(f"[bold green]verified[/]: record {index} of {tree.origin}, under the checkpoint of size {tree.size}")
    if cosigned is None:
        out.print("  signed by the log alone: give --policy to hold its witnesses to it")
    else:
        since = datetime.fromtimestamp(cosigned.time, UTC)
        out.print(f"  cosigned by {', '.join(sorted(cosigned.times))}; a quorum since {since:%Y-%m-%d %H:%M:%S} UTC")


def verified(
    record: bytes, bundle: bytes, vkey: str, trusted: policy.Policy | None
) -> tuple[int, Checkpoint, Cosigned | None]:
    """Index and tree that a bundle proves a record in, and who cosigned the tree; raises TlogError."""
    log = note.Verifier.from_vkey(vkey)
    found = proof.parse(bundle)
    tree = found.verify(leaf_hash(record), log).checkpoint
    if trusted is None:
        return found.index, tree, None
    return found.index, tree, trusted.for_log(log).check(found.checkpoint, int(time.time()))


def _policy(file: Path | None) -> policy.Policy | None:
    return None if file is None else policy.parse(file.read_bytes())


def _summary(index: int, tree: Checkpoint, cosigned: Cosigned | None) -> dict[str, Any]:
    return {
        "verified": True,
        "origin": tree.origin,
        "index": index,
        "size": tree.size,
        "root": tree.root.hex(),
        "cosigned": None if cosigned is None else {"quorum_since": cosigned.time, "by": dict(cosigned.times)},
    }
