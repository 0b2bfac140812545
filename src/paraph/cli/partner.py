"""`paraph partner`: keys for a partner, its program or its sidecar, and its registration by the operator."""

from pathlib import Path
from typing import Annotated, Any

import typer

from paraph.cli.admin import Admin, AsJson, Data
from paraph.cli.keyfiles import make_partner_keys, read_public
from paraph.cli.output import emit_json, emit_rows, fail, out
from paraph.cli.scaffold import ScaffoldRefused, scaffold
from paraph.cli.sidecar import sidecar

app = typer.Typer(no_args_is_help=True, help="Make a partner's keys; begin its program; register and list partners.")
app.command()(sidecar)


@app.command()
def keys(
    folder: Annotated[Path, typer.Option("--out", help="Folder for the keys; it must not hold any yet.")],
    as_json: AsJson = False,
) -> None:
    """Make a partner's master key and OAuth client key. Example: paraph partner keys --out ./marquee"""
    public = make_partner_keys(folder)
    if as_json:
        emit_json(public)
        return
    out.print(f"private keys in {folder}/ (mode 0600: keep them); give the operator {folder}/public.json")
    out.print(f"master key {public['master_key']}")


@app.command()
def new(folder: Annotated[Path, typer.Argument(help="A new folder; the program is named after it.")]) -> None:
    """Begin a partner's program, with a test, to be tried on `paraph sandbox`. Example: paraph partner new ./marquee"""
    try:
        made = scaffold(folder)
    except (ScaffoldRefused, OSError) as error:
        fail(str(error))
    for file in made:
        out.print(str(file), markup=False)
    out.print(f"Read on in {made[-1]}.", markup=False)


@app.command()
def register(
    slug: Annotated[str, typer.Argument(help="Short name, for example: marquee")],
    name: Annotated[str, typer.Option(help="The name that people see.")],
    public: Annotated[Path, typer.Option(help="The partner's public.json.")],
    data: Data,
    redirect_uris: Annotated[
        list[str] | None,
        typer.Option("--redirect-uri", help="Where answers to its requests may go; repeatable. None given: no change."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Register a partner by its master key; again, to change its name, its OAuth client key or its redirect URIs.

    Example: paraph partner register marquee --name Marquee --public ./marquee/public.json --data ./data
    """
    body = {"slug": slug, "name": name} | read_public(public)
    if redirect_uris:
        body["redirect_uris"] = redirect_uris
    made = Admin(data).post("/_paraph/v1/admin/partners", body)
    if as_json:
        emit_json(made)
    else:
        out.print(f"{slug} is registered; it has no access before an agreement: paraph agreement draft {slug}")


@app.command(name="list")
def list_partners(data: Data, as_json: AsJson = False) -> None:
    """List partners and their agreements. Example: paraph partner list --data ./data"""
    partners = Admin(data).get("/_paraph/v1/partners")["partners"]
    emit_rows(
        partners if as_json else [_row(partner) for partner in partners],
        ["partner", "name", "address", "agreement", "devices"],
        as_json=as_json,
        empty="no partners yet: paraph partner register SLUG --data DIR",
    )


def _row(partner: dict[str, Any]) -> dict[str, Any]:
    versions = [record["document"]["version"] for record in partner["agreements"]]
    ended = {record["document"]["version"] for record in partner["endings"]}
    current = max(versions, default=None)
    gone = {record["document"]["device_id"] for record in partner["device_endings"]}
    devices = [record["document"]["device_keys"]["device_id"] for record in partner["devices"]]
    return {
        "partner": partner["slug"],
        "name": partner["name"],
        "address": partner["user_id"],
        "agreement": "none" if current is None else f"version {current}" + (", ended" if current in ended else ""),
        "devices": len([device for device in devices if device not in gone]),
    }
