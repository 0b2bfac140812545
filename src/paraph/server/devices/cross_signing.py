"""Cross-signing: a person's three keys, and signatures that vouch for devices and for other people.

Client-Server API v1.19, "Cross-signing". What is uploaded as a signature is kept only if it verifies, and shown only
to the person who made it; a person's signatures on her own keys are shown to everybody.
"""

from collections.abc import Mapping
from typing import Any

from paraph.protocol.signing import verify
from paraph.server.devices import checks, store
from paraph.server.devices.errors import bad_signature, invalid, named, not_found
from paraph.server.devices.lists import DeviceLists
from paraph.server.devices.model import CrossSigning, CrossSigningKey, Document, Failures, SigningUpload
from paraph.server.http import MatrixError
from paraph.server.storage import Transaction

USAGES = ("master", "self_signing", "user_signing")
MAX_TARGETS = 200
"""Signed objects in one request: each costs a signature check or more."""

Keys = dict[str, CrossSigningKey]


def checked(upload: SigningUpload, user_id: str) -> Keys:
    """The uploaded keys by usage, each judged alone; raises M_MISSING_PARAM, M_INVALID_PARAM or M_BAD_JSON."""
    given = {usage: getattr(upload, f"{usage}_key") for usage in USAGES}
    keys = {
        usage: checks.cross_signing_key(usage, document, user_id)
        for usage, document in given.items()
        if document is not None
    }
    if not keys:
        raise MatrixError(400, "M_MISSING_PARAM", "expected master_key, self_signing_key or user_signing_key")
    return keys


def replaces(tx: Transaction, user_id: str, keys: Keys) -> bool:
    """Whether an upload touches an identity that exists, beyond repeating it: then the person has to authenticate."""
    stored = store.cross_signing(tx, user_id)
    return stored.master is not None and not all(_repeats(stored, usage, key) for usage, key in keys.items())


def _repeats(stored: CrossSigning, usage: str, key: CrossSigningKey) -> bool:
    before = stored.get(usage)
    return before is not None and checks.same_object(before.document, key.document)


def put(tx: Transaction, lists: DeviceLists, user_id: str, keys: Keys) -> None:
    """Keep cross-signing keys; a new master key drops what the old one vouched for.

    Raises M_INVALID_PARAM (no master key, a key twice, a key named like a device) or M_INVALID_SIGNATURE (not
    signed by the master key).
    """
    stored = store.cross_signing(tx, user_id)
    master = keys.get("master") or stored.master
    if master is None:
        raise invalid("expected a master_key: there is none yet")
    for usage in ("self_signing", "user_signing"):
        if usage in keys:
            checks.signed_by(f"{usage}_key", keys[usage], user_id, master.public_key)
    keys = {usage: _merged(stored.get(usage), key) for usage, key in keys.items()}
    changed = {usage for usage, key in keys.items() if stored.get(usage) != key}
    if not changed:
        return
    new_master = stored.master is not None and stored.master.public_key != master.public_key
    kept = {} if new_master else {usage: key for usage in USAGES if (key := stored.get(usage)) is not None}
    _check_distinct(tx, user_id, kept | keys)
    for usage in USAGES:
        _replace(tx, user_id, usage, stored.get(usage), (kept | keys).get(usage))
    if changed == {"user_signing"}:  # which nobody else ever sees
        lists.note_shared(tx, user_id, user_id)
    else:
        lists.note_changed(tx, user_id)


def _merged(before: CrossSigningKey | None, after: CrossSigningKey) -> CrossSigningKey:
    if before is None or not checks.same_object(before.document, after.document):
        return after
    return CrossSigningKey(after.public_key, checks.merged(before.document, after.document))


def _check_distinct(tx: Transaction, user_id: str, keys: Keys) -> None:
    public_keys = [key.public_key for key in keys.values()]
    if len(set(public_keys)) != len(public_keys):
        raise invalid("expected three different cross-signing keys")
    if taken := set(public_keys) & set(store.device_ids(tx, user_id)):
        raise invalid(f"expected keys that no device is called by, found {min(taken)}")


