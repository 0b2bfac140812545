"""`paraph user`: accounts, from the operator's side."""

import secrets
from typing import Annotated

import typer

from paraph.cli.admin import Admin, AsJson, Data
from paraph.cli.output import emit_json, emit_rows, out

app = typer.Typer(no_args_is_help=True, help="Make and list accounts of a running server.")


@app.command()
def add(
    username: Annotated[str, typer.Argument(help="The part before the colon, for example: author")],
    data: Data,
    password: Annotated[str | None, typer.Option(help="Left out, a strong one is made and shown once.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make an account. Example: paraph user add author --data ./data"""
    chosen = password or secrets.token_urlsafe(12)
    made = Admin(data).post("/_paraph/v1/admin/users", {"username": username, "password": chosen})
    if as_json:
        emit_json(made | ({} if password else {"password": chosen}))
        return
    out.print(f"{made['user_id']} can log in" + ("." if password else f" with the password {chosen}"))


@app.command(name="list")
def list_users(data: Data, as_json: AsJson = False) -> None:
    """List accounts. Example: paraph user list --data ./data --json"""
    rows = Admin(data).get("/_paraph/v1/admin/users")["users"]
    emit_rows(rows, ["user_id", "created"], as_json=as_json, empty="no accounts yet: paraph user add NAME --data DIR")


@app.command()
def invite(
    data: Data,
    uses: Annotated[int, typer.Option(min=1, max=10_000, help="How many accounts it may make.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Make a registration token (for registration = token). Example: paraph user invite --uses 5 --data ./data"""
    made = Admin(data).post("/_paraph/v1/admin/registration-tokens", {"uses": uses})
    if as_json:
        emit_json(made)
    else:
        out.print(f"{made['token']}   good for {uses} account{'s' if uses > 1 else ''}, shown only now")
