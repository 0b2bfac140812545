"""Key files of partners and operators: one seed a file, readable by their owner alone."""

import json
import os
from pathlib import Path
from typing import Any

from joserfc.jwk import OKPKey

from paraph.cli.output import fail
from paraph.protocol.base64 import Base64Error, b64, unb64
from paraph.protocol.signing import SigningKey

MASTER, CLIENT = "master.key", "client.jwk"


def write_private(path: Path, text: str) -> None:
    """Write `text` to a new file with mode 0600; an existing file is never overwritten."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        fail(f"{path} exists already; keys are never overwritten")
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def read_signing_key(path: Path) -> SigningKey:
    """The Ed25519 key whose seed (unpadded base64) a file holds."""
    try:
        return SigningKey.from_seed(unb64(path.read_text(encoding="ascii").strip(), 32))
    except (OSError, UnicodeDecodeError, Base64Error) as error:
        fail(f"{path} is not a key file of Paraph: {error}")


def make_partner_keys(folder: Path) -> dict[str, Any]:
    """Make a partner's master key and its OAuth client key in `folder`; returns the public halves."""
    master = SigningKey.generate()
    client = OKPKey.generate_key("Ed25519", {"use": "sig", "alg": "Ed25519"}, auto_kid=True)
    write_private(folder / MASTER, b64(master.seed) + "\n")
    write_private(folder / CLIENT, json.dumps(client.as_dict(private=True)) + "\n")
    public = {"master_key": master.public_key, "client_jwk": client.as_dict(private=False)}
    (folder / "public.json").write_text(json.dumps(public, indent=2) + "\n", encoding="utf-8")
    return public


def read_public(path: Path) -> dict[str, Any]:
    """The public halves that `make_partner_keys` wrote: `{master_key, client_jwk}`."""
    try:
        public: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {"master_key": public["master_key"], "client_jwk": public["client_jwk"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        fail(f"{path} does not hold a partner's public keys: {error}")