def _replace(
    tx: Transaction, user_id: str, usage: str, before: CrossSigningKey | None, after: CrossSigningKey | None
) -> None:
    if before is not None and (after is None or after.public_key != before.public_key):
        store.drop_signatures_by(tx, user_id, f"ed25519:{before.public_key}")
        store.drop_signatures_on(tx, user_id, before.public_key)
    if after is None:
        store.drop_cross_signing_key(tx, user_id, usage)
    elif after is not before:
        store.put_cross_signing_key(tx, user_id, usage, after)


def add_signatures(
    tx: Transaction, lists: DeviceLists, user_id: str, signed: Mapping[str, Mapping[str, Any]]
) -> Failures:
    """Keep what a person signed: her own devices and master key, and other people's master keys.

    What does not verify is reported in the answer and not kept; the rest is. Raises M_INVALID_PARAM for too many.
    """
    if sum(len(objects) for objects in signed.values()) > MAX_TARGETS:
        raise invalid(f"expected at most {MAX_TARGETS} signed objects in one request")
    failures = Failures()
    for target, objects in signed.items():
        added = False
        for key_id, document in objects.items():
            try:
                _add_signatures(tx, user_id, target, key_id, document)
                added = True
            except MatrixError as error:
                failures.add(target, key_id, error.code, error.message)
        if added and target == user_id:
            lists.note_changed(tx, user_id)
        elif added:  # only the signer sees this signature: her other devices look again
            lists.note_shared(tx, user_id, target)
    return failures


def _add_signatures(tx: Transaction, user_id: str, target: str, key_id: str, document: object) -> None:
    if not isinstance(document, dict):
        raise invalid("expected the signed object")
    made = _made_by(user_id, document)
    known, signers = _target(tx, user_id, target, key_id, made)
    with named("the signed object"):
        if not checks.same_object(known, document):
            raise invalid("the signed object differs from the one that is stored")
        found = {signer: signature for signer, signature in made.items() if signer in signers}
        if not found:
            raise bad_signature("expected a signature by a key that may sign this object")
        plain = {name: value for name, value in document.items() if name != "unsigned"}
        for signer in found:
            verify(plain, user_id, signer, signers[signer])
    for signer, signature in found.items():
        store.put_signature(tx, (target, key_id), (user_id, signer), signature)


def _made_by(user_id: str, document: Document) -> dict[str, str]:
    signatures = document.get("signatures")
    made = signatures.get(user_id) if isinstance(signatures, dict) else None
    if not isinstance(made, dict) or not all(isinstance(signature, str) for signature in made.values()):
        raise bad_signature(f"expected signatures of {user_id}")
    return made


def _target(
    tx: Transaction, user_id: str, target: str, key_id: str, made: Mapping[str, str]
) -> tuple[Document, dict[str, str]]:
    """The stored object, and by key id the public keys that may sign it. Raises M_NOT_FOUND."""
    own = store.cross_signing(tx, user_id)
    if target != user_id:
        theirs = store.cross_signing(tx, target).master
        if theirs is None or theirs.public_key != key_id:
            raise not_found(f"{target} has no such master key; devices of others cannot be signed")
        return theirs.document, _signer(own.user_signing)
    device = store.device(tx, user_id, key_id)
    if device is not None and device.device_keys is not None:
        return device.device_keys, _signer(own.self_signing) | _device_signer(tx, user_id, key_id)
    if own.master is not None and own.master.public_key == key_id:
        devices: dict[str, str] = {}
        for signer in made:
            devices |= _device_signer(tx, user_id, signer.removeprefix("ed25519:"))
        return own.master.document, devices | _signer(own.master)
    raise not_found("no device and no master key of this person has this id")


def _signer(key: CrossSigningKey | None) -> dict[str, str]:
    return {} if key is None else {f"ed25519:{key.public_key}": key.public_key}


def _device_signer(tx: Transaction, user_id: str, device_id: str) -> dict[str, str]:
    device = store.device(tx, user_id, device_id)
    if device is None or device.device_keys is None:
        return {}
    key_id = f"ed25519:{device_id}"
    return {key_id: device.device_keys["keys"][key_id]}
