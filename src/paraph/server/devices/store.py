"""The tables of devices and keys. Waiting messages and change lists: `queue_store`, `list_store`."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from paraph.protocol.canonical import encode
from paraph.server.devices.checks import OneTimeKey
from paraph.server.devices.model import CrossSigning, CrossSigningKey, Device, Document, KeyCounts
from paraph.server.storage import Row, Transaction, load_sql

sql = load_sql("paraph.server.devices")

_json = msgspec.json.Decoder()


def _text(document: Mapping[str, Any]) -> str:
    return encode(dict(document)).decode()


def _device(row: Row) -> Device:
    return Device(row[0], row[1], None if row[2] is None else _json.decode(row[2]))


def _of(user_id: str, device_id: str) -> dict[str, Any]:
    return {"user_id": user_id, "device_id": device_id}


# --- Devices


def put_device(tx: Transaction, user_id: str, device_id: str, display_name: str | None, now: int) -> None:
    """Make the device, or rename it if a name is given."""
    tx.run(sql.put_device, _of(user_id, device_id) | {"display_name": display_name, "created": now})


def set_display_name(tx: Transaction, user_id: str, device_id: str, display_name: str | None) -> None:
    """Rename the device."""
    tx.run(sql.set_display_name, _of(user_id, device_id) | {"display_name": display_name})


def devices(tx: Transaction, user_id: str) -> list[Device]:
    """A person's devices, by id."""
    return [_device(row) for row in tx.rows(sql.devices_of, {"user_id": user_id})]


def device(tx: Transaction, user_id: str, device_id: str) -> Device | None:
    """One device, or None."""
    row = tx.row(sql.device, _of(user_id, device_id))
    return None if row is None else _device(row)


def device_ids(tx: Transaction, user_id: str) -> list[str]:
    """The ids of a person's devices, in order."""
    return [row[0] for row in tx.rows(sql.device_ids, {"user_id": user_id})]


def set_device_keys(tx: Transaction, user_id: str, device_id: str, device_keys: Document) -> None:
    """Keep the device's keys."""
    tx.run(sql.set_device_keys, _of(user_id, device_id) | {"device_keys": _text(device_keys)})


def drop_device(tx: Transaction, user_id: str, device_id: str) -> None:
    """Remove the device and all that it had: keys, signatures by and on it, waiting messages, transactions."""
    which = _of(user_id, device_id)
    for statement in (
        sql.drop_device,
        sql.drop_one_time_keys,
        sql.drop_fallback_keys,
        sql.drop_queue,
        sql.drop_transactions,
    ):
        tx.run(statement, which)
    drop_signatures_on(tx, user_id, device_id)
    drop_signatures_by(tx, user_id, f"ed25519:{device_id}")


# --- One-time and fallback keys


def one_time_keys(tx: Transaction, user_id: str, device_id: str) -> dict[tuple[str, str], tuple[str, bool]]:
    """(algorithm, key id) -> (key text, already claimed) of all that is known of a device."""
    rows = tx.rows(sql.one_time_keys, _of(user_id, device_id))
    return {(algorithm, key_id): (key, bool(claimed)) for algorithm, key_id, key, claimed in rows}


def add_one_time_keys(tx: Transaction, user_id: str, device_id: str, keys: Iterable[OneTimeKey]) -> None:
    """Keep new one-time keys, in order."""
    tx.run_many(sql.add_one_time_key, [_key(user_id, device_id, key) for key in keys])


def _key(user_id: str, device_id: str, key: OneTimeKey) -> dict[str, Any]:
    return _of(user_id, device_id) | {"algorithm": key.algorithm, "key_id": key.key_id, "key": key.text}


def drop_one_time_key(tx: Transaction, user_id: str, device_id: str, key: OneTimeKey) -> None:
    """Forget one unclaimed key."""
    which = {"algorithm": key.algorithm, "key_id": key.key_id}
    tx.run(sql.drop_one_time_key, _of(user_id, device_id) | which)


def fallback_keys(tx: Transaction, user_id: str, device_id: str) -> list[OneTimeKey]:
    """A device's fallback keys."""
    return [OneTimeKey(*row) for row in tx.rows(sql.fallback_keys, _of(user_id, device_id))]


