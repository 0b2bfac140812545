"""`paraph consent`: a person answers what a partner asks for, with a device that holds her keys."""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.panel import Panel

from paraph.cli.admin import AsJson
from paraph.cli.output import emit_json, fail, out
from paraph.protocol.consent import TEMPLATE
from paraph.protocol.errors import ProtocolError
from paraph.protocol.fields import ADVERTISING
from paraph.protocol.limits import DAY_MS
from paraph.sdk import ConsentRefusedError, ConsentRequest, GrantTerms, Person, SqliteStore
from paraph.sdk.clock import system_time
from paraph.sdk.errors import SdkError

PASSPHRASE = "PARAPH_PASSPHRASE"  # noqa: S105 -- the variable's name


def consent(
    link: Annotated[str, typer.Argument(help="The address to which the partner sent you.")],
    store: Annotated[Path, typer.Option(help="The key store of one of your devices; nothing else may have it open.")],
    verbs: Annotated[list[str] | None, typer.Option("--verb", help="Allow only this; may be repeated.")] = None,
    rooms: Annotated[list[str] | None, typer.Option("--room", help="Only in this conversation; repeatable.")] = None,
    purposes: Annotated[
        list[str] | None, typer.Option("--purpose", help="Only for this; repeatable. Advertising has to be named.")
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, max=180, help="Only for so many days from now.")] = None,
    retention_days: Annotated[int | None, typer.Option(min=0, help="It may keep what it opens so long.")] = None,
    decline: Annotated[bool, typer.Option("--decline", help="Allow nothing, and let the partner know.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Sign without asking again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a partner asks for and, if you agree to the exact text, sign it with this device's key.

    You may allow less than is asked for. With --json, nothing is signed without --yes. The store's passphrase is read
    from PARAPH_PASSPHRASE, or asked for. The last line is an address for your own browser: give it to nobody.

    Example: paraph consent 'https://paraph.example/oauth/authorize?client_id=...' --store author.store --days 30
    """
    if not store.is_file():
        fail(f"there is no key store {store}")
    screen = Screen(as_json=as_json, yes=yes, decline=decline)
    chosen = _Chosen(verbs, rooms, purposes, days, retention_days)
    try:
        asyncio.run(screen.run(SqliteStore.open(store, passphrase=passphrase()), link, chosen))
    except ConsentRefusedError:
        fail("nothing was signed, and nothing is allowed; to let the partner know, add --decline")
    except (SdkError, ProtocolError) as error:
        fail(str(error))


class _Chosen:
    """What the person allows at most; None: as much as is asked for, and no advertising."""

    def __init__(
        self,
        verbs: list[str] | None,
        rooms: list[str] | None,
        purposes: list[str] | None,
        days: int | None,
        retention_days: int | None,
    ) -> None:
        self._verbs = verbs
        self._rooms = rooms
        self._purposes = purposes
        self._days = days
        self._retention_days = retention_days

    def terms(self, request: ConsentRequest, now: int) -> GrantTerms:
        """What is asked for, narrowed."""
        asked = request.terms(advertising=bool(self._purposes))
        return GrantTerms(
            purposes=self._purposes or asked.purposes,
            until=asked.until if self._days is None else min(asked.until, now + self._days * DAY_MS),
            rooms=self._rooms or asked.rooms,
            verbs=self._verbs or asked.verbs,
            retention_days=asked.retention_days if self._retention_days is None else self._retention_days,
        )


class Screen:
    """One request on a terminal."""

    def __init__(self, *, as_json: bool, yes: bool, decline: bool) -> None:
        self._json = as_json
        self._yes = yes
        self._decline = decline

    async def run(self, store: SqliteStore, link: str, chosen: _Chosen) -> None:
        """Show it and answer it."""
        person = await Person.open(store)
        try:
            request = await person.consents(link)
            if not self._json:
                _show(request)
            if self._decline:
                self._tell({"status": "declined", "redirect": await person.decline(request)})
            elif request.status in ("pending", "done"):
                self._tell({"status": "done", "redirect": await person.collect(request)})
            elif self._json and not self._yes:
                emit_json(_plain(request))
            else:
                done = await person.answer(request, chosen.terms(request, system_time()), agree=self._agree)
                found = {"status": "done", "grant_id": done.grant.grant.grant_id, "redirect": done.redirect}
                self._tell(found)
        finally:
            await person.close()

    def _agree(self, text: str) -> bool:
        if not self._json:
            out.print(Panel(escape(text), title="The exact text that you sign", padding=(1, 2)))
        return self._yes or typer.confirm("Sign this with the key of this device?", default=False)

    def _tell(self, found: dict[str, Any]) -> None:
        if self._json:
            emit_json(found)
            return
        if found["status"] == "done":
            recorded = f"Signed and recorded as {found['grant_id']}." if "grant_id" in found else "You have signed it."
            out.print(f"{recorded} Open this in your own browser, within a minute:")
        else:
            out.print("Declined; nothing is allowed. To let the partner know, open this in your own browser:")
        out.print(escape(str(found["redirect"])), soft_wrap=True)


def _show(request: ConsentRequest) -> None:
    asked = request.asked
    name = escape(request.name)
    rooms = "all your conversations" if asked.rooms == "all" else f"{len(asked.rooms)} of your conversations"
    out.print(f"[bold]{name}[/] ({request.partner}) asks you to let it do this until {_day(asked.until)}:")
    for verb in asked.verbs:
        out.print(f"  {verb}: {escape(TEMPLATE.verbs[verb].replace('$name', request.name))}")
    out.print(f"  where: {rooms}")
    out.print(f"  what for: {', '.join(asked.purposes)}")
    if ADVERTISING in asked.purposes:
        out.print(f"  {ADVERTISING} is allowed only if you name it: --purpose {ADVERTISING}")
    out.print(f"  keeping what it opens for: {asked.retention_days} days")
    out.print("You may allow less: --verb, --room, --purpose, --days, --retention-days. Or --decline.")
    out.print(f"The answer goes back to {escape(request.redirect_uri)}, by way of your browser.")
    out.print("Only answer if you came from there yourself just now.\n")


def _plain(request: ConsentRequest) -> dict[str, Any]:
    return {
        "id": request.id,
        "partner": {"slug": request.partner, "name": request.name},
        "authorization_details": [request.asked.document],
        "redirect_uri": request.redirect_uri,
        "expires": request.expires,
        "status": request.status,
    }


def _day(at: int) -> str:
    try:
        return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d")
    except (ValueError, OverflowError, OSError):
        return "the end of the calendar"


def passphrase() -> str:
    """The passphrase of a device's store, from the environment or asked for."""
    given = os.environ.get(PASSPHRASE)
    return typer.prompt("Passphrase", hide_input=True, err=True) if given is None else given
