"""Tables of enrolments, grants, versions, key shares and what rooms were told."""

from collections.abc import Mapping, Sequence
from typing import Any

from paraph.protocol.canonical import decode, encode
from paraph.protocol.enrolment import Enrolment
from paraph.server.consent.model import HeldAmendment, HeldGrant, amendment_of, grant_of
from paraph.server.storage import Row, Transaction, load_sql

sql = load_sql("paraph.server.consent")


def enrolment(tx: Transaction, person: str, device_id: str) -> tuple[str, dict[str, Any], int] | None:
    """Document hash, document and ledger entry of a device's enrolment."""
    row = tx.row(sql.enrolment, {"person": person, "device_id": device_id})
    return None if row is None else (row[0], decode(row[1].encode()), row[2])


def enrolments(tx: Transaction, person: str) -> dict[str, dict[str, Any]]:
    """The person's enrolments by device id."""
    return {device_id: decode(text.encode()) for device_id, text in tx.rows(sql.enrolments, {"person": person})}


def enrolled_ids(tx: Transaction, person: str) -> frozenset[str]:
    """Ids of the person's enrolled devices."""
    return frozenset(row[0] for row in tx.rows(sql.enrolled_ids, {"person": person}))


def put_enrolment(tx: Transaction, made: Enrolment, document: Mapping[str, Any], seq: int) -> None:
    """Keep a device's enrolment."""
    tx.run(
        sql.put_enrolment,
        {
            "person": made.user_id,
            "device_id": made.device_id,
            "hash": made.hash,
            "document": encode(dict(document)).decode(),
            "seq": seq,
        },
    )


def version(tx: Transaction, person: str) -> int:
    """The person's count of grant states; 0 if she never had a grant."""
    row = tx.row(sql.version, {"person": person})
    return 0 if row is None else int(row[0])


def people_with_versions(tx: Transaction) -> list[str]:
    """Everybody who ever had a grant."""
    return [row[0] for row in tx.rows(sql.people_with_versions)]


def bump_version(tx: Transaction, person: str) -> int:
    """Count a new grant state."""
    tx.run(sql.bump_version, {"person": person})
    return version(tx, person)


def version_for_device(tx: Transaction, person: str, device_id: str) -> int | None:
    """The person's count if this device is enrolled, else None."""
    row = tx.row(sql.version_for_device, {"person": person, "device_id": device_id})
    return None if row is None else int(row[0])


def grant(tx: Transaction, grant_id: str) -> HeldGrant | None:
    """A grant by its id."""
    row = tx.row(sql.grant, {"grant_id": grant_id})
    return None if row is None else _held(tx, row)


def is_open(tx: Transaction, grant_id: str, at: int) -> bool:
    """Whether a grant is neither revoked nor ended nor run out at a time in milliseconds."""
    return tx.row(sql.open_grant, {"grant_id": grant_id, "at": at}) is not None


def grants_of(tx: Transaction, person: str) -> list[HeldGrant]:
    """All the person's grants, oldest first."""
    return [_held(tx, row) for row in tx.rows(sql.grants_of, {"person": person})]


def count_open(tx: Transaction, person: str, at: int) -> int:
    """How many of the person's grants are neither revoked nor ended nor run out."""
    row = tx.row(sql.count_open_grants_of, {"person": person, "at": at})
    return 0 if row is None else int(row[0])


def open_grants_of(tx: Transaction, person: str, at: int) -> list[HeldGrant]:
    """The person's grants that are neither revoked nor ended nor run out."""
    return [_held(tx, row) for row in tx.rows(sql.open_grants_of, {"person": person, "at": at})]


def open_grants_between(tx: Transaction, person: str, partner: str, at: int) -> list[HeldGrant]:
    """Of those, the ones to one partner."""
    rows = tx.rows(sql.open_grants_between, {"person": person, "partner": partner, "at": at})
    return [_held(tx, row) for row in rows]


def open_grants_to(tx: Transaction, partner: str, at: int) -> list[HeldGrant]:
    """Everybody's grants to one partner that are neither revoked nor ended nor run out."""
    return [_held(tx, row) for row in tx.rows(sql.open_grants_to, {"partner": partner, "at": at})]


