"""How a partner proves who it is: signed assertions, and tokens bound to a key that signs each request (DPoP).

RFC 7523 (`private_key_jwt`), RFC 6749 section 4.4, RFC 9449.
"""

import hashlib
import secrets as randomness
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import httpx
import msgspec
from joserfc import jwt
from joserfc.jwk import OKPKey

from paraph.protocol.base64 import b64url
from paraph.sdk.errors import GrantTokenError, ProblemError, TransportError
from paraph.sdk.keystore import Records
from paraph.sdk.partner.client_assertion import JWT_BEARER, client_assertion, new_client_key
from paraph.sdk.transport import Transport

T = TypeVar("T")

TABLE = "partner"
GRANT_TOKENS = "grant-tokens"
TOKEN_SLACK_MS = 30_000
ALGORITHM = "Ed25519"
NONCE = "DPoP-Nonce"
OURS = ("/inbox/", "/oauth/")
BY_TOKEN = ("/inbox/", "/oauth/grants/")  # elsewhere under /oauth a partner authenticates by an assertion


class PartnerAuth:
    """Calls to the Inbox API with a valid token and a fresh proof each. The proof key stays in the partner's store."""

    def __init__(
        self,
        transport: Transport,
        records: Records,
        slug: str,
        issuer: str,
        client: OKPKey,
        now: Callable[[], int],
    ) -> None:
        """`issuer` is the platform's public URL, which assertions and proofs name; `now()` is in milliseconds."""
        self._transport = transport
        self._slug = slug
        self.issuer = issuer.rstrip("/")
        self._client = client
        self._now = now
        self._key = _proof_key(records)
        self._public = self._key.as_dict(private=False)
        self._nonce: str | None = None
        self._token: str | None = None
        self._until = 0
        transport.prove, transport.heard = self.prove, self._hear

    @property
    def token(self) -> str | None:
        """The access token in use."""
        return self._token

    def forget(self) -> None:
        """Ask for another token before the next call."""
        self._token, self._until = None, 0

    async def call(
        self,
        method: str,
        url: str,
        body: Mapping[str, Any] | None = None,
        *,
        params: Mapping[str, str | int] | None = None,
        idempotent: bool | None = None,
        wait_ms: int = 0,
    ) -> dict[str, Any]:
        """A call with a valid token; a token that was refused is replaced once, and a nonce that was old twice."""
        return await self._with_token(
            lambda: self._transport.json(method, url, body, params=params, idempotent=idempotent, wait_ms=wait_ms)
        )

    async def fetch(self, url: str, *, params: Mapping[str, str | int] | None = None) -> httpx.Response:
        """A GET of something that is no JSON, with its headers; as `call`."""
        return await self._with_token(lambda: self._transport.file(url, params=params))

    async def delete(self, url: str) -> None:
        """A DELETE that is answered with nothing; as `call`."""
        await self._with_token(lambda: self._transport.delete(url))

    async def _with_token(self, ask: Callable[[], Awaitable[T]]) -> T:
        async def attempt() -> T:
            await self._authenticate()
            return await ask()

        try:
            return await self._with_nonce(attempt)
        except ProblemError as error:
            if error.status != 401:
                raise
        self.forget()
        return await self._with_nonce(attempt)

    async def _with_nonce(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """The attempt, once more where the platform asks for a newer nonce: its answer has brought one."""
        try:
            return await attempt()
        except ProblemError as error:
            if not _asks_for_nonce(error):
                raise
        return await attempt()

    async def _authenticate(self) -> None:
        """Get an access token by a signed assertion, unless the last one is still good."""
        if self._token is not None and self._now() < self._until - TOKEN_SLACK_MS:
            return
        self.forget()
        answer = await self._ask()
        token, seconds = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(token, str) or not isinstance(seconds, int):
            raise TransportError("the token endpoint answered without a token")
        if str(answer.get("token_type")).lower() != "dpop":
            raise TransportError("the token endpoint gave a token that is not bound to this partner's key")
        self._token, self._until = token, self._now() + 1000 * seconds

    async def _ask(self) -> dict[str, Any]:
        """The answer of the token endpoint to what this authenticates by."""
        return await self.form("/oauth/token", {"grant_type": "client_credentials"})

    async def form(self, url: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        """POST a form to an OAuth endpoint, with a new assertion and proof."""

        return await self._with_nonce(lambda: self._transport.json("POST", url, form=self._signed(parameters)))

    async def tell(self, url: str, parameters: Mapping[str, str]) -> None:
        """POST a form to an OAuth endpoint that answers nothing."""
        await self._with_nonce(lambda: self._transport.tell(url, self._signed(parameters)))

    def _signed(self, parameters: Mapping[str, str]) -> dict[str, str]:
        made = client_assertion(self._slug, self.issuer, self._client, self._now() // 1000)
        return {**parameters, "client_assertion_type": JWT_BEARER, "client_assertion": made}

    def prove(self, method: str, path: str) -> dict[str, str]:
        """The headers of a request to the partners' APIs: a proof and, once there is one, the token."""
        if not path.startswith(OURS):
            return {}
        claims: dict[str, Any] = {
            "jti": randomness.token_urlsafe(16),
            "htm": method,
            "htu": self.issuer + path,
            "iat": self._now() // 1000,
        }
        if self._nonce is not None:
            claims["nonce"] = self._nonce
        headers = {}
        if self._token is not None and path.startswith(BY_TOKEN):
            claims["ath"] = b64url(hashlib.sha256(self._token.encode()).digest())
            headers["authorization"] = f"DPoP {self._token}"
        header = {"alg": ALGORITHM, "typ": "dpop+jwt", "jwk": self._public}
        return headers | {"dpop": jwt.encode(header, claims, self._key, algorithms=[ALGORITHM])}

    def _hear(self, headers: httpx.Headers) -> None:
        self._nonce = headers.get(NONCE, self._nonce)


class GrantTokens(msgspec.Struct, frozen=True):
    """What is kept of one person's grant: the token that gets its access tokens."""

    refresh_token: str

    def __repr__(self) -> str:
        return "GrantTokens()"


class GrantAuth(PartnerAuth):
    """Calls with the tokens of one person's grant. They see that grant alone, and end with it."""

    def __init__(
        self,
        transport: Transport,
        records: Records,
        slug: str,
        issuer: str,
        client: OKPKey,
        now: Callable[[], int],
        *,
        grant_id: str,
    ) -> None:
        """The grant's tokens are in the store (`keep`). `transport` is this object's own."""
        super().__init__(transport, records, slug, issuer, client, now)
        self._records = records
        self.grant_id = grant_id

    def use(self, access_token: str, until: int) -> None:
        """Take an access token that was given for this grant, good until a time in milliseconds."""
        self._token, self._until = access_token, until

    async def give_back(self) -> None:
        """Have the platform forget the tokens, and forget them here; the grant itself stays. Raises ProblemError."""
        await self.tell("/oauth/revoke", {"token": self._kept().refresh_token})
        self.forget()
        with self._records.step():
            self._records.delete(GRANT_TOKENS, self.grant_id)

    async def _ask(self) -> dict[str, Any]:
        form = {"grant_type": "refresh_token", "refresh_token": self._kept().refresh_token}
        try:
            answer = await self.form("/oauth/token", form)
        except ProblemError as error:
            if error.kind != "invalid_grant":
                raise
            raise GrantTokenError(self.grant_id, error.detail) from error
        if answer.get("grant_id") != self.grant_id:
            raise TransportError("the token endpoint gave a token for another grant")
        return answer

    def _kept(self) -> GrantTokens:
        kept = self._records.get(GRANT_TOKENS, self.grant_id, GrantTokens)
        if kept is None:
            raise GrantTokenError(self.grant_id, "this store holds none")
        return kept


def keep_tokens(records: Records, grant_id: str, refresh_token: str) -> None:
    """Keep the tokens of a grant, in place of older ones."""
    with records.step():
        records.put(GRANT_TOKENS, grant_id, GrantTokens(refresh_token))


def _proof_key(records: Records) -> OKPKey:
    """The key that the partner's tokens are bound to; made the first time."""
    known = records.get(TABLE, "dpop", dict[str, str])
    if known is None:
        known = new_client_key()
        with records.step():
            records.put(TABLE, "dpop", known)
    return OKPKey.import_key(dict(known))


def _asks_for_nonce(error: ProblemError) -> bool:
    return error.kind.endswith(("use_dpop_nonce", "use-dpop-nonce"))
