"""Tokens that live for minutes: one to log in another device with, one that tells a third party who somebody is."""

from collections.abc import Callable

from paraph.server.accounts import store, tokens
from paraph.server.storage import Database, Transaction

LOGIN, OPENID = "login", "openid"
LIFETIMES_MS = {LOGIN: 2 * 60 * 1000, OPENID: 60 * 60 * 1000}
KEEP = 10
"""Of one person's tokens for one purpose only the newest ones live."""


class ShortTokens:
    """Makes and knows them; the database has their hashes. `clock` gives milliseconds."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock

    async def create(self, user_id: str, purpose: str) -> str:
        """A new token for `LIFETIMES_MS[purpose]`."""
        token, now = tokens.short_token(), self._clock()
        token_hash, expires = tokens.digest(token), now + LIFETIMES_MS[purpose]

        def write(tx: Transaction) -> str:
            store.drop_expired(tx, now)
            store.drop_older_short_tokens(tx, user_id, purpose, keep=KEEP - 1)
            store.add_short_token(tx, token_hash, purpose, user_id, expires)
            return token

        return await self._database.write(write)

    async def holder(self, token: str, purpose: str) -> str | None:
        """Whose token this is; None if nobody's, or no longer."""
        token_hash, now = tokens.digest(token), self._clock()
        return await self._database.read(lambda tx: store.short_token(tx, token_hash, purpose, now))

    def take(self, tx: Transaction, token: str, purpose: str) -> str | None:
        """The same within a write that uses the token up."""
        return store.take_short_token(tx, tokens.digest(token), purpose, self._clock())