def open_grantors_to(tx: Transaction, partner: str, at: int) -> list[str]:
    """The people behind them."""
    return [row[0] for row in tx.rows(sql.open_grantors_to, {"partner": partner, "at": at})]


def _held(tx: Transaction, row: Row) -> HeldGrant:
    grant_id, hash_, text, chain, seq, version_, revocation, revocation_seq, revocation_version, ended = row
    return HeldGrant(
        grant_of(text),
        decode(text.encode()),
        decode(chain.encode()),
        hash_,
        seq,
        version_,
        tuple(_amendment(found) for found in tx.rows(sql.amendments, {"grant_id": grant_id})),
        None if revocation is None else decode(revocation.encode()),
        revocation_seq,
        revocation_version,
        None if ended is None else decode(ended.encode()),
    )


def _amendment(row: Row) -> HeldAmendment:
    hash_, text, chain, seq, version_ = row
    return HeldAmendment(amendment_of(text), decode(text.encode()), decode(chain.encode()), hash_, seq, version_)


def add_grant(tx: Transaction, held: HeldGrant) -> None:
    """Keep a new grant."""
    tx.run(
        sql.add_grant,
        {
            "grant_id": held.grant.grant_id,
            "person": held.grant.person,
            "partner": held.grant.partner,
            "agreement_version": held.grant.agreement.version,
            "until": held.grant.until,
            "hash": held.hash,
            "document": encode(held.document).decode(),
            "chain": encode(held.chain).decode(),
            "seq": held.seq,
            "version": held.version,
        },
    )


def revoke_grant(tx: Transaction, grant_id: str, revocation: dict[str, Any], seq: int, version_: int) -> None:
    """Keep a grant's revocation."""
    text = encode(revocation).decode()
    tx.run(sql.revoke_grant, {"grant_id": grant_id, "revocation": text, "seq": seq, "version": version_})


def end_grants(tx: Transaction, partner: str, upto: int, ended: dict[str, Any]) -> None:
    """End every open grant under a partner's agreements up to a version."""
    tx.run(sql.end_grants, {"partner": partner, "version": upto, "ended": encode(ended).decode()})


def add_amendment(tx: Transaction, held: HeldAmendment) -> None:
    """Keep an amendment."""
    tx.run(
        sql.add_amendment,
        {
            "grant_id": held.amendment.grant_id,
            "seq": held.seq,
            "hash": held.hash,
            "document": encode(held.document).decode(),
            "chain": encode(held.chain).decode(),
            "version": held.version,
        },
    )


def key_share(tx: Transaction, person: str, device_id: str, grant_id: str, txn_id: str) -> list[int] | None:
    """The ledger entries of a key-share request that was answered before."""
    params = {"person": person, "device_id": device_id, "grant_id": grant_id, "txn_id": txn_id}
    row = tx.row(sql.key_share, params)
    return None if row is None else decode(row[0].encode())


def add_key_share(
    tx: Transaction, person: str, device_id: str, grant_id: str, txn_id: str, seqs: Sequence[int]
) -> None:
    """Remember the answer to a key-share request."""
    params = {"person": person, "device_id": device_id, "grant_id": grant_id, "txn_id": txn_id}
    tx.run(sql.add_key_share, {**params, "seqs": encode(list(seqs)).decode()})


def room_notice(tx: Transaction, person: str, room_id: str) -> dict[str, Any] | None:
    """What `org.paraph.grant` says last in a room for an author."""
    row = tx.row(sql.room_notice, {"person": person, "room_id": room_id})
    return None if row is None else decode(row[0].encode())


def rooms_with_notices(tx: Transaction, person: str) -> set[str]:
    """Rooms that were ever told of the author's grants."""
    return {row[0] for row in tx.rows(sql.rooms_with_notices, {"person": person})}


def put_room_notice(tx: Transaction, person: str, room_id: str, content: dict[str, Any]) -> None:
    """Remember what a room was told."""
    tx.run(sql.put_room_notice, {"person": person, "room_id": room_id, "content": encode(content).decode()})
