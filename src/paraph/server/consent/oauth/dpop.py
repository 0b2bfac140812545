"""Proofs of possession (DPoP, RFC 9449): who uses a token holds the key it is bound to.

A nonce is a time of the platform's clock and an HMAC over it, under a key that all processes share: nothing is kept,
and an old one is refused. Within a nonce's life a proof's `jti` is remembered, so that it is used once.
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

import msgspec

from paraph.protocol.base64 import b64url, unb64url
from paraph.protocol.canonical import decode
from paraph.protocol.errors import Base64Error, ProtocolError
from paraph.server.consent.oauth import jose, token_store
from paraph.server.consent.oauth.jose import BadToken
from paraph.server.storage import Database, Transaction

ALGORITHMS = ("Ed25519", "EdDSA", "ES256")
MAX_PROOF_BYTES = 8_192
MAX_SKEW_MS = 60_000
"""How far `iat` may be from the platform's clock, either way."""
MAX_JTI = 255
SLOT_MS = 30_000
"""How long the platform hands out the same nonce."""
NONCE_LIFETIME_MS = 120_000
REMEMBERED_MS = 2 * MAX_SKEW_MS
"""How long a proof can be used at all, from the first moment on at which its `iat` allows it."""
_TAG = 16


class BadProof(Exception):
    """The proof is refused: `code` is `invalid_dpop_proof` or `use_dpop_nonce` (RFC 9449 sections 5, 7.1 and 8)."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof that verified: the thumbprint of its key (RFC 7638), its id, and until when it could be used, in ms."""

    jkt: str
    jti: str
    expires: int

    @property
    def digest(self) -> bytes:
        """What tells this proof from others (32 bytes)."""
        return hashlib.sha256(f"{self.jkt} {self.jti}".encode()).digest()


class _Claims(msgspec.Struct, frozen=True):
    jti: str
    htm: str
    htu: str
    iat: int
    nonce: str | None = None
    ath: str | None = None


class Nonces:
    """Makes nonces and knows its own. `load` reads the key; until then none is made."""

    def __init__(self, clock: Callable[[], int], *, alone: bool) -> None:
        """`alone`: this process remembers used proofs by itself, so those of an earlier process are refused."""
        self._clock = clock
        self._since = clock() if alone else 0
        self._key = b""
        self._made: tuple[int, str] = (-1, "")

    def load(self, tx: Transaction) -> None:
        """Read the key, or make it at the first start; within a write."""
        self._key = token_store.secret(tx, "dpop-nonce")

    def current(self) -> str:
        """The nonce to hand out now."""
        now = self._clock()
        slot = max(now - now % SLOT_MS, self._since)
        if self._made[0] != slot:
            self._made = (slot, self._nonce(slot))
        return self._made[1]

    def accepts(self, nonce: str) -> bool:
        """Whether this is a nonce of ours that is not too old."""
        try:
            made = int.from_bytes(unb64url(nonce, 8 + _TAG)[:8], "big")
        except Base64Error:
            return False
        now = self._clock()
        if not max(self._since, now - NONCE_LIFETIME_MS) <= made <= now + SLOT_MS:
            return False
        return hmac.compare_digest(self._nonce(made), nonce)

    def _nonce(self, at: int) -> str:
        moment = at.to_bytes(8, "big")
        return b64url(moment + hmac.digest(self._key, b"dpop-nonce" + moment, "sha256")[:_TAG])


class UsedProofs:
    """Remembers proofs while they could be used again: in memory and, where processes may be several, the database."""

    def __init__(self, database: Database, clock: Callable[[], int], *, alone: bool) -> None:
        self._database = database
        self._clock = clock
        self._alone = alone
        self._turned = clock()
        self._new: set[bytes] = set()
        self._old: set[bytes] = set()

    async def use(self, proof: Proof) -> bool:
        """Use a proof; False if it was used before."""
        self._turn()
        if proof.digest in self._new or proof.digest in self._old:
            return False
        self._new.add(proof.digest)
        if self._alone:
            return True
        return await self._database.write(lambda tx: token_store.use_proof(tx, proof.digest, proof.expires))

    def _turn(self) -> None:
        now = self._clock()
        if now - self._turned >= REMEMBERED_MS:
            self._old = self._new if now - self._turned < 2 * REMEMBERED_MS else set()
            self._new, self._turned = set(), now


