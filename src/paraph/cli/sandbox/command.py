"""The `paraph sandbox` commands."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from paraph.cli.output import emit_json, err, fail, out
from paraph.cli.sandbox.words import AUTHOR, CORRESPONDENT, ROOMS

app = typer.Typer(help="Run a platform with scripted people for the partner program that you are writing.")

Data = Annotated[Path, typer.Option("--data", envvar="PARAPH_SANDBOX", help="The sandbox's folder.")]
FOLDER = Path("paraph-sandbox")
Room = Annotated[str, typer.Option(help=f"One of: {', '.join(ROOMS)}.")]
Slug = Annotated[str, typer.Option("--partner", help="The partner's short name.")]
MARQUEE = "marquee"


@app.callback(invoke_without_command=True)
def sandbox(
    context: typer.Context,
    data: Data = FOLDER,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The platform's port; 0 takes a free one.")] = 0,
    partner: Annotated[
        list[str] | None,
        typer.Option(metavar="SLUG=ROOM", help="A partner and the room opened to it first; repeatable."),
    ] = None,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between the messages that arrive.")] = 2.0,
    quiet: Annotated[bool, typer.Option("--quiet", help="Nobody says anything unless told to.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what `sandbox.json` says, as one line.")] = False,
) -> None:
    """Run a platform, two witnesses, a map auditor, a partner and two people who talk, until Ctrl-C.

    The folder belongs to the sandbox and is begun anew at each start. In it, partners/SLUG/partner.json holds what your
    program needs. The commands below make something happen while it runs.

    Example: paraph sandbox --data ./sandbox --partner marquee=films
    """
    if context.invoked_subcommand is not None:
        return
    from paraph.cli.processes import ServerFailed, WitnessesFailed
    from paraph.cli.sandbox.folder import FolderTaken
    from paraph.cli.sandbox.partners import Wanted
    from paraph.cli.sandbox.running import PortTaken, run
    from paraph.sdk import SdkError

    wanted = [Wanted(*_partner(one)) for one in partner or [f"{MARQUEE}={ROOMS[0]}"]]
    if len({one.slug for one in wanted}) < len(wanted):
        fail("each --partner once", status=2)
    try:
        asyncio.run(
            run(
                data,
                wanted,
                port=port,
                every=None if quiet else every,
                ready=_print_json if as_json else _print,
                troubled=lambda reason: err.print(f"[yellow]{reason}[/]"),
            )
        )
    except (FolderTaken, PortTaken, ServerFailed, WitnessesFailed, SdkError) as error:
        fail(str(error))


@app.command()
def say(
    text: Annotated[str, typer.Argument(help="The message.")],
    room: Room = ROOMS[0],
    speaker: Annotated[str, typer.Option("--as", help=f"{AUTHOR} or {CORRESPONDENT}.")] = AUTHOR,
    data: Data = FOLDER,
) -> None:
    """Let the author or the correspondent say something. Example: paraph sandbox say "I saw it twice" --room films"""
    _do(data, "say", room=room, speaker=speaker, text=text)


@app.command()
def grant(
    partner: Slug = MARQUEE,
    room: Annotated[list[str] | None, typer.Option(help="A room; repeatable.")] = None,
    days: Annotated[int, typer.Option(min=1, max=180, help="For so many days.")] = 30,
    minutes: Annotated[int | None, typer.Option(min=1, help="For so many minutes: see it expire.")] = None,
    data: Data = FOLDER,
) -> None:
    """Let the author grant a partner a room. Example: paraph sandbox grant --partner marquee --room music"""
    _do(data, "grant", partner=partner, rooms=room or [ROOMS[0]], minutes=minutes or days * 24 * 60)


@app.command()
def revoke(partner: Slug = MARQUEE, data: Data = FOLDER) -> None:
    """Let the author revoke all that a partner has. Example: paraph sandbox revoke --partner marquee"""
    _do(data, "revoke", partner=partner)


@app.command()
def answer(
    link: Annotated[str, typer.Argument(help="The address that `Partner.ask` gave.")],
    decline: Annotated[bool, typer.Option("--decline", help="Allow nothing.")] = False,
    data: Data = FOLDER,
) -> None:
    """Let the author answer what your program asks for; prints the address at which her browser would come back.

    Example: paraph sandbox answer 'http://127.0.0.1:8008/oauth/authorize?client_id=...'
    """
    _do(data, "answer", link=link, decline=decline)


@app.command()
def drafts(
    how: Annotated[str, typer.Argument(help="seal, decline or wait")],
    data: Data = FOLDER,
) -> None:
    """Say what the author does with drafts from now on; at first she seals them. Example: paraph sandbox drafts wait"""
    _do(data, "drafts", how=how)


@app.command(name="lose-keys")
def lose_keys(data: Data = FOLDER) -> None:
    """Let the author change her keys, and lose those for partners: her messages stay closed. Until: find-keys.

    Example: paraph sandbox lose-keys
    """
    _do(data, "lose-keys")


@app.command(name="find-keys")
def find_keys(data: Data = FOLDER) -> None:
    """Let the keys that were lost arrive after all. Example: paraph sandbox find-keys"""
    _do(data, "find-keys")


@app.command()
def clock(
    forward: Annotated[str | None, typer.Option(help="Let so much time pass: 90s, 30m, 12h, 10d.")] = None,
    at: Annotated[str | None, typer.Option(help="Make it that time (UTC), to come: 2027-01-31T12:00.")] = None,
    data: Data = FOLDER,
) -> None:
    """Turn the clock of everybody in the sandbox, your program's too (`clock_of`); without options, show it.

    Grants expire, tokens run out, retention ends. It goes only forward, until the sandbox is begun anew.

    Example: paraph sandbox clock --forward 10d
    """
    from paraph.cli.sandbox.clock import moment, shown, span
    from paraph.cli.sandbox.control import tell

    try:
        more = {"forward": None if forward is None else span(forward), "at": None if at is None else moment(at)}
    except ValueError as error:
        fail(str(error), status=2)
    if forward is not None and at is not None:
        fail("either --forward or --at", status=2)
    now = int(tell(data, "clock", **more)["now"])
    emit_json({"now": now, "utc": shown(now)})


def _do(data: Path, command: str, **more: Any) -> None:
    from paraph.cli.sandbox.control import tell

    emit_json(tell(data, command, **more))


def _partner(text: str) -> tuple[str, str]:
    slug, _, room = text.partition("=")
    if not slug or room not in ROOMS:
        fail(f"--partner {text}: expected SLUG=ROOM, with a room of {', '.join(ROOMS)}", status=2)
    return slug, room


def _print(said: dict[str, Any]) -> None:
    out.print(f"The platform is at {said['url']}. What a partner's program needs:")
    for slug, file in said["partners"].items():
        out.print(f"  {slug}  {file}", soft_wrap=True)
    out.print("Make something happen: paraph sandbox say, grant, revoke, answer, drafts, lose-keys, find-keys, clock.")
    out.print("Ctrl-C stops it all.")


def _print_json(said: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()
