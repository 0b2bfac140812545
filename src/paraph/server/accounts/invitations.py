"""Registration tokens: what the operator gives to people where registration = token."""

from collections.abc import Callable

from paraph.server.accounts import store, tokens
from paraph.server.accounts.model import Invitation
from paraph.server.http import MatrixError
from paraph.server.storage import Database, Transaction

MAX_USES = 100_000
MAX_LIFETIME_MS = 10 * 366 * 86_400_000


class Invitations:
    """Makes, checks, lists and revokes registration tokens. `clock` gives milliseconds."""

    def __init__(self, database: Database, clock: Callable[[], int]) -> None:
        self._database = database
        self._clock = clock

    async def create(self, uses: int, expires: int | None = None) -> tuple[str, Invitation]:
        """A token good for `uses` accounts until `expires` (ms; None: for ever), and how the list shows it.

        The token is shown once and kept as a hash. Raises M_INVALID_PARAM.
        """
        now = self._clock()
        if not 1 <= uses <= MAX_USES:
            raise MatrixError(400, "M_INVALID_PARAM", f"uses is {uses}; expected 1 to {MAX_USES}")
        if expires is not None and not now < expires <= now + MAX_LIFETIME_MS:
            raise MatrixError(
                400, "M_INVALID_PARAM", f"expires is {expires}; expected milliseconds, later than now, within ten years"
            )
        token, invitation = tokens.registration_token(), Invitation(tokens.registration_id(), uses, 0, now, expires)
        await self._database.write(lambda tx: store.add_registration_token(tx, tokens.digest(token), invitation))
        return token, invitation

    async def is_valid(self, token: str) -> bool:
        """Whether a token is good for one more account."""
        token_hash, now = tokens.digest(token), self._clock()
        return await self._database.read(lambda tx: store.registration_token_is_valid(tx, token_hash, now))

    def use(self, tx: Transaction, token_hash: bytes) -> bool:
        """Use a token once within a write; False if it was used up, revoked, or has expired."""
        return store.use_registration_token(tx, token_hash, self._clock())

    async def listed(self, after: str, limit: int) -> list[Invitation]:
        """Tokens whose id sorts after `after`, at most `limit`; those used up or expired as well."""
        return await self._database.read(lambda tx: store.registration_tokens(tx, after, limit))

    async def revoke(self, id_: str) -> None:
        """Forget a token: it lets nobody in any more. Raises M_NOT_FOUND."""
        if not await self._database.write(lambda tx: store.drop_registration_token(tx, id_)):
            raise MatrixError(404, "M_NOT_FOUND", "no such registration token")
