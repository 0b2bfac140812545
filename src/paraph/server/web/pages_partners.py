"""Pages about partners: the register, one partner with all that is public about it, one version of an agreement."""

from collections.abc import Mapping, Sequence
from typing import Any

from paraph.audit.differences import differences
from paraph.protocol.agreement import OPERATOR_KEY_ID, Agreement, verify_agreement
from paraph.protocol.entry import PUBLIC_KINDS
from paraph.protocol.errors import ProtocolError
from paraph.protocol.signing import document_hash
from paraph.server.consent.model import Agreements, Partner
from paraph.server.http import ApiError
from paraph.server.ledger import public
from paraph.server.storage import Transaction
from paraph.server.web.explorer import PAGE, ROOT, Explorer, not_found

OTHERS = ("report", "notice", "admin")
"""Kinds of records about a partner that are neither its agreements nor its devices."""
ALWAYS_DIFFERENT = ("version", "predecessor", "signatures")
"""What no two versions of an agreement have in common; it is shown beside the differences."""


async def partners(explorer: Explorer, after: str) -> dict[str, Any]:
    """The register of partners by slug, from behind `after`."""

    def read(tx: Transaction) -> dict[str, Any]:
        found = [partner for partner in explorer.consent.partners.registered(tx) if partner.slug > after]
        shown = [_summary(explorer, tx, partner) for partner in found[:PAGE]]
        return {"partners": shown, "next": shown[-1]["slug"] if len(found) > PAGE else None}

    return await explorer.database.read(read)


def _summary(explorer: Explorer, tx: Transaction, partner: Partner) -> dict[str, Any]:
    held = explorer.consent.partners.agreements(tx, partner.slug)
    return {
        "slug": partner.slug,
        "name": partner.name,
        "url": explorer.subject_url(partner.slug),
        "agreements": len(held.versions),
        **standing(held, explorer.clock()),
    }


def standing(held: Agreements, now: int) -> dict[str, Any]:
    """Where a partner stands: {state, version, until}, of the version in force or else of the newest."""
    if not held.versions:
        return {"state": "none", "version": None, "until": None}
    current = held.in_force(now)
    shown = current or held.versions[max(held.versions)]
    return {"state": state_of(held, shown, now), "version": shown.version, "until": shown.until}


def state_of(held: Agreements, agreement: Agreement, now: int) -> str:
    """One version among all: `in_force`, `not_begun`, `replaced`, `expired` or `ended`."""
    if agreement.version <= held.ended:
        return "ended"
    if agreement.from_ > now:
        return "not_begun"
    begun = max(version for version, other in held.versions.items() if other.from_ <= now)
    if agreement.version < begun:
        return "replaced"
    return "in_force" if now < agreement.until else "expired"


async def partner(explorer: Explorer, slug: str) -> dict[str, Any]:
    """One partner: its keys, its agreements, its devices, and everything else that is public about it."""

    def read(tx: Transaction) -> dict[str, Any]:
        known = _known(explorer, tx, slug)
        held, now = explorer.consent.partners.agreements(tx, slug), explorer.clock()
        endings = _endings(explorer, tx, slug)
        agreements = public.records_about(tx, slug, ["agreement"], PAGE)
        devices = public.records_about(tx, slug, ["partner-device"], PAGE)
        others = public.records_about(tx, slug, OTHERS, PAGE)
        return {
            "slug": slug,
            "name": known.name,
            "user_id": explorer.consent.partners.user_id(slug),
            "master_key": known.master_key,
            **standing(held, now),
            "agreements": [_version(explorer, tx, held, listed.record, endings, now) for listed in agreements],
            "devices": [_device(explorer, tx, slug, listed.record, now) for listed in devices],
            "others": [explorer.brief(tx, listed.record) for listed in others],
            "timeline": explorer.listed(tx, slug, sorted(PUBLIC_KINDS), None),
            "page_size": PAGE,
        }

    return await explorer.database.read(read)


def _known(explorer: Explorer, tx: Transaction, slug: str) -> Partner:
    try:
        return explorer.consent.partners.get(tx, slug)
    except ApiError as error:
        raise not_found(error.message) from None


def _endings(explorer: Explorer, tx: Transaction, slug: str) -> list[dict[str, Any]]:
    """Endings of agreements: {version, ended, reason, by, record}, oldest first."""
    found = []
    for record in explorer.ledger.public_records(tx, slug, ["agreement-ended"]):
        document = record["document"]
        members = {name: document[name] for name in ("version", "ended", "reason")}
        found.append({**members, "by": _signers(explorer, document), "record": explorer.brief(tx, record)})
    return found