def drop_fallback_key(tx: Transaction, user_id: str, device_id: str, key: OneTimeKey) -> None:
    """Forget one fallback key."""
    tx.run(sql.drop_fallback_key, _of(user_id, device_id) | {"algorithm": key.algorithm})


def forget_claimed_keys(tx: Transaction, user_id: str, device_id: str, keep: int) -> None:
    """Of the claimed keys remember only the newest `keep`."""
    tx.run(sql.forget_claimed_keys, _of(user_id, device_id) | {"keep": keep})


def claim_one_time_key(tx: Transaction, user_id: str, device_id: str, algorithm: str) -> tuple[str, str] | None:
    """Hand out the oldest key: its id and text, or None if none is left. Nobody gets the same one again."""
    rows = tx.rows(sql.claim_one_time_key, _of(user_id, device_id) | {"algorithm": algorithm})
    return (rows[0][0], rows[0][1]) if rows else None


def put_fallback_key(tx: Transaction, user_id: str, device_id: str, key: OneTimeKey) -> None:
    """Replace the fallback key of the key's algorithm; the same key again stays as used as it was."""
    tx.run(sql.put_fallback_key, _key(user_id, device_id, key))


def use_fallback_key(tx: Transaction, user_id: str, device_id: str, algorithm: str) -> tuple[str, str] | None:
    """The fallback key's id and text, now marked used; None if there is none."""
    rows = tx.rows(sql.use_fallback_key, _of(user_id, device_id) | {"algorithm": algorithm})
    return (rows[0][0], rows[0][1]) if rows else None


def key_counts(tx: Transaction, user_id: str, device_id: str) -> KeyCounts:
    """One-time keys left by algorithm, and the algorithms of unused fallback keys."""
    which = _of(user_id, device_id)
    counts = {row[0]: row[1] for row in tx.rows(sql.count_one_time_keys, which)}
    return KeyCounts(counts, [row[0] for row in tx.rows(sql.unused_fallback_types, which)])


# --- Cross-signing


def put_cross_signing_key(tx: Transaction, user_id: str, usage: str, key: CrossSigningKey) -> None:
    """Keep a cross-signing key."""
    tx.run(
        sql.put_cross_signing_key,
        {"user_id": user_id, "usage": usage, "public_key": key.public_key, "document": _text(key.document)},
    )


def drop_cross_signing_key(tx: Transaction, user_id: str, usage: str) -> None:
    """Remove a cross-signing key."""
    tx.run(sql.drop_cross_signing_key, {"user_id": user_id, "usage": usage})


def cross_signing(tx: Transaction, user_id: str) -> CrossSigning:
    """A person's cross-signing keys, as uploaded."""
    rows = tx.rows(sql.cross_signing_keys, {"user_id": user_id})
    return CrossSigning(**{usage: CrossSigningKey(public, _json.decode(text)) for usage, public, text in rows})


def put_signature(tx: Transaction, target: tuple[str, str], signer: tuple[str, str], signature: str) -> None:
    """Keep a verified signature: target is (user id, device id or master key), signer (user id, key id)."""
    tx.run(
        sql.put_signature,
        {
            "target_user_id": target[0],
            "target_key_id": target[1],
            "signer_user_id": signer[0],
            "signer_key_id": signer[1],
            "signature": signature,
        },
    )


def signatures_on(tx: Transaction, user_id: str, viewer: str) -> dict[str, list[tuple[str, str, str]]]:
    """Signatures on a person's keys by that person and by the viewer, and nobody else's.

    device id or master key -> [(signer's user id, signer's key id, signature)].
    """
    found: dict[str, list[tuple[str, str, str]]] = {}
    for target_key_id, *signed in tx.rows(sql.signatures_on, {"user_id": user_id, "viewer": viewer}):
        found.setdefault(target_key_id, []).append((signed[0], signed[1], signed[2]))
    return found


def drop_signatures_on(tx: Transaction, user_id: str, key_id: str) -> None:
    """Remove what anyone signed about a device or master key."""
    tx.run(sql.drop_signatures_on, {"user_id": user_id, "key_id": key_id})


def drop_signatures_by(tx: Transaction, user_id: str, key_id: str) -> None:
    """Remove what a key signed; `key_id` is `ed25519:…`."""
    tx.run(sql.drop_signatures_by, {"user_id": user_id, "key_id": key_id})
