"""The log's signing key, `keys/log.key`, and the receipt key, `keys/receipt.key`, made at the first start.

The log key is never replaced. The receipt key can be: with the file gone, the next start makes another one and
publishes it in a `platform` leaf of its own. Receipts by the old one stay good, as does the leaf that named it.
"""

from pathlib import Path

from paraph.protocol.base64 import b64, unb64
from paraph.protocol.errors import Base64Error
from paraph.protocol.signing import SigningKey
from paraph.server.ledger.errors import StartRefused
from paraph.server.ledger.files import write_secret
from paraph.tlog import note


def load_log_key(path: Path, origin: str, *, new_log: bool) -> note.Signer:
    """The key in `path` (signed-note skey text), made first if there is no log yet.

    Raises StartRefused if the key is missing though a log exists, is malformed, or has another name than `origin`.
    """
    if not path.exists():
        if not new_log:
            raise StartRefused(f"{path} is missing, but the log that it signed exists; bring the key back")
        write_secret(path, note.Signer.generate(origin).skey + "\n")
    try:
        signer = note.Signer.from_skey(path.read_text(encoding="utf-8").strip())
    except ValueError as error:
        raise StartRefused(f"{path} is not a signed-note key: {error}") from error
    if signer.name != origin:
        raise StartRefused(f"{path} is the key of {signer.name}, but this log's origin is {origin}")
    return signer


def load_receipt_key(path: Path) -> SigningKey:
    """The key in `path` (an Ed25519 seed, unpadded base64), made first if there is none; raises StartRefused."""
    if not path.exists():
        write_secret(path, b64(SigningKey.generate().seed) + "\n")
    try:
        return SigningKey.from_seed(unb64(path.read_text(encoding="ascii").strip(), 32))
    except (Base64Error, UnicodeDecodeError) as error:
        raise StartRefused(f"{path} is not a receipt key (32 bytes of unpadded base64): {error}") from error
