"""Who people are: accounts, passwords, access tokens, and authenticating again for what matters."""

import asyncio
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import structlog

from paraph.server.accounts import names, store, tokens
from paraph.server.accounts.errors import BadLogin, InteractiveAuth, RegistrationClosed, UserInUse, missing
from paraph.server.accounts.model import Account, LoggedIn, LoginBody, RegisterBody, Session
from paraph.server.accounts.passwords import Passwords
from paraph.server.accounts.recent import Recent
from paraph.server.http import MatrixError, PersonPrincipal, Request
from paraph.server.http.limits import Limiter
from paraph.server.storage import Database, StorageError, Transaction

log = structlog.get_logger("paraph.accounts")

LoginHook = Callable[[Transaction, str, str, str | None], None]
"""(transaction, user id, device id, display name or None), in the write that begins a session."""
LogoutHook = Callable[[Transaction, str, str], None]
"""(transaction, user id, device id), in the write that ends a session."""

PASSWORD, DUMMY, TOKEN = "m.login.password", "m.login.dummy", "m.login.registration_token"
SEEN_EVERY_MS = 10 * 60 * 1000
MAX_CACHED_SESSIONS = 50_000
MAX_USES = 100_000


class Accounts:
    """The people of this server.

    `clock` gives milliseconds; `registration` is `open`, `token` or `closed`. Other rooms join a session's beginning
    and end through `on_login` and `on_logout`, inside the same transaction.
    """

    def __init__(
        self,
        database: Database,
        limiter: Limiter,
        clock: Callable[[], int],
        *,
        server_name: str,
        registration: str,
        passwords: Passwords | None = None,
    ) -> None:
        self._database = database
        self._limiter = limiter
        self._clock = clock
        self._server_name = server_name
        self._registration = registration
        self._passwords = passwords or Passwords()
        self._sessions: Recent[bytes, Session] = Recent(MAX_CACHED_SESSIONS)
        self._endings = 0
        self._notes: set[asyncio.Task[None]] = set()
        self.on_login: list[LoginHook] = []
        self.on_logout: list[LogoutHook] = []

    # --- Tokens

    async def authenticate(self, token: str) -> PersonPrincipal | None:
        """Whom an access token speaks for, or None; from memory for tokens seen lately."""
        token_hash = tokens.digest(token)
        session = self._sessions.get(token_hash) or await self._load(token_hash)
        if session is None:
            return None
        now = self._clock()
        if now - session.last_seen >= SEEN_EVERY_MS:
            session.last_seen = now
            self._note_seen(token_hash, now)
        return session.principal

    async def _load(self, token_hash: bytes) -> Session | None:
        endings = self._endings
        session = await self._database.read(lambda tx: store.session(tx, token_hash))
        # A logout that became durable since the read began must not be undone by remembering what was read.
        if session is not None and endings == self._endings:
            self._sessions.put(token_hash, session)
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

    # --- Registration

    def local_user_id(self, username: str) -> str:
        """`@username:server`; raises M_INVALID_USERNAME or M_EXCLUSIVE."""
        return names.local_user_id(username, self._server_name)

    def exists(self, tx: Transaction, user_id: str) -> bool:
        """Whether there is such an account."""
        return store.exists(tx, user_id)

    async def check_available(self, username: str) -> None:
        """Raises M_USER_IN_USE, M_INVALID_USERNAME, M_EXCLUSIVE, or M_FORBIDDEN where registration is closed."""
        self._check_open()
        user_id = self.local_user_id(username)
        if await self._database.read(lambda tx: store.exists(tx, user_id)):
            raise UserInUse

    async def register(self, body: RegisterBody) -> LoggedIn:
        """Make an account and, unless `inhibit_login`, its first session.

        Raises InteractiveAuth until a stage is passed; M_FORBIDDEN where registration is closed; the errors of
        `check_available`; M_WEAK_PASSWORD; M_MISSING_PARAM; TooManyRequests per account.
        """
        self._check_open()
        if body.username is not None:
            self._limiter.check("register", self.local_user_id(body.username))
            await self.check_available(body.username)
        if body.password is not None:
            names.check_new_password(body.password)
        device_id = names.checked_device_id(body.device_id) if body.device_id is not None else tokens.device_id()
        display_name = names.checked_display_name(body.initial_device_display_name)
        token_hash = await self._pass_registration(body.auth)
        if body.password is None:
            raise missing(["password"])
        user_id = self.local_user_id(secrets.token_hex(8) if body.username is None else body.username)
        password_hash = await self._passwords.hash(body.password)

        def write(tx: Transaction) -> LoggedIn:
            if not store.add_account(tx, user_id, password_hash, self._clock()):
                raise UserInUse
            if token_hash is not None and not store.use_registration_token(tx, token_hash):
                raise InteractiveAuth(TOKEN, error="this registration token has been used up")
            if body.inhibit_login:
                return LoggedIn(user_id)
            return self._begin_session(tx, user_id, device_id, display_name)

        return await self._database.write(write)

    def _check_open(self) -> None:
        if self._registration == "closed":
            raise RegistrationClosed

    async def _pass_registration(self, auth: Mapping[str, Any] | None) -> bytes | None:
        """The hash of the token to use up, or None where registration is open; raises InteractiveAuth."""
        stage = DUMMY if self._registration == "open" else TOKEN
        given, session = _stage_of(auth)
        if auth is None or given is None:
            raise InteractiveAuth(stage, session=session)
        if given != stage:
            raise InteractiveAuth(stage, session=session, error=f"expected the stage {stage}, found {given[:40]!r}")
        if stage == DUMMY:
            return None
        token = auth.get("token")
        if not isinstance(token, str) or not await self.registration_token_is_valid(token):
            raise InteractiveAuth(stage, session=session, error="this registration token is unknown or used up")
        return tokens.digest(token)

    async def registration_token_is_valid(self, token: str) -> bool:
        """Whether a registration token is good for one more account; M_FORBIDDEN where registration is closed."""
        self._check_open()
        token_hash = tokens.digest(token)
        return await self._database.read(lambda tx: store.registration_token_is_valid(tx, token_hash))

    # --- Login and logout

    async def login(self, body: LoginBody) -> LoggedIn:
        """Begin a session by password; an existing device keeps its keys and loses its old token.

        Raises BadLogin, M_UNKNOWN (another login type), M_MISSING_PARAM, M_INVALID_PARAM, TooManyRequests per
        account (failed attempts count).
        """
        if body.type != PASSWORD:
            raise MatrixError(400, "M_UNKNOWN", f"expected the login type {PASSWORD}, found {body.type[:40]!r}")
        name = _login_name(body)
        if body.password is None:
            raise missing(["password"])
        device_id = names.checked_device_id(body.device_id) if body.device_id is not None else tokens.device_id()
        display_name = names.checked_display_name(body.initial_device_display_name)
        user_id = self._named(name)
        rehashed = await self._check_password(user_id, body.password)

        def write(tx: Transaction) -> LoggedIn:
            if rehashed is not None:
                store.set_password_hash(tx, user_id, rehashed)
            return self._begin_session(tx, user_id, device_id, display_name)

        return await self._database.write(write)

    def _named(self, name: str) -> str:
        """The user id that a login name means; one that cannot exist stays as it is, to fail like a wrong password."""
        return name if name.startswith("@") else f"@{name}:{self._server_name}"

    async def _check_password(self, user_id: str, password: str) -> str | None:
        """A new hash to keep, if the stored one is of other parameters; raises BadLogin, TooManyRequests."""
        names.check_password_length(password)
        self._limiter.check("login", user_id[:255])
        stored = await self._database.read(lambda tx: store.password_hash(tx, user_id))
        verdict = await self._passwords.verify(password, stored)
        if not verdict.right:
            raise BadLogin
        return verdict.rehashed

    def _begin_session(self, tx: Transaction, user_id: str, device_id: str, display_name: str | None) -> LoggedIn:
        dead = store.take_sessions(tx, user_id, [device_id])
        token = tokens.access_token()
        store.add_session(tx, tokens.digest(token), user_id, device_id, self._clock())
        for hook in self.on_login:
            hook(tx, user_id, device_id, display_name)
        self._forget_after_commit(tx, dead)
        return LoggedIn(user_id, token, device_id)

    async def logout(self, person: PersonPrincipal) -> None:
        """End the session of one device; its keys go with it."""
        await self._database.write(lambda tx: self.end_sessions(tx, person.user_id, [person.device_id]))

    async def logout_all(self, user_id: str) -> None:
        """End every session of a person."""
        await self._database.write(lambda tx: self.end_sessions(tx, user_id, store.session_devices(tx, user_id)))

    def end_sessions(self, tx: Transaction, user_id: str, device_ids: Sequence[str]) -> None:
        """End the sessions of these devices within a write; every hook runs, logged in or not."""
        dead = store.take_sessions(tx, user_id, device_ids)
        for device_id in device_ids:
            for hook in self.on_logout:
                hook(tx, user_id, device_id)
        self._forget_after_commit(tx, dead)

    def _forget_after_commit(self, tx: Transaction, token_hashes: Iterable[bytes]) -> None:
        def forget() -> None:
            self._endings += 1
            for token_hash in token_hashes:
                self._sessions.forget(token_hash)

        tx.after_commit(forget)

    async def check_user_interactive(self, request: Request, user_id: str, auth: Mapping[str, Any] | None) -> None:
        """Return once the person has given her password again; raises InteractiveAuth until then.

        Wrap the endpoint's handler with `errors.interactive`, so that the 401 has the shape that clients know.
        Attempts count against the login limits of the address and of the account.
        """
        given, session = _stage_of(auth)
        if auth is None or given is None:
            raise InteractiveAuth(PASSWORD, session=session)
        if given != PASSWORD:
            raise InteractiveAuth(
                PASSWORD, session=session, error=f"expected the stage {PASSWORD}, found {given[:40]!r}"
            )
        password, name = auth.get("password"), _name_in(auth)
        if not isinstance(password, str) or (name is not None and self._named(name) != user_id):
            raise InteractiveAuth(PASSWORD, session=session, error="expected this account's password")
        self._limiter.check("login", request.address)
        try:
            await self._check_password(user_id, password)
        except BadLogin as error:
            raise InteractiveAuth(PASSWORD, session=session, error=error.message) from None

    # --- The operator's

    async def create_user(self, username: str, password: str) -> str:
        """Make an account whatever the registration mode; returns the user id. Raises as `register`."""
        user_id = self.local_user_id(username)
        names.check_new_password(password)
        password_hash = await self._passwords.hash(password)

        def write(tx: Transaction) -> str:
            if not store.add_account(tx, user_id, password_hash, self._clock()):
                raise UserInUse
            return user_id

        return await self._database.write(write)

    async def users(self, after: str, limit: int) -> list[Account]:
        """Accounts whose id sorts after `after`, at most `limit`."""
        return await self._database.read(lambda tx: store.accounts(tx, after, limit))

    async def create_registration_token(self, uses: int) -> str:
        """A token good for `uses` accounts; shown once, kept as a hash. Raises M_INVALID_PARAM."""
        if not 1 <= uses <= MAX_USES:
            raise MatrixError(400, "M_INVALID_PARAM", f"uses is {uses}; expected 1 to {MAX_USES}")
        token = tokens.registration_token()
        now = self._clock()
        await self._database.write(lambda tx: store.add_registration_token(tx, tokens.digest(token), uses, now))
        return token

    async def close(self) -> None:
        """Finish what is being written and end the hashing threads; before the database closes."""
        await asyncio.gather(*self._notes)
        self._passwords.close()


def _login_name(body: LoginBody) -> str:
    if body.identifier is not None:
        if body.identifier.type != "m.id.user":
            raise MatrixError(400, "M_UNKNOWN", "expected an identifier of type m.id.user")
        name = body.identifier.user
    else:
        name = body.user
    if not name:
        raise missing(["identifier.user"])
    return name


def _stage_of(auth: Mapping[str, Any] | None) -> tuple[str | None, str | None]:
    """The stage that `auth` tries and the session it belongs to; None for what is absent or no text."""
    if auth is None:
        return None, None
    stage, session = auth.get("type"), auth.get("session")
    known = session if isinstance(session, str) and len(session) <= 100 else None
    return (stage if isinstance(stage, str) else None), known


def _name_in(auth: Mapping[str, Any]) -> str | None:
    identifier = auth.get("identifier")
    name = identifier.get("user") if isinstance(identifier, dict) else auth.get("user")
    return name if isinstance(name, str) else None
