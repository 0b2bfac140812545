"""`paraph witness`: cosign other people's logs, so that none of them can show two histories."""

import contextlib
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from paraph.cli.admin import AsJson
from paraph.cli.output import emit_json, emit_rows, err, fail, out
from paraph.cli.policy import difference, read
from paraph.tlog import note, policy_change
from paraph.tlog.errors import TlogError
from paraph.witness import folder
from paraph.witness.app import WitnessApplication
from paraph.witness.errors import WitnessError
from paraph.witness.service import Witness
from paraph.witness.store import Cosigned, FoundContradiction, FoundFault

app = typer.Typer(no_args_is_help=True, help="Cosign logs, so that nobody can be shown a history of their own.")

DataFolder = Annotated[Path, typer.Option("--data", help="The witness's folder: its key and what it cosigned.")]


@app.callback()
def root() -> None:
    """Cosign logs, so that nobody can be shown a history of their own."""


@app.command()
def keygen(
    data: DataFolder,
    name: Annotated[str, typer.Option(help="The witness's name in its signatures, like a URL without scheme.")],
    as_json: AsJson = False,
) -> None:
    """Make a witness: a private key and the empty record of what it cosigned. Prints the public key to pass on.

    Example: paraph witness keygen --data ./w1 --name witness.example.org/w1
    """
    try:
        vkey = folder.create(data, name).verifier.vkey
    except (WitnessError, OSError) as error:
        fail(str(error))
    if as_json:
        emit_json({"name": name, "vkey": vkey})
    else:
        out.print(vkey, markup=False)


@app.command()
def serve(
    data: DataFolder,
    log: Annotated[list[str], typer.Option(help="Public key of a log to watch; may be given several times.")],
    audit_map: Annotated[
        bool, typer.Option("--audit-map", help="Replay every leaf by the map's rule before cosigning; needs --log-url.")
    ] = False,
    log_url: Annotated[
        list[str] | None,
        typer.Option(help="Where the log is published (https://…/log); ORIGIN=URL for each, if there are several."),
    ] = None,
    port: Annotated[int, typer.Option(help="TCP port; 0 takes a free one.", min=0, max=65535)] = 8118,
    bind: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    sandbox_clock: Annotated[Path | None, typer.Option(hidden=True, help="The clock of a `paraph sandbox`.")] = None,
) -> None:
    """Run the witness. What it cosigns is on disk before it answers; it never cosigns two histories of one log.

    With --audit-map it also reads every entry of the log, and cosigns only if leaves, epochs and map hold together.

    Example: paraph witness serve --data ./w1 --port 8118 --log "localhost/log+0a1b2c3d+AX…"
    """
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(message)s")
    logging.getLogger("paraph.witness").setLevel(logging.INFO)
    now = _now if sandbox_clock is None else _turned(sandbox_clock)
    try:
        logs = [note.Verifier.from_vkey(vkey) for vkey in log]
        urls = _urls(logs, log_url or [], wanted=audit_map)
        signer, store = folder.open_folder(data)
        auditors = {
            one.name: folder.open_auditor(data, one, urls[one.name], signer.verifier.vkey, now)
            for one in logs
            if audit_map
        }
    except (WitnessError, TlogError) as error:
        fail(str(error))
    try:
        listener = socket.create_server((bind, port), backlog=256)
    except OSError as error:
        fail(f"cannot listen on {bind}:{port}: {error.strerror or error}")
    url = f"http://{bind}:{listener.getsockname()[1]}"
    _write_address(data, url, signer.verifier.vkey)
    does = "audits" if audit_map else "watches"
    err.print(f"[bold]paraph witness[/] {signer.name} at {url} {does} {', '.join(item.name for item in logs)}")
    _run(WitnessApplication(Witness(store, signer, logs, clock=now), auditors), listener)


def _now() -> int:
    return int(time.time())


def _turned(file: Path) -> Callable[[], int]:
    """The seconds of a sandbox's clock."""
    from paraph.sdk import SdkError
    from paraph.sdk import sandbox_clock as clock_in

    try:
        clock = clock_in(file)
    except SdkError as error:
        fail(str(error))
    return lambda: clock() // 1000


def _urls(logs: list[note.Verifier], given: list[str], *, wanted: bool) -> dict[str, str]:
    """URL of each log by its origin. Raises WitnessError where one is missing, twice there or a stranger's."""
    if given and not wanted:
        raise WitnessError("--log-url is of use with --audit-map only")
    origins, found = {log.name for log in logs}, dict[str, str]()
    for item in given:
        origin, separator, url = item.partition("=")
        if not separator or "://" in origin:
            origin, url = (logs[0].name, item) if len(origins) == 1 else ("", item)
        if origin not in origins or origin in found or not url.startswith(("http://", "https://")):
            raise WitnessError(f"--log-url {item}: expected ORIGIN=https://…, once for each of {', '.join(origins)}")
        found[origin] = url
    if wanted and (missing := origins - found.keys()):
        raise WitnessError(f"--audit-map needs to know where {', '.join(sorted(missing))} is published: --log-url")
    return found