class Proofs:
    """Checks proofs at the token endpoint and at every endpoint of the Inbox API."""

    def __init__(self, database: Database, issuer: str, clock: Callable[[], int]) -> None:
        alone = database.dialect == "sqlite"  # one process at a time can hold such a database
        self.nonces = Nonces(clock, alone=alone)
        self._used = UsedProofs(database, clock, alone=alone)
        self._issuer = issuer
        self._clock = clock

    def verify(self, proofs: tuple[str, ...], method: str, path: str, token: str | None = None) -> Proof:
        """The one proof that came with a request, checked but for its having been used. Raises BadProof."""
        if len(proofs) != 1:
            raise _invalid(f"expected one DPoP header, found {len(proofs)}")
        try:
            jkt, claims = _opened(proofs[0])
            self._check(claims, method, path, token)
        except BadToken as error:
            raise _invalid(str(error)) from None
        if claims.nonce is None or not self.nonces.accepts(claims.nonce):
            raise BadProof("use_dpop_nonce", "the proof needs the nonce that this answer's DPoP-Nonce header gives")
        return Proof(jkt, claims.jti, claims.iat * 1000 + MAX_SKEW_MS)

    async def use(self, proof: Proof) -> None:
        """Use a proof, once. Raises BadProof."""
        if not await self._used.use(proof):
            raise _invalid("this proof was used before; make one with a new jti for each request")

    def _check(self, claims: _Claims, method: str, path: str, token: str | None) -> None:
        url = self._issuer + path
        if claims.htm != method:
            raise BadToken(f"htm must be {method}")
        if claims.htu != url and normal(claims.htu) != normal(url):
            raise BadToken(f"htu must be {url}")
        if abs(claims.iat * 1000 - self._clock()) > MAX_SKEW_MS:
            raise BadToken(f"iat is more than {MAX_SKEW_MS // 1000} s from the platform's clock")
        if not 1 <= len(claims.jti) <= MAX_JTI:
            raise BadToken(f"jti must have 1 to {MAX_JTI} characters")
        if token is not None and claims.ath != b64url(hashlib.sha256(token.encode()).digest()):
            raise BadToken("ath must be base64url(SHA-256(access token))")


def _opened(text: str) -> tuple[str, _Claims]:
    """Thumbprint of the key and claims of a proof whose signature verifies. Raises BadToken."""
    if len(text) > MAX_PROOF_BYTES:
        raise BadToken(f"a proof has at most {MAX_PROOF_BYTES} bytes")
    jwk = jose.unverified(text)[0].get("jwk")
    if not isinstance(jwk, dict):
        raise BadToken("expected the public key as jwk in the header")
    key, allowed = jose.public_key(jwk)
    payload = jose.verified(text, key, [name for name in allowed if name in ALGORITHMS], ("dpop+jwt",))
    try:
        return key.thumbprint(), msgspec.convert(decode(payload), _Claims)
    except (ProtocolError, msgspec.ValidationError) as error:
        raise BadToken(f"the claims do not fit: {error}") from None


def normal(url: str) -> str:
    """A URL without query and fragment, normalised (RFC 3986 sections 6.2.2 and 6.2.3); "" for what is none."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return ""
    scheme = parts.scheme.lower()
    shown = "" if port in (None, {"http": 80, "https": 443}.get(scheme)) else f":{port}"
    # Segment by segment: an escaped slash is none of the path's own.
    segments = (quote(unquote(segment), safe="") for segment in (parts.path or "/").split("/"))
    return f"{scheme}://{host}{shown}{'/'.join(segments)}"


def _invalid(message: str) -> BadProof:
    return BadProof("invalid_dpop_proof", message)
