"""`paraph agreement`: drafted, signed by both sides, published, ended. Nothing of it is secret (promise P6)."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from paraph.cli.admin import Admin, AsJson, Data
from paraph.cli.keyfiles import MASTER, read_signing_key
from paraph.cli.output import emit_json, emit_rows, fail, out
from paraph.protocol.agreement import OPERATOR_KEY_ID, Agreement, extensions
from paraph.protocol.documents import parse
from paraph.protocol.entry import day_of
from paraph.protocol.errors import ProtocolError
from paraph.protocol.identifiers import partner_user_id
from paraph.protocol.signing import document_hash, sign

app = typer.Typer(no_args_is_help=True, help="Draft, sign, publish, show and end agreements with partners.")

DAY = 86_400_000
Document = Annotated[Path, typer.Argument(help="The agreement's JSON file.")]


def draft_agreement(platform: dict[str, Any], partner: dict[str, Any], **terms: Any) -> dict[str, Any]:
    """An unsigned agreement that follows the partner's newest version; `terms` replace the modest defaults.

    One that extends the newest begins after the notice that that one promised, and a day more, for both to sign it.
    """
    records = sorted(partner["agreements"], key=lambda record: record["document"]["version"])
    newest = records[-1]["document"] if records else None
    now = int(time.time() * 1000)
    document: dict[str, Any] = {
        "type": "org.paraph.agreement",
        "partner": partner["slug"],
        "name": partner["name"],
        "version": newest["version"] + 1 if newest else 1,
        "predecessor": document_hash(newest) if newest else None,
        "master_key": partner["master_key"],
        "operator_key": platform["operator_key"],
        "signatories": [
            {"party": "operator", "name": f"operator of {platform['server_name']}", "role": "operator"},
            {"party": "partner", "name": partner["name"], "role": "partner"},
        ],
        "consideration": {"operator": "access within this agreement", "partner": "a report every fortnight"},
        "ties": [],
        "purposes": ["recommendations"],
        "verbs": ["read"],
        "max_duration_days": 180,
        "max_retention_days": 30,
        "report": {"interfaces": ["web"], "initiation_surfaces": ["message"], "variants": ["default"]},
        "limits": {},
        "from": now,
        "until": now + 365 * DAY,
        "notice_days": 30,
        "reason": None,
    }
    document |= terms
    if newest and newest["notice_days"] and "from" not in terms and _extends(newest, document):
        document["from"] = now + (newest["notice_days"] + 1) * DAY
    return document


def _extends(newest: dict[str, Any], document: dict[str, Any]) -> bool:
    return bool(extensions(parse(Agreement, newest), parse(Agreement, document)))


def sign_as_operator(document: dict[str, Any], server_name: str, key_file: Path) -> dict[str, Any]:
    """Add the operator's signature."""
    return sign(document, server_name, OPERATOR_KEY_ID, read_signing_key(key_file).sign)


def sign_as_partner(document: dict[str, Any], server_name: str, key_file: Path) -> dict[str, Any]:
    """Add the signature of the partner's master key."""
    key = read_signing_key(key_file)
    entity = partner_user_id(document["partner"], server_name)
    return sign(document, entity, f"ed25519:{key.public_key}", key.sign)


@app.command()
def draft(
    slug: Annotated[str, typer.Argument(help="The partner, for example: marquee")],
    data: Data,
    file: Annotated[Path, typer.Option("--out", help="Where to write it.")] = Path("agreement.json"),
    purpose: Annotated[list[str] | None, typer.Option(help="A purpose; may be given several times.")] = None,
    verb: Annotated[list[str] | None, typer.Option(help="A verb of the ceiling; may be given several times.")] = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="For how many days it holds.")] = 365,
    reason: Annotated[str | None, typer.Option(help="Why this version, for the record.")] = None,
) -> None:
    """Write the next version of a partner's agreement, to be edited and then signed by both sides.

    Example: paraph agreement draft marquee --purpose recommendations --data ./data --out marquee-1.json
    """
    admin = Admin(data)
    terms: dict[str, Any] = {"until": int(time.time() * 1000) + days * DAY, "reason": reason}
    terms |= {"purposes": purpose} if purpose else {}
    terms |= {"verbs": verb} if verb else {}
    platform = admin.get("/_paraph/v1/platform")
    document = draft_agreement(platform, admin.get(f"/_paraph/v1/partners/{slug}"), **terms)
    _write(file, document)
    out.print(f"{file}: version {document['version']}, unsigned, in force from {day_of(document['from'])} on.")
    out.print("Read it, then let both sides sign:")
    out.print(f"  paraph agreement sign {file} --operator --data {data}")
    name = platform["server_name"]
    out.print(f"  paraph agreement sign {file} --key ./{slug}/{MASTER} --server-name {name}")


