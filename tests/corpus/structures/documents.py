"""Signed documents: receipts, agreements, grants with their chains, amendments, devices."""

from collections.abc import Callable
from typing import Any

from paraph.protocol.agreement import verify_agreement
from paraph.protocol.documents import parse
from paraph.protocol.enrolment import verify_enrolment
from paraph.protocol.errors import ProtocolError
from paraph.protocol.grant import Grant, verify_amendment, verify_grant
from paraph.protocol.partner_device import verify_partner_device
from paraph.protocol.receipt import make_receipt, verify_receipt
from paraph.protocol.signing import SigningKey, sign
from tests.corpus.honest import LABEL, LOG, TIME
from tests.corpus.structure import Structure
from tests.corpus.trees import of_json
from tests.protocol import examples
from tests.protocol.examples import KEYS, KNOWN

RECEIPT_KEY = examples.key(20)
OTHER_SIGNATURES = {
    "signatures.unknown member *": "signatures by others are neither needed nor looked at",
}

CHAIN = examples.chain()
CHANGE = {"op": "drop_rooms", "rooms": [examples.ROOMS[0]]}
GRANT = parse(Grant, examples.grant())


def sign_as(key: SigningKey, honest: dict[str, Any]) -> dict[str, Any]:
    """The same document with every signature made by another key, under the same names."""
    bare = {name: value for name, value in honest.items() if name != "signatures"}
    for entity, made in honest["signatures"].items():
        for key_id in made:
            bare = sign(bare, entity, key_id, key.sign)
    return bare


CHAIN_SIGNATURES = {
    "*_key*.signatures.unknown member *": "signatures by others are neither needed nor looked at",
    f"device_keys.signatures.{examples.AUTHOR}.ed25519:{examples.DEVICE}*": (
        "the self-signing key vouches for a device; that the device has its key is shown by the grant that it signed"
    ),
}


def document(
    name: str,
    honest: dict[str, Any],
    verify: Callable[[dict[str, Any]], Any],
    forged: dict[str, Any] | None = None,
    same: dict[str, str] | None = None,
) -> Structure:
    """A signed document: no member of it can change."""

    def read(value: dict[str, Any]) -> object:
        return verify(value).hash

    return Structure(name, honest, read, (ProtocolError,), of_json, forged=forged or {}, same=same or OTHER_SIGNATURES)


def _receipt(log: str = LOG.name, leaf: bytes = LABEL, ts: int = TIME, key: Any = RECEIPT_KEY) -> dict[str, Any]:
    return make_receipt(log, leaf, ts, key.sign)


STRUCTURES = (
    document(
        "receipt",
        _receipt(),
        lambda value: verify_receipt(value, log=LOG.name, receipt_key=RECEIPT_KEY.public_key),
        {
            "another log's": _receipt("other.example/log"),
            "an impostor's": _receipt(key=KEYS.stranger),
            "no receipt": examples.agreement(),
        },
    ),
    document("agreement", examples.agreement(), lambda value: verify_agreement(value, **KNOWN)),
    document(
        "partner device",
        examples.partner_device(),
        lambda value: verify_partner_device(value, server_name=examples.SERVER, master_key=KEYS.partner.public_key),
    ),
    document(
        "enrolment",
        examples.enrolment(),
        lambda value: verify_enrolment(value, master_key=KEYS.master.public_key),
        {"an impostor's": sign_as(KEYS.stranger, examples.enrolment())},
    ),
    document(
        "grant",
        examples.grant(),
        lambda value: verify_grant(value, CHAIN, master_key=KEYS.master.public_key),
        {"an impostor's": sign_as(KEYS.stranger, examples.grant())},
    ),
    document(
        "amendment",
        examples.amendment(CHANGE),
        lambda value: verify_amendment(value, CHAIN, grant=GRANT, master_key=KEYS.master.public_key),
        {"an impostor's": sign_as(KEYS.stranger, examples.amendment(CHANGE))},
    ),
    document(
        "chain of a grant",
        CHAIN,
        lambda value: verify_grant(examples.grant(), value, master_key=KEYS.master.public_key),
        same=CHAIN_SIGNATURES,
    ),
)
