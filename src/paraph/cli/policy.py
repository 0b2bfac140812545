"""`paraph policy`: write a witness policy, and replace one with the consent of the old policy's witnesses."""

import difflib
import os
import time
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from paraph.cli.admin import AsJson
from paraph.cli.output import emit_json, fail, out
from paraph.server.ledger.policies import PolicyNotPublished, PublishedPolicies
from paraph.tlog import note, policy, policy_change
from paraph.tlog.errors import TlogError
from paraph.tlog.policy import Group, Member

app = typer.Typer(no_args_is_help=True, help="Say which witnesses a log needs, and change it as they agree.")

Folder = Annotated[Path, typer.Option("--data", envvar="PARAPH_DATA", help="The platform's data folder.")]
Current = Annotated[Path, typer.Option("--current", help="The policy in force: the file of the setting `witnesses`.")]


@app.callback()
def root() -> None:
    """Say which witnesses a log needs, and change it as they agree."""


@app.command()
def check(file: Annotated[Path, typer.Argument(help="The policy.")], as_json: AsJson = False) -> None:
    """Read a policy as the platform and people's devices do, and say what it demands.

    Example: paraph policy check /etc/paraph/policy
    """
    try:
        found = policy.parse(read(file))
    except TlogError as error:
        fail(f"{file}: {error}")
    rows = [{"name": one.name, "vkey": one.verifier.vkey, "url": one.url} for one in found.witnesses]
    if as_json:
        emit_json({"witnesses": rows, "quorum": found.quorum.name, "map_audited": found.map_audited})
        return
    out.print(f"A checkpoint needs {_demand(found.quorum)}.", markup=False)
    out.print(f"Each quorum {'holds' if found.map_audited else '[yellow]does not hold[/]'} a map auditor.")
    for one in rows:
        if one["url"] is None:
            out.print(f"[yellow]{one['name']} has no URL:[/] the platform cannot ask it.")


@app.command()
def propose(
    new: Annotated[Path, typer.Argument(help="The policy that is to come.")],
    current: Current,
    data: Folder,
    to: Annotated[Path, typer.Option(help="The file to write, which the witnesses are given.")],
) -> None:
    """Sign a change of policy with the log's key. It counts once a quorum of the policy in force has endorsed it.

    Example: paraph policy propose new-policy --current /etc/paraph/policy --data DIR --to change.note
    """
    key = data / "keys" / "log.key"
    try:
        signer = note.Signer.from_skey(read(key).decode().strip())
        policy.parse(read(current)).for_log(signer.verifier)
        signed = policy_change.make(read(current), read(new), signer)
        to.write_bytes(signed)
    except (TlogError, ValueError, OSError) as error:
        fail(str(error))
    out.print(f"{to}: each witness of the policy in force endorses a copy with", markup=False)
    out.print(f"  paraph witness endorse {to.name} --current {current.name} --data ITS-FOLDER", markup=False)


@app.command()
def publish(
    changes: Annotated[list[Path], typer.Argument(help="Copies of the change, as the witnesses gave them back.")],
    current: Current,
    data: Folder,
    as_json: AsJson = False,
) -> None:
    """Publish an endorsed change below log/policies/, and put the new policy in the place of the one in force.

    The platform takes it up at its next start; devices that pinned the old policy follow.

    Example: paraph policy publish first.note second.note --current /etc/paraph/policy --data DIR
    """
    try:
        verifier = note.Signer.from_skey(read(data / "keys" / "log.key").decode().strip()).verifier
        signed = policy_change.merge([read(one) for one in changes])
        published = PublishedPolicies(data / "log")
        number, text = published.publish(signed, read(current), verifier, int(time.time()))
        _replace(current, text)
    except (TlogError, PolicyNotPublished, ValueError, OSError) as error:
        fail(str(error))
    if as_json:
        emit_json({"number": number, "policy": text.decode()})
        return
    out.print(f"[green]published[/] as log/policies/{number}; {current} holds the new policy. Restart the platform.")


@app.command()
def verify(
    changes: Annotated[list[Path], typer.Argument(help="Changes, in order: copies of /log/policies/1 and so on.")],
    current: Annotated[Path, typer.Option("--current", help="The policy that you have pinned.")],
    key: Annotated[str, typer.Option("--key", help="The log's public key, as you were given it.")],
    as_json: AsJson = False,
) -> None:
    """Follow changes from a policy that you have pinned, and print the policy they lead to.

    Exit status 0: the old policy's quorum wanted each change. 1: it did not, or something else is wrong.

    Example: paraph policy verify 1 2 --current pinned-policy --key "localhost/log+0a1b2c3d+AX…"
    """
    try:
        chain = policy_change.Chain(read(current), note.Verifier.from_vkey(key))
        for path in changes:
            chain.follow(read(path), int(time.time()))
    except TlogError as error:
        refuse(error, as_json=as_json)
    if as_json:
        emit_json({"verified": True, "policy": chain.text.decode()})
    else:
        out.print(chain.text.decode(), markup=False, end="")


def refuse(error: Exception, *, as_json: bool) -> NoReturn:
    """Say that a change does not count."""
    if as_json:
        emit_json({"verified": False, "kind": type(error).__name__, "error": str(error)})
        raise typer.Exit(1)
    fail(f"[bold]NOT VERIFIED[/]: {error}")


def read(path: Path) -> bytes:
    """A file's bytes."""
    try:
        return path.read_bytes()
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror or error}")


def difference(old: bytes, new: bytes) -> str:
    """What changes from one policy's text to another's, as `diff -u` shows it."""
    before, after = old.decode().splitlines(), new.decode().splitlines()
    names = "the policy in force", "the policy to come"
    return "\n".join(difflib.unified_diff(before, after, *names, lineterm=""))


def _demand(member: Member) -> str:
    if not isinstance(member, Group):
        return member.name
    below = ", ".join(_demand(one) for one in member.members)
    return f"{member.name} ({member.threshold} of {len(member.members)}: {below})"


def _replace(path: Path, text: bytes) -> None:
    partial = path.with_name(f"{path.name}.new")
    with partial.open("wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