def _signers(explorer: Explorer, document: Mapping[str, Any]) -> list[str]:
    """On which sides the signatures of a document stand: `operator`, `partner`."""
    entities = document.get("signatures", {})
    return [
        "operator" if entity == explorer.server_name else "partner"
        for entity in sorted(entities, key=lambda entity: entity != explorer.server_name)
    ]


def _version(
    explorer: Explorer,
    tx: Transaction,
    held: Agreements,
    record: Mapping[str, Any],
    endings: Sequence[Mapping[str, Any]],
    now: int,
) -> dict[str, Any]:
    document = record["document"]
    version = document["version"]
    return {
        "version": version,
        "state": state_of(held, held.versions[version], now),
        "from": document["from"],
        "until": document["until"],
        "reason": document["reason"],
        "url": agreement_url(document["partner"], version),
        "ended": _ended(endings, version),
        "record": explorer.brief(tx, record),
    }


def _ended(endings: Sequence[Mapping[str, Any]], version: int) -> Mapping[str, Any] | None:
    """The ending that ended a version: the first of it or of a later one."""
    return next((ending for ending in endings if ending["version"] >= version), None)


def agreement_url(slug: str, version: int) -> str:
    """The page of a version of an agreement."""
    return f"{ROOT}/partners/{slug}/agreements/{version}"


def _device(explorer: Explorer, tx: Transaction, slug: str, record: Mapping[str, Any], now: int) -> dict[str, Any]:
    document = record["document"]
    keys = document["device_keys"]
    ended = explorer.consent.partners.device_end(tx, slug, keys["device_id"])
    live = document["created"] <= now < document["expires"]
    return {
        "device_id": keys["device_id"],
        "created": document["created"],
        "expires": document["expires"],
        "ended": ended,
        "state": "ended" if ended is not None else "live" if live else "expired",
        "keys": keys["keys"],
        "record": explorer.brief(tx, record),
    }


async def agreement(explorer: Explorer, slug: str, version: int) -> dict[str, Any]:
    """One version of an agreement, and what it changed."""

    def read(tx: Transaction) -> dict[str, Any]:
        known = _known(explorer, tx, slug)
        held = explorer.consent.partners.agreements(tx, slug)
        if version not in held.versions:
            raise not_found(f"{slug} has no agreement of version {version}")
        skip = max(0, version - 2)  # versions count from 1 without a gap: the one before comes along
        *before, record = public.records_from(tx, slug, "agreement", skip, min(version, 2))
        return {
            "partner": {"slug": slug, "name": known.name, "url": explorer.subject_url(slug)},
            "version": version,
            "state": state_of(held, held.versions[version], explorer.clock()),
            "document": record["document"],
            "hash": document_hash(record["document"]),
            "signatures": _signatures(explorer, record["document"], known),
            "record": explorer.brief(tx, record),
            "ended": _ended(_endings(explorer, tx, slug), version) if version <= held.ended else None,
            "predecessor": agreement_url(slug, version - 1) if before else None,
            "successor": agreement_url(slug, version + 1) if version + 1 in held.versions else None,
            "differences": _differences(before[0]["document"], record["document"]) if before else None,
        }

    return await explorer.database.read(read)


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [change.rendered for change in differences(before, after, without=ALWAYS_DIFFERENT)]


def _signatures(explorer: Explorer, document: Mapping[str, Any], known: Partner) -> dict[str, Any]:
    """The two signatures that bind, by whom and with which key, and whether they verify (which anybody can redo)."""
    operator_key = explorer.consent.operator_key.public_key
    try:
        verify_agreement(
            document, server_name=explorer.server_name, operator_key=operator_key, master_key=known.master_key
        )
    except ProtocolError:
        verified = False
    else:
        verified = True
    sides = (
        ("operator", explorer.server_name, OPERATOR_KEY_ID, operator_key),
        ("partner", explorer.consent.partners.user_id(known.slug), f"ed25519:{known.master_key}", known.master_key),
    )
    signed = document.get("signatures", {})
    return {
        "verified": verified,
        "by": [
            {
                "side": side,
                "entity": entity,
                "key_id": key_id,
                "key": key,
                "signature": signed.get(entity, {}).get(key_id),
            }
            for side, entity, key_id, key in sides
        ],
    }
