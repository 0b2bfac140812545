"""`org.paraph.enrolment`: a person's device joins Paraph and commits to the account log key."""

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

from paraph.protocol.base64 import b64url
from paraph.protocol.documents import Document, parse
from paraph.protocol.errors import DocumentError
from paraph.protocol.fields import DeviceId, Hash, PersonId, PublicKey, Time
from paraph.protocol.signing import verify


class Enrolment(Document, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A device, its keys and the hash of the account log key; signed under the master key and by the device."""

    type: Literal["org.paraph.enrolment"]
    user_id: PersonId
    device_id: DeviceId
    master_key: PublicKey
    curve25519: PublicKey
    ed25519: PublicKey
    log_key_hash: Hash
    created: Time


def key_hash(key: bytes) -> str:
    """base64url(SHA-256(key)): how documents commit to an account log key or a grant key."""
    return b64url(hashlib.sha256(key).digest())


def verify_enrolment(document: Mapping[str, Any], *, master_key: str) -> Enrolment:
    """Check both signatures of an enrolment against the person's master key; raises ProtocolError."""
    enrolment = parse(Enrolment, document)
    if enrolment.master_key != master_key:
        raise DocumentError(f"expected the master key {master_key}, found {enrolment.master_key}")
    verify(document, enrolment.user_id, f"ed25519:{master_key}", master_key)
    verify(document, enrolment.user_id, f"ed25519:{enrolment.device_id}", enrolment.ed25519)
    return enrolment