@app.command(name="sign")
def sign_command(
    file: Document,
    operator: Annotated[bool, typer.Option("--operator", help="Sign for the operator of --data.")] = False,
    key: Annotated[Path | None, typer.Option(help="Sign for the partner with this master key file.")] = None,
    data: Annotated[Path, typer.Option(envvar="PARAPH_DATA", help="The operator's data folder.")] = Path("paraph-data"),
    server_name: Annotated[str, typer.Option(help="The platform's server name.")] = "localhost",
) -> None:
    """Add one side's signature to an agreement.

    Example: paraph agreement sign agreement.json --key ./marquee/master.key
    """
    document = _read(file)
    if operator == (key is not None):
        fail("say who signs: either --operator or --key FILE", status=2)
    name = Admin(data).get("/_paraph/v1/platform")["server_name"] if operator else server_name
    signed = (
        sign_as_operator(document, name, data / "keys" / "operator.key")
        if operator
        else sign_as_partner(document, name, key or Path(MASTER))
    )
    _write(file, signed)
    out.print(f"{file} is signed by {', '.join(sorted(signed['signatures']))}")


@app.command()
def publish(file: Document, data: Data, as_json: AsJson = False) -> None:
    """Publish an agreement that both sides signed. Example: paraph agreement publish agreement.json --data ./data"""
    answer = Admin(data).post("/_paraph/v1/admin/agreements", {"agreement": _read(file)})
    if as_json:
        emit_json(answer)
    else:
        out.print(f"published: {file} is now a public record")


@app.command()
def end(
    slug: Annotated[str, typer.Argument(help="The partner.")],
    data: Data,
    reason: Annotated[str, typer.Option(help="Why; it becomes public.")],
    as_json: AsJson = False,
) -> None:
    """End a partner's agreement and, with it, every grant under it, at once.

    Example: paraph agreement end marquee --reason "contract over" --data ./data
    """
    admin = Admin(data)
    platform, partner = admin.get("/_paraph/v1/platform"), admin.get(f"/_paraph/v1/partners/{slug}")
    if not partner["agreements"]:
        fail(f"{slug} has no agreement to end")
    newest = max((record["document"] for record in partner["agreements"]), key=lambda document: document["version"])
    ending = {
        "type": "org.paraph.agreement_ended",
        "partner": slug,
        "version": newest["version"],
        "agreement_hash": document_hash(newest),
        "ended": int(time.time() * 1000),
        "reason": reason,
    }
    signed = sign_as_operator(ending, platform["server_name"], data / "keys" / "operator.key")
    answer = admin.post(f"/_paraph/v1/admin/agreements/{slug}/end", {"ending": signed})
    if as_json:
        emit_json(answer)
    else:
        out.print(f"the agreement with {slug} is ended; its grants are over")


@app.command()
def show(slug: Annotated[str, typer.Argument(help="The partner.")], data: Data, as_json: AsJson = False) -> None:
    """Show every version of a partner's agreement. Example: paraph agreement show marquee --data ./data"""
    partner = Admin(data).get(f"/_paraph/v1/partners/{slug}")
    rows = [
        {key: record["document"][key] for key in ("version", "verbs", "purposes", "ties", "reason")}
        | {"hash": document_hash(record["document"])}
        for record in partner["agreements"]
    ]
    emit_rows(
        [record["document"] for record in partner["agreements"]] if as_json else rows,
        ["version", "verbs", "purposes", "ties", "reason", "hash"],
        as_json=as_json,
        empty=f"{slug} has no agreement, and therefore no access",
    )


def _read(file: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        parse(Agreement, document)
    except (OSError, ValueError, ProtocolError) as error:
        fail(f"{file} is not an agreement: {error}")
    return document


def _write(file: Path, document: dict[str, Any]) -> None:
    file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
