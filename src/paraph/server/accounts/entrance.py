"""Ways in: a password, or a token that one of the person's other devices made for this one."""

from collections.abc import Callable, Mapping
from typing import Any

from paraph.server.accounts import names, store
from paraph.server.accounts.errors import BadLogin, missing
from paraph.server.accounts.model import LoginBody, Proof
from paraph.server.accounts.passwords import Passwords
from paraph.server.accounts.short_tokens import LOGIN, ShortTokens
from paraph.server.http import MatrixError
from paraph.server.http.limits import Limiter
from paraph.server.storage import Database, Transaction

PASSWORD, LOGIN_TOKEN = "m.login.password", "m.login.token"
Enter = Callable[[Transaction], str]
"""Says whose session begins, in the write that begins it; raises BadLogin."""


class Entrance:
    """Checks passwords and login tokens. Attempts count against the login limit of the account."""

    def __init__(
        self,
        database: Database,
        limiter: Limiter,
        passwords: Passwords,
        short_tokens: ShortTokens,
        server_name: str,
    ) -> None:
        self._database = database
        self._limiter = limiter
        self._passwords = passwords
        self._short_tokens = short_tokens
        self._server_name = server_name

    async def of(self, body: LoginBody) -> Enter:
        """Check a login as far as can be done before its write; raises BadLogin, M_UNKNOWN, M_MISSING_PARAM."""
        if body.type == LOGIN_TOKEN:
            return await self._by_token(body.token)
        if body.type == PASSWORD:
            return await self._by_password(body)
        known = f"{PASSWORD} or {LOGIN_TOKEN}"
        raise MatrixError(400, "M_UNKNOWN", f"expected the login type {known}, found {body.type[:40]!r}")

    async def _by_password(self, body: LoginBody) -> Enter:
        name = _login_name(body)
        if body.password is None:
            raise missing(["password"])
        user_id = self.named(name)
        proof = await self.prove(user_id, body.password)

        def enter(tx: Transaction) -> str:
            # A password that was changed meanwhile begins no session: its change has ended all that began with it.
            if not self.still_good(tx, user_id, proof):
                raise BadLogin
            if proof.rehashed is not None:
                store.rehash_password(tx, user_id, proof.rehashed)
            return user_id

        return enter

    async def _by_token(self, token: str | None) -> Enter:
        if token is None:
            raise missing(["token"])
        if await self._short_tokens.holder(token, LOGIN) is None:  # asked first: made-up tokens cost no write
            raise BadLogin

        def enter(tx: Transaction) -> str:
            user_id = self._short_tokens.take(tx, token, LOGIN)
            if user_id is None:
                raise BadLogin
            return user_id

        return enter

    def named(self, name: str) -> str:
        """The user id that a login name means, in lower case; one that cannot exist fails like a wrong password."""
        name = name.lower() if name.isascii() else name
        return name if name.startswith("@") else f"@{name}:{self._server_name}"

    async def prove(self, user_id: str, password: str) -> Proof:
        """Check a password against the account's; raises BadLogin, TooManyRequests."""
        names.check_password_length(password)
        self._limiter.check("login", user_id[:255])
        stored = await self._database.read(lambda tx: store.password(tx, user_id))
        verdict = await self._passwords.verify(password, None if stored is None else stored.hash)
        if stored is None or not verdict.right:
            raise BadLogin
        return Proof(stored.number, verdict.rehashed)

    def still_good(self, tx: Transaction, user_id: str, proof: Proof) -> bool:
        """Whether the password that was proven is still the account's."""
        stored = store.password(tx, user_id)
        return stored is not None and stored.number == proof.number


def _login_name(body: LoginBody) -> str:
    if body.identifier is not None:
        if body.identifier.type in _ADDRESSES:
            raise BadLogin
        if body.identifier.type != "m.id.user":
            raise MatrixError(400, "M_UNKNOWN", "expected an identifier of type m.id.user")
        name = body.identifier.user
    elif body.medium is not None or body.address is not None:
        raise BadLogin
    else:
        name = body.user
    if not name:
        raise missing(["identifier.user"])
    return name


_ADDRESSES = ("m.id.thirdparty", "m.id.phone")
"""Kinds of identifiers that name nobody here: accounts have no mail addresses and numbers."""


def name_in(auth: Mapping[str, Any]) -> str | None:
    """Whose password a stage of interactive authentication gives, if it says so."""
    identifier = auth.get("identifier")
    name = identifier.get("user") if isinstance(identifier, dict) else auth.get("user")
    return name if isinstance(name, str) else None
