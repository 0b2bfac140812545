"""Strings that a partner carries and cannot read, compare across partners or make up: states, cursors, handles.

A position in the server's one order would tell every partner how much the whole platform says. So what a string holds
is sealed with AES-SIV (RFC 5297: deterministic, no nonce to keep), bound to the partner and to what it is for.
"""

import hmac
import secrets
from collections.abc import Mapping
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from paraph.protocol.base64 import b64url, unb64url
from paraph.protocol.canonical import encode
from paraph.protocol.errors import ProtocolError
from paraph.server.http import Problem
from paraph.server.inbox.feed import store
from paraph.server.storage import Database, Transaction

MAX_LENGTH = 1024
"""Characters of an opaque string; no own one is longer."""
_SECRET = "opaque"  # noqa: S105 (the name of a secret)
_BLOCK = 16


class Opaque:
    """Seals and opens; one key for all processes, kept in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._root = b""

    async def start(self) -> None:
        """Read the key, or make it."""
        self._root = await self._database.write(self._read)
        self._siv = AESSIV(self.key("siv") + self.key("siv, second half"))

    def _read(self, tx: Transaction) -> bytes:
        store.add_secret(tx, _SECRET, secrets.token_bytes(32))
        return store.secret(tx, _SECRET)

    def key(self, purpose: str) -> bytes:
        """A key (32 bytes) of its own for something else that all processes must agree on."""
        return hmac.digest(self._root, b"paraph/inbox/v1/" + purpose.encode(), "sha256")

    def seal(self, kind: str, slug: str, members: Mapping[str, Any]) -> str:
        """`members` (canonical JSON) for this partner and this kind of string. Equal ones give equal strings.

        Lengths are rounded up, so that no number shows how many digits it has.
        """
        plain = encode(dict(members))
        plain += b" " * (-len(plain) % _BLOCK)
        return b64url(self._siv.encrypt(plain, _associated(kind, slug)))

    def open(self, kind: str, slug: str, text: str) -> dict[str, Any]:
        """What `seal` put in for the same partner and kind. Raises Problem `bad-state` for anything else."""
        try:
            if len(text) > MAX_LENGTH:
                raise ValueError("too long")
            opened = self._siv.decrypt(unb64url(text), _associated(kind, slug))
            members: dict[str, Any] = msgspec.json.decode(opened)
        except (InvalidTag, ProtocolError, ValueError):
            raise bad_state(f"this is not a {kind} that you were given") from None
        return members


def bad_state(message: str) -> Problem:
    """A string that does not open, or was given for something else than it is used for."""
    return Problem(400, "bad-state", message)


def _associated(kind: str, slug: str) -> list[bytes]:
    return [b"paraph/opaque/v1", kind.encode(), slug.encode()]
