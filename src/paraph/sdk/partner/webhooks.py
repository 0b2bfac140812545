"""Webhooks at the partner's end: the platform says that something changed, and the partner asks what.

Standard Webhooks with asymmetric signatures: `webhook-signature` holds `v1a,<base64>`, Ed25519 over `id.timestamp.body`
by a key that the platform publishes at `/oauth/jwks`. Nothing else is in a call: whoever reads, reads on the record.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from joserfc.jwk import OKPKey

from paraph.protocol.base64 import unb64url
from paraph.protocol.errors import ProtocolError
from paraph.sdk.errors import WebhookError
from paraph.sdk.partner.auth import PartnerAuth
from paraph.sdk.partner.client_assertion import client_assertion
from paraph.sdk.transport import Transport, path

TOLERANCE_MS = 300_000
"""How old a call may be, or how far ahead: an old one that somebody repeats says nothing new anyway."""
REFETCH_MS = 60_000
"""The platform's keys are fetched again no sooner: anybody can send a call with a bad signature."""
MAX_BODY = 16_384
CHANGED, VERIFY = "changed", "verify"


@dataclass(frozen=True, slots=True)
class Webhook:
    """A call that the platform made. `id` is the same each time that one message is tried; `ts` is in ms.

    `kind` is `changed`, or `verify` with a `challenge` to be answered.
    """

    id: str
    kind: str
    ts: int
    challenge: str | None = None


class _Body(msgspec.Struct, frozen=True):
    type: str
    timestamp: str
    challenge: str | None = None


def verify_webhook(
    headers: Mapping[str, str], body: bytes, jwks: Mapping[str, Any], *, now: int, tolerance_ms: int = TOLERANCE_MS
) -> Webhook:
    """Check that the platform whose keys are in `jwks` (RFC 7517) made this call, at about `now` (ms).

    `headers` as they came, their names in any case; `body` byte for byte. Raises WebhookError.
    """
    given = {name.lower(): value for name, value in headers.items()}
    try:
        message_id, seconds, signatures = (given[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
    except KeyError as error:
        raise WebhookError(f"the call has no header {error}") from None
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= 11) or len(body) > MAX_BODY:
        raise WebhookError("the call's time is no number of seconds, or its body is too long")
    if abs(now - 1000 * int(seconds)) > tolerance_ms:
        raise WebhookError("the call is too old, or ahead of this clock")
    _check_signature(f"{message_id}.{seconds}.".encode() + body, signatures, jwks)
    try:
        said = msgspec.json.decode(body, type=_Body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise WebhookError(f"the call says nothing that is known: {error}") from None
    if said.type not in (CHANGED, VERIFY) or (said.type == VERIFY) != (said.challenge is not None):
        raise WebhookError(f"the call is of no kind that is known: {said.type[:40]!r}")
    return Webhook(message_id, said.type, 1000 * int(seconds), said.challenge)


class Webhooks:
    """A partner's endpoints on one platform."""

    def __init__(
        self, transport: Transport, auth: PartnerAuth, slug: str, client: OKPKey, now: Callable[[], int]
    ) -> None:
        """`client` is the OAuth client key, which signs the answers to challenges."""
        self._transport = transport
        self._auth = auth
        self._slug = slug
        self._client = client
        self._now = now
        self._jwks: dict[str, Any] = {}
        self._fetched: int | None = None

    async def add(self, url: str) -> dict[str, Any]:
        """Have an endpoint told of changes. While this waits, the endpoint is called: it must `receive` and answer."""
        answer = await self._auth.call("POST", "/inbox/v1/webhooks", {"url": url})
        return dict(answer["webhook"])

    async def all(self) -> list[dict[str, Any]]:
        """The endpoints and how they fare."""
        return list((await self._auth.call("GET", "/inbox/v1/webhooks"))["webhooks"])

    async def remove(self, webhook_id: str) -> None:
        """Have an endpoint told nothing any more."""
        await self._auth.delete(path("/inbox/v1/webhooks/{}", webhook_id))

    async def receive(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[Webhook, bytes]:
        """Check a call to the endpoint at `url`; what was said, and what to answer with status 200.

        The platform's keys are fetched at the first call, and again for a signature that they do not explain. Raises
        WebhookError: answer 400, and do nothing.
        """
        found = await self._verified(headers, body)
        if found.challenge is None:
            return found, b"{}"
        echo = client_assertion(self._slug, url, self._client, self._now() // 1000, jti=found.challenge)
        return found, msgspec.json.encode({"challenge": echo})

    async def _verified(self, headers: Mapping[str, str], body: bytes) -> Webhook:
        now = self._now()
        if self._fetched is not None:
            try:
                return verify_webhook(headers, body, self._jwks, now=now)
            except WebhookError:
                if now - self._fetched < REFETCH_MS:
                    raise
        self._jwks = await self._transport.json("GET", "/oauth/jwks", public=True)
        self._fetched = now
        return verify_webhook(headers, body, self._jwks, now=now)


def _check_signature(signed: bytes, signatures: str, jwks: Mapping[str, Any]) -> None:
    """One signature by one of the keys is enough: keys change while messages are under way."""
    keys = [_key(jwk) for jwk in jwks.get("keys", ())]
    given = [text.removeprefix("v1a,") for text in signatures.split(" ") if text.startswith("v1a,")]
    for text in given[:20]:
        try:
            signature = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            continue
        if any(key is not None and _verifies(key, signature, signed) for key in keys):
            return
    raise WebhookError("no key of the platform signed this call")


def _verifies(key: Ed25519PublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True


def _key(jwk: Any) -> Ed25519PublicKey | None:
    """The key, if it is an Ed25519 one; others are for something else."""
    try:
        if (jwk["kty"], jwk["crv"]) != ("OKP", "Ed25519"):
            return None
        return Ed25519PublicKey.from_public_bytes(unb64url(jwk["x"], 32))
    except (KeyError, TypeError, ProtocolError, ValueError):
        return None
