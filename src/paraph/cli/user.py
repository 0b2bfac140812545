"""`paraph user`: accounts and registration tokens, from the operator's side; and whom a person's device verifies."""

import secrets
import time
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from paraph.cli.admin import Admin, AsJson, Data
from paraph.cli.output import emit_json, emit_rows, out

app = typer.Typer(
    no_args_is_help=True, help="Make, list and end accounts of a running server; invite people; verify somebody."
)

_USERS = "/_paraph/v1/admin/users"
_TOKENS = "/_paraph/v1/admin/registration-tokens"
_DAY_MS = 86_400_000
_PAGE = 1000

User = Annotated[str, typer.Argument(help="The user id, for example: @author:localhost")]
Password = Annotated[str | None, typer.Option(help="Left out, a strong one is made and shown once.")]


@app.command()
def add(
    username: Annotated[str, typer.Argument(help="The part before the colon, for example: author")],
    data: Data,
    password: Password = None,
    as_json: AsJson = False,
) -> None:
    """Make an account. Example: paraph user add author --data ./data"""
    chosen = password or secrets.token_urlsafe(12)
    made = Admin(data).post(_USERS, {"username": username, "password": chosen})
    if as_json:
        emit_json(made | ({} if password else {"password": chosen}))
        return
    out.print(f"{made['user_id']} can log in" + ("." if password else f" with the password {chosen}"))


@app.command(name="list")
def list_users(data: Data, as_json: AsJson = False) -> None:
    """List accounts. Example: paraph user list --data ./data --json"""
    rows = _all(Admin(data), _USERS, "users")
    columns = ["user_id", "created", "deactivated", "suspended", "locked"]
    emit_rows(rows, columns, as_json=as_json, empty="no accounts yet: paraph user add NAME --data DIR")


@app.command()
def password(
    user_id: User,
    data: Data,
    password: Password = None,
    keep_devices: Annotated[bool, typer.Option("--keep-devices", help="End none of her sessions.")] = False,
    as_json: AsJson = False,
) -> None:
    """Give an account another password. Example: paraph user password @author:localhost --data ./data"""
    chosen = password or secrets.token_urlsafe(12)
    Admin(data).post(_of(user_id, "password"), {"password": chosen, "logout_devices": not keep_devices})
    if as_json:
        emit_json({"user_id": user_id} | ({} if password else {"password": chosen}))
        return
    out.print(f"{user_id} has a new password" + ("." if password else f": {chosen}"))


Lift = Annotated[bool, typer.Option("--lift", help="Take it back.")]


@app.command()
def suspend(user_id: User, data: Data, lift: Lift = False, as_json: AsJson = False) -> None:
    """Let an account read and leave, and nothing else. Example: paraph user suspend @author:localhost --data ./data"""
    _moderate(user_id, data, "suspend", "suspended", not lift, as_json=as_json)


@app.command()
def lock(user_id: User, data: Data, lift: Lift = False, as_json: AsJson = False) -> None:
    """Let an account in nowhere until the lock is lifted. Example: paraph user lock @author:localhost --data ./data"""
    _moderate(user_id, data, "lock", "locked", not lift, as_json=as_json)


def _moderate(user_id: str, data: Path, action: str, state: str, value: bool, *, as_json: bool) -> None:
    path = f"/_matrix/client/v1/admin/{action}/{quote(user_id, safe='')}"
    answer = Admin(data).put(path, {state: value})
    if as_json:
        emit_json({"user_id": user_id} | answer)
    else:
        out.print(f"{user_id} is {state if value else f'not {state} any more'}; the log says that it happened")


@app.command()
def deactivate(
    user_id: User,
    data: Data,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """End an account for good. Example: paraph user deactivate @author:localhost --yes --data ./data"""
    if not yes:
        typer.confirm(f"End {user_id} for good? Her devices go, and nobody ever has this name again", abort=True)
    Admin(data).post(_of(user_id, "deactivate"), {})
    if as_json:
        emit_json({"user_id": user_id})
    else:
        out.print(f"{user_id} is deactivated")


@app.command()
def invite(
    data: Data,
    uses: Annotated[int, typer.Option(min=1, max=10_000, help="How many accounts it may make.")] = 1,
    days: Annotated[int | None, typer.Option(min=1, max=3650, help="For how many days it is good.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a registration token (for registration = token). Example: paraph user invite --uses 5 --data ./data"""
    expires = None if days is None else time.time_ns() // 1_000_000 + days * _DAY_MS
    made = Admin(data).post(_TOKENS, {"uses": uses, "expires": expires})
    if as_json:
        emit_json(made)
        return
    until = "" if days is None else f" within {days} day{'s' if days > 1 else ''}"
    out.print(f"{made['token']}   good for {uses} account{'s' if uses > 1 else ''}{until}, shown only now")


@app.command()
def invites(data: Data, as_json: AsJson = False) -> None:
    """List the registration tokens, by id. Example: paraph user invites --data ./data --json"""
    rows = sorted(_all(Admin(data), _TOKENS, "tokens"), key=lambda row: (row["created"], row["id"]))
    columns = ["id", "uses_left", "used", "created", "expires"]
    emit_rows(rows, columns, as_json=as_json, empty="no registration tokens: paraph user invite --data DIR")


@app.command()
def uninvite(
    token_id: Annotated[str, typer.Argument(help="The id that `paraph user invites` shows.")],
    data: Data,
    as_json: AsJson = False,
) -> None:
    """Revoke a registration token. Example: paraph user uninvite 0123456789ab --data ./data"""
    Admin(data).post(f"{_TOKENS}/{quote(token_id, safe='')}/revoke", {})
    if as_json:
        emit_json({"id": token_id})
    else:
        out.print(f"{token_id} lets nobody in any more")


@app.command()
def verify(
    store: Annotated[Path, typer.Option(help="The key store of one of your devices; nothing else may have it open.")],
    user_id: Annotated[str | None, typer.Argument(help="Whom to ask; left out, this waits for who asks you.")] = None,
    device: Annotated[str | None, typer.Option(help="Ask this device alone.")] = None,
    room: Annotated[str | None, typer.Option(help="Ask in this conversation, as Element does.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare emoji with somebody, or with another device of your own, and trust its keys from then on.

    Compare them by another way than this platform: side by side, or over the telephone. With your own user id, the one
    of your two devices that lacks your identity gets it from the other. The store's passphrase is read from
    PARAPH_PASSPHRASE, or asked for.

    Example: paraph user verify @correspondent:localhost --store author.store
    """
    # The operator's commands above need no keys, and start without the libraries for them.
    import_module("paraph.cli.verify").verify(store, user_id, device, room, as_json=as_json)


def _of(user_id: str, what: str) -> str:
    return f"{_USERS}/{quote(user_id, safe='')}/{what}"


def _all(admin: Admin, path: str, name: str) -> list[dict[str, Any]]:
    """Every row of a list that comes in pages."""
    rows: list[dict[str, Any]] = []
    after: str | None = ""
    while after is not None:
        page = admin.get(f"{path}?limit={_PAGE}&from={quote(after, safe='')}")
        rows += page[name]
        after = page["next"]
    return rows
