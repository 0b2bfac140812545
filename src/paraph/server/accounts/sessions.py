"""Sessions: from a device's login to its logout, and the tokens that change in between.

A client may ask for tokens that it refreshes (Client-Server API v1.19, "Refreshing access tokens"). Then the session
has a pair: an access token that expires, and a refresh token. A refresh gives out the next pair as an *offer*; the
pair before it goes on working until a token of the offer is used, so an answer that was lost on its way locks nobody
out. The first offer used becomes the session's pair, and whatever else was given out is dead.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence

import structlog
from msgspec import UNSET

from paraph.server.accounts import store, tokens
from paraph.server.accounts.errors import SessionEnded, TokenExpired, TooManyDevices, UnknownRefreshToken
from paraph.server.accounts.model import LoggedIn, Offer, Refreshed, Session
from paraph.server.accounts.recent import Recent
from paraph.server.http import PersonPrincipal
from paraph.server.http.limits import Limiter
from paraph.server.storage import Announcement, Database, StorageError, Transaction

log = structlog.get_logger("paraph.accounts")

LoginHook = Callable[[Transaction, str, str, str | None], None]
"""(transaction, user id, device id, display name or None), in the write that begins a session."""
LogoutHook = Callable[[Transaction, str, str], None]
"""(transaction, user id, device id), in the write that ends a session."""

SEEN_EVERY_MS = 10 * 60 * 1000
ACCESS_LIFETIME_MS = 60 * 60 * 1000
MAX_CACHED_SESSIONS = 50_000
MAX_DEVICES = 100
MAX_OFFERS = 4
"""Unused pairs that one session keeps: requests at once, or answers lost in a row, that can all still be used."""
MAX_LAG = 1.0
"""Seconds for which a process that hears nothing of the others believes what it remembers of a session."""
_ENDED = "accounts.ended"


class Sessions:
    """Who is logged in. `clock` gives milliseconds; other rooms join through `on_login` and `on_logout`."""

    def __init__(self, database: Database, limiter: Limiter, clock: Callable[[], int], *, server_name: str) -> None:
        self._server_name = server_name
        self._database = database
        self._limiter = limiter
        self._clock = clock
        self._recent: Recent[bytes, Session] = Recent(MAX_CACHED_SESSIONS)
        self._endings = 0
        self._notes: set[asyncio.Task[None]] = set()
        self.on_login: list[LoginHook] = []
        self.on_logout: list[LogoutHook] = []
        database.listen(_ENDED, self._forget)

    # --- Whose token is this?

    async def authenticate(self, token: str) -> PersonPrincipal | None:
        """Whom an access token speaks for, or None; from memory for tokens seen lately. Raises TokenExpired."""
        token_hash = tokens.digest(token)
        session = self._recent.get(token_hash) if self._database.lag <= MAX_LAG else None
        session = session or await self._load(token_hash)
        if session is None:
            return None
        now = self._clock()
        if session.expires is not None and session.expires <= now:
            raise TokenExpired
        if now - session.last_seen >= SEEN_EVERY_MS:
            session.last_seen = now
            self._note_seen(token_hash, now)
        return session.principal

    def confirm(self, tx: Transaction, token: str) -> None:
        """Let a write go on only if the access token that asked for it still speaks for somebody; raises SessionEnded.

        What other processes ended is known by then, and what ended earlier in the same batch is gone from memory.
        """
        token_hash = tokens.digest(token)
        if self._recent.get(token_hash) is None and store.session(tx, token_hash) is None:
            raise SessionEnded

    async def _load(self, token_hash: bytes) -> Session | None:
        endings = self._endings
        session, offer = await self._database.read(
            lambda tx: (store.session(tx, token_hash), store.offer_by_token(tx, token_hash))
        )
        if offer is not None:
            if offer.expires <= self._clock():
                raise TokenExpired
            return await self._database.write(lambda tx: self._use_first(tx, token_hash))
        # A logout that became durable since the read began must not be undone by remembering what was read.
        if session is not None and endings == self._endings:
            self._recent.put(token_hash, session)
        return session

    def _use_first(self, tx: Transaction, token_hash: bytes) -> Session | None:
        offer = store.offer_by_token(tx, token_hash)
        if offer is not None:
            self._adopt(tx, offer)
        session = store.session(tx, token_hash)
        if session is not None:
            tx.after_commit(lambda: self._recent.put(token_hash, session))
        return session

    def _note_seen(self, token_hash: bytes, now: int) -> None:
        task = asyncio.get_running_loop().create_task(self._write_seen(token_hash, now))
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)

    async def _write_seen(self, token_hash: bytes, now: int) -> None:
        try:
            await self._database.write(lambda tx: store.set_last_seen(tx, token_hash, now))
        except StorageError as error:
            log.warning("last use of a session not noted", error=str(error))

    def last_seen(self, tx: Transaction, user_id: str) -> dict[str, int]:
        """When each logged-in device was last seen (ms), to within ten minutes."""
        return store.last_seen(tx, user_id)

    # --- Beginning and end

    def begin(
        self, tx: Transaction, principal: PersonPrincipal, display_name: str | None, *, refreshed: bool
    ) -> LoggedIn:
        """Begin a device's session within a write; the one it had ends. `refreshed`: its tokens are to expire.

        Raises TooManyDevices, and what the hooks raise.
        """
        user_id, device_id = principal.user_id, principal.device_id
        dead = store.take_sessions(tx, user_id, [device_id])
        if store.count_sessions(tx, user_id) >= MAX_DEVICES:
            raise TooManyDevices(MAX_DEVICES)
        now, token = self._clock(), tokens.access_token()
        refresh_token = tokens.refresh_token() if refreshed else UNSET
        store.add_session(
            tx,
            principal,
            now,
            token_hash=tokens.digest(token),
            expires=now + ACCESS_LIFETIME_MS if refreshed else None,
            refresh_hash=None if refresh_token is UNSET else tokens.digest(refresh_token),
        )
        for hook in self.on_login:
            hook(tx, user_id, device_id, display_name)
        self._announce(tx, dead)
        lifetime = ACCESS_LIFETIME_MS if refreshed else UNSET
        return LoggedIn(user_id, self._server_name, token, device_id, refresh_token, lifetime)

    def end(self, tx: Transaction, user_id: str, device_ids: Sequence[str]) -> None:
        """End the sessions of these devices within a write; every hook runs, logged in or not."""
        dead = store.take_sessions(tx, user_id, device_ids)
        for device_id in device_ids:
            for hook in self.on_logout:
                hook(tx, user_id, device_id)
        self._announce(tx, dead)

    def end_all(self, tx: Transaction, user_id: str, *, except_device: str | None = None) -> None:
        """End every session of a person within a write, but for one device's."""
        self.end(tx, user_id, [found for found in store.session_devices(tx, user_id) if found != except_device])

    def look_again(self, tx: Transaction, user_id: str) -> None:
        """What is remembered of a person's sessions no longer holds: how her account stands has changed."""
        self._announce(tx, store.live_tokens(tx, user_id))

    def _announce(self, tx: Transaction, dead: Iterable[bytes]) -> None:
        for token_hash in dead:
            self._recent.forget(token_hash)  # at once, for writes of the same batch: `confirm` then asks the tables
            tx.announce(_ENDED, token_hash.hex())

    def _forget(self, announcement: Announcement) -> None:
        self._endings += 1
        self._recent.forget(bytes.fromhex(announcement.payload))

    # --- Refresh

    async def refresh(self, refresh_token: str) -> Refreshed:
        """The next pair of tokens. The pair before it lives until one of the new ones is used.

        Raises UnknownRefreshToken, TooManyRequests per device.
        """
        refresh_hash = tokens.digest(refresh_token)
        # Asked first, so that made-up tokens cost no write.
        principal = await self._database.read(lambda tx: _holder(tx, refresh_hash))
        if principal is None:
            raise UnknownRefreshToken
        self._limiter.check("token", f"{principal.user_id}/{principal.device_id}")
        return await self._database.write(lambda tx: self._offer_next(tx, refresh_hash))

    def _offer_next(self, tx: Transaction, refresh_hash: bytes) -> Refreshed:
        offer = store.offer_by_refresh(tx, refresh_hash)
        if offer is not None:
            self._adopt(tx, offer)
        principal = store.session_to_refresh(tx, refresh_hash)
        if principal is None:
            raise UnknownRefreshToken
        token, refresh_token = tokens.access_token(), tokens.refresh_token()
        expires = self._clock() + ACCESS_LIFETIME_MS
        following = Offer(principal, tokens.digest(token), tokens.digest(refresh_token), expires)
        store.add_offer(tx, following, keep=MAX_OFFERS)
        return Refreshed(token, refresh_token, ACCESS_LIFETIME_MS)

    def _adopt(self, tx: Transaction, offer: Offer) -> None:
        self._announce(tx, [store.adopt(tx, offer)])

    async def close(self) -> None:
        """Finish what is being written; before the database closes."""
        await asyncio.gather(*self._notes)


def _holder(tx: Transaction, refresh_hash: bytes) -> PersonPrincipal | None:
    offer = store.offer_by_refresh(tx, refresh_hash)
    return store.session_to_refresh(tx, refresh_hash) if offer is None else offer.principal
