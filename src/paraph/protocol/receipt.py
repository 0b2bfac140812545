"""`org.paraph.receipt`: the platform's signed promise that a leaf will be in the log, and until when.

It is signed by a key of its own, not by the log's: the log key signs trees only, in one process, while receipts are
signed wherever an answer leaves. Which key that is, the log says (`receipt_key` in the newest `platform` leaf).
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from paraph.protocol.base64 import b64url, unb64
from paraph.protocol.documents import Document, parse
from paraph.protocol.errors import DocumentError, ProtocolError
from paraph.protocol.fields import Hash, Time
from paraph.protocol.identifiers import PLATFORM
from paraph.protocol.limits import MAX_TIME, MERGE_DELAY_MS
from paraph.protocol.signing import KEY_LENGTH, Signer, sign, verify

KEY_ID = "ed25519:receipt"
"""Under which the receipt key signs, as the platform's entity `<server_name>`."""
_LOG = "/log"
"""What the origin of a platform's log has behind the server's name."""

Origin = Annotated[str, Meta(pattern=r"^[!-*,-~]+\Z", max_length=300)]
"""Origin line of a log: no space and no plus sign (C2SP signed-note, key names)."""


class Receipt(Document, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The leaf with this hash (RFC 6962 leaf hash) will be in the tree of `log` by `deadline`."""

    type: Literal["org.paraph.receipt"]
    log: Origin
    leaf: Hash
    deadline: Time


def deadline_of(ts: int) -> int:
    """By when a leaf whose entry names the time `ts` must be in the log; both in milliseconds."""
    return min(ts + MERGE_DELAY_MS, MAX_TIME)


def server_of(log: str) -> str:
    """The server whose log has this origin, `<server_name>/log`: the entity that signs. Raises DocumentError."""
    server_name = log.removesuffix(_LOG)
    if server_name in ("", log):
        raise DocumentError(f"expected the origin <server_name>{_LOG}, found {log[:80]!r}")
    return server_name


def make_receipt(log: str, leaf_hash: bytes, ts: int, signer: Signer) -> dict[str, Any]:
    """A receipt, signed with the receipt key, for the leaf of an entry of time `ts` (milliseconds)."""
    unsigned = {"type": "org.paraph.receipt", "log": log, "leaf": b64url(leaf_hash), "deadline": deadline_of(ts)}
    return sign(unsigned, server_of(log), KEY_ID, signer)


def verify_receipt(document: Mapping[str, Any], *, log: str, receipt_key: str) -> Receipt:
    """Check that `receipt_key` (unpadded base64) signed a receipt of this log; raises ProtocolError.

    Which leaf and deadline it names is compared by the caller, who knows the entry or the leaf.
    """
    receipt = parse(Receipt, document)
    if receipt.log != log:
        raise DocumentError(f"expected a receipt of the log {log}, found one of {receipt.log}")
    verify(document, server_of(log), KEY_ID, receipt_key)
    return receipt


def receipt_key_of(record: Mapping[str, Any], log: str) -> str:
    """The receipt key (unpadded base64) that a `platform` record {kind, partner, ts, document} of this log names.

    Other members of the document are the platform's own affair. Raises DocumentError.
    """
    document = record.get("document")
    if (record.get("kind"), record.get("partner")) != (PLATFORM, PLATFORM) or not isinstance(document, Mapping):
        raise DocumentError("expected a record of kind platform about the platform")
    if document.get("server_name") != server_of(log):
        raise DocumentError(f"expected the platform {server_of(log)}, found {str(document.get('server_name'))[:80]!r}")
    key = document.get("receipt_key")
    try:
        unb64(key if isinstance(key, str) else "", KEY_LENGTH)
    except ProtocolError as error:
        raise DocumentError(f"expected a receipt key in the platform's record: {error}") from error
    return str(key)
