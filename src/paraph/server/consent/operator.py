"""The operator's signing key: `keys/operator.key`, an Ed25519 seed in unpadded base64."""

from pathlib import Path

from paraph.protocol.base64 import b64, unb64
from paraph.protocol.errors import Base64Error
from paraph.protocol.signing import SigningKey
from paraph.server.ledger.errors import StartRefused
from paraph.server.ledger.files import write_secret


def load_operator_key(path: Path) -> SigningKey:
    """The key in `path`, made at the first start; raises StartRefused if the file holds something else."""
    if not path.exists():
        write_secret(path, b64(SigningKey.generate().seed) + "\n")
    try:
        return SigningKey.from_seed(unb64(path.read_text(encoding="ascii").strip(), 32))
    except (Base64Error, UnicodeDecodeError) as error:
        raise StartRefused(f"{path} is not an operator key (32 bytes of unpadded base64): {error}") from error
