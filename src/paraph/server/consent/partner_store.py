"""Tables of partners, agreements and partner devices."""

from collections.abc import Iterable, Mapping
from typing import Any

from paraph.protocol.agreement import Agreement
from paraph.protocol.canonical import decode, encode
from paraph.protocol.partner_device import PartnerDevice
from paraph.server.consent.model import Agreements, Partner, agreement_of
from paraph.server.storage import Row, Transaction, load_sql

sql = load_sql("paraph.server.consent")


def partner(tx: Transaction, slug: str) -> Partner | None:
    """A registered partner."""
    row = tx.row(sql.partner, {"slug": slug})
    return None if row is None else _partner(row)


def partners(tx: Transaction) -> list[Partner]:
    """All registered partners by slug."""
    return [_partner(row) for row in tx.rows(sql.partners)]


def _partner(row: Row) -> Partner:
    slug, name, master_key, jwk = row
    return Partner(slug, name, master_key, decode(jwk.encode()))


def put_partner(tx: Transaction, made: Partner) -> None:
    """Register a partner, or change its name and client key."""
    jwk = encode(dict(made.client_jwk)).decode()
    tx.run(sql.put_partner, {"slug": made.slug, "name": made.name, "master_key": made.master_key, "client_jwk": jwk})


def redirect_uris(tx: Transaction, slug: str) -> list[str]:
    """The redirect URIs that are registered for a partner."""
    return [row[0] for row in tx.rows(sql.redirect_uris, {"partner": slug})]


def put_redirect_uris(tx: Transaction, slug: str, uris: Iterable[str]) -> None:
    """Register these redirect URIs for a partner, and no others."""
    tx.run(sql.drop_redirect_uris, {"partner": slug})
    for uri in uris:
        tx.run(sql.add_redirect_uri, {"partner": slug, "uri": uri})


def agreements(tx: Transaction, slug: str) -> Agreements:
    """All agreements of a partner."""
    versions, ended = {}, 0
    for text, ended_at in tx.rows(sql.agreements, {"partner": slug}):
        agreement = agreement_of(text)
        versions[agreement.version] = agreement
        if ended_at is not None:
            ended = agreement.version
    return Agreements(versions, ended)


def add_agreement(tx: Transaction, agreement: Agreement, document: Mapping[str, Any]) -> None:
    """Keep an agreement."""
    tx.run(
        sql.add_agreement,
        {
            "partner": agreement.partner,
            "version": agreement.version,
            "hash": agreement.hash,
            "document": encode(dict(document)).decode(),
        },
    )


def end_agreements(tx: Transaction, slug: str, upto: int, ended: int) -> None:
    """End a partner's agreements up to a version, at a time in milliseconds."""
    tx.run(sql.end_agreements, {"partner": slug, "version": upto, "ended": ended})


def partner_device(tx: Transaction, slug: str, device_id: str) -> tuple[dict[str, Any], str, int | None] | None:
    """A partner device's document, document hash and end."""
    row = tx.row(sql.partner_device, {"partner": slug, "device_id": device_id})
    return None if row is None else (decode(row[0].encode()), row[1], row[2])


def live_devices(tx: Transaction, slug: str, at: int) -> dict[str, dict[str, Any]]:
    """Device keys, by device id, of the partner's devices that may be used at a time in milliseconds."""
    rows = tx.rows(sql.live_partner_devices, {"partner": slug, "at": at})
    return {device_id: decode(text.encode())["device_keys"] for device_id, text in rows}


def add_device(tx: Transaction, device: PartnerDevice, document: Mapping[str, Any]) -> None:
    """Keep a partner device."""
    tx.run(
        sql.add_partner_device,
        {
            "partner": device.partner,
            "device_id": device.device_id,
            "hash": device.hash,
            "document": encode(dict(document)).decode(),
            "created": device.created,
            "expires": device.expires,
        },
    )


def end_device(tx: Transaction, slug: str, device_id: str, ended: int) -> None:
    """End a partner device."""
    tx.run(sql.end_partner_device, {"partner": slug, "device_id": device_id, "ended": ended})