@app.command()
def endorse(
    change: Annotated[Path, typer.Argument(help="The change of policy, as the platform's operator gave it.")],
    current: Annotated[Path, typer.Option("--current", help="The policy in force, as you know it.")],
    data: DataFolder,
    log: Annotated[str, typer.Option(help="Public key of the log, as you know it.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Agree, as a witness of the policy in force, that another one takes its place. Shows what changes, and asks.

    From then on this witness endorses no other successor of that policy. The change is written back with the
    endorsement added: give it to the operator.

    Example: paraph witness endorse change.note --current policy --data ./w1 --log "localhost/log+0a1b2c3d+AX…"
    """
    signed, old = read(change), read(current)
    try:
        verifier = note.Verifier.from_vkey(log)
        new = policy_change.check_signed(signed, old, verifier).text
    except TlogError as error:
        fail(f"{change}: {error}")
    out.print(difference(old, new), markup=False)
    if not (yes or typer.confirm(f"Should devices of {verifier.name} trust the new policy instead?")):
        fail("not endorsed")
    try:
        change.write_bytes(folder.endorse(data, signed, old, verifier, _now()))
    except (WitnessError, OSError) as error:
        fail(str(error))
    out.print(f"[green]endorsed[/]: {change}")


@app.command()
def show(data: DataFolder, as_json: AsJson = False) -> None:
    """Show what the witness cosigned last of each log, and every log that contradicted itself or broke its rules.

    Example: paraph witness show --data ./w1
    """
    try:
        signer, store = folder.open_folder(data)
    except WitnessError as error:
        fail(str(error))
    with contextlib.closing(store):
        rows = [_row(item) for item in store.all()]
        found = [_evidence(item) for item in store.contradictions()]
        faults = [_fault(item) for item in store.faults()]
    if as_json:
        emit_json({"vkey": signer.verifier.vkey, "cosigned": rows, "contradictions": found, "faults": faults})
        return
    out.print(signer.verifier.vkey, markup=False)
    emit_rows(rows, ("origin", "size", "root", "cosigned"), as_json=False, empty="Nothing cosigned yet.")
    for item in found:
        out.print(f"\n[bold red]{item['origin']} signed two trees of size {item['size']}[/]; both notes prove it:")
        out.print(f"{item['known']}\n{item['refused']}", markup=False)
    for item in faults:
        out.print(f"\n[bold red]{item['origin']} broke the rules of its leaves, epochs or map[/]:")
        out.print(f"{item['reason']}\nIt signed this tree; `paraph log verify` shows the same:", markup=False)
        out.print(item["note"], markup=False)


def _row(item: Cosigned) -> dict[str, Any]:
    tree = item.checkpoint
    return {"origin": tree.origin, "size": tree.size, "root": tree.root.hex(), "cosigned": _utc(item.time)}


def _evidence(item: FoundContradiction) -> dict[str, Any]:
    notes = {"known": item.known.decode(), "refused": item.refused.decode()}
    return {"origin": item.origin, "size": item.size, "refused_at": _utc(item.time), **notes}


def _fault(item: FoundFault) -> dict[str, Any]:
    return {
        "origin": item.origin,
        "reason": item.reason,
        "leaf_index": item.leaf_index,
        "leaf": item.leaf.hex(),
        "refused_at": _utc(item.time),
        "note": item.note.decode(),
    }


def _utc(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}Z"


def _write_address(data: Path, url: str, vkey: str) -> None:
    """Tell programs on this machine where the witness listens, in `witness.json`."""
    partial = data / f"witness.json.{os.getpid()}"
    partial.write_text(json.dumps({"url": url, "vkey": vkey, "pid": os.getpid()}) + "\n", encoding="utf-8")
    partial.replace(data / "witness.json")


def _run(application: WitnessApplication, listener: socket.socket) -> None:
    import uvicorn

    config = uvicorn.Config(
        application,
        http="httptools",
        lifespan="on",
        ws="none",
        access_log=False,
        server_header=False,
        log_level="warning",
        limit_concurrency=256,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )
    process = uvicorn.Server(config)
    process.run(sockets=[listener])
    if not process.started:
        raise typer.Exit(1)
