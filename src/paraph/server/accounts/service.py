"""Who people are: accounts, passwords, logging in, and authenticating again for what matters."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from paraph.server.accounts import names, store, tokens
from paraph.server.accounts.errors import (
    BadLogin,
    InteractiveAuth,
    NoSuchUser,
    PasswordChanged,
    RegistrationClosed,
    UserDeactivated,
    UserInUse,
    missing,
)
from paraph.server.accounts.invitations import Invitations
from paraph.server.accounts.model import Account, LoggedIn, LoginBody, Proof, RegisterBody
from paraph.server.accounts.passwords import Passwords
from paraph.server.accounts.sessions import Sessions
from paraph.server.http import MatrixError, PersonPrincipal, Request
from paraph.server.http.limits import Limiter
from paraph.server.storage import Database, Transaction

DeactivateHook = Callable[[Transaction, str], None]
"""(transaction, user id), in the write that deactivates an account, while its devices are still there."""

PASSWORD, DUMMY, TOKEN = "m.login.password", "m.login.dummy", "m.login.registration_token"


class Accounts:
    """The people of this server.

    `clock` gives milliseconds; `registration` is `open`, `token` or `closed`. Other rooms join a session's beginning
    and end through `on_login` and `on_logout`, and an account's end through `on_deactivate`, inside the same
    transaction.
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
        self.sessions = Sessions(database, limiter, clock)
        self.invitations = Invitations(database, clock)
        self.on_login = self.sessions.on_login
        self.on_logout = self.sessions.on_logout
        self.on_deactivate: list[DeactivateHook] = []

    # --- Tokens

    async def authenticate(self, token: str) -> PersonPrincipal | None:
        """Whom an access token speaks for, or None; from memory for tokens seen lately. Raises TokenExpired."""
        return await self.sessions.authenticate(token)

    def last_seen(self, tx: Transaction, user_id: str) -> dict[str, int]:
        """When each logged-in device was last seen (ms), to within ten minutes."""
        return self.sessions.last_seen(tx, user_id)

    # --- Registration

    def local_user_id(self, username: str) -> str:
        """`@username:server`; raises M_INVALID_USERNAME or M_EXCLUSIVE."""
        return names.local_user_id(username, self._server_name)

    def exists(self, tx: Transaction, user_id: str) -> bool:
        """Whether there is such an account; a deactivated one no longer is."""
        found = store.account(tx, user_id)
        return found is not None and found.deactivated is None

    async def check_available(self, username: str) -> None:
        """Raises M_USER_IN_USE, M_INVALID_USERNAME, M_EXCLUSIVE, or M_FORBIDDEN where registration is closed."""
        self._check_open()
        user_id = self.local_user_id(username)
        if await self._database.read(lambda tx: store.account(tx, user_id)) is not None:
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
            if token_hash is not None and not self.invitations.use(tx, token_hash):
                raise InteractiveAuth(TOKEN, error="this registration token is no longer good")
            if body.inhibit_login:
                return LoggedIn(user_id)
            principal = PersonPrincipal(user_id, device_id)
            return self.sessions.begin(tx, principal, display_name, refreshed=body.refresh_token)

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
            raise InteractiveAuth(stage, session=session, error="this registration token is not good, or no longer")
        return tokens.digest(token)

    async def registration_token_is_valid(self, token: str) -> bool:
        """Whether a registration token is good for one more account; M_FORBIDDEN where registration is closed."""
        self._check_open()
        return await self.invitations.is_valid(token)

    # --- Login and logout

    async def login(self, body: LoginBody) -> LoggedIn:
        """Begin a session by password; an existing device keeps its keys and loses its old token.

        Raises BadLogin, M_UNKNOWN (another login type), M_MISSING_PARAM, M_INVALID_PARAM, TooManyDevices,
        TooManyRequests per account (failed attempts count).
        """
        if body.type != PASSWORD:
            raise MatrixError(400, "M_UNKNOWN", f"expected the login type {PASSWORD}, found {body.type[:40]!r}")
        name = _login_name(body)
        if body.password is None:
            raise missing(["password"])
        device_id = names.checked_device_id(body.device_id) if body.device_id is not None else tokens.device_id()
        display_name = names.checked_display_name(body.initial_device_display_name)
        user_id = self._named(name)
        proof = await self._prove(user_id, body.password)

        def write(tx: Transaction) -> LoggedIn:
            # A password that was changed meanwhile begins no session: its change has ended all that began with it.
            if not _still_good(tx, user_id, proof):
                raise BadLogin
            if proof.rehashed is not None:
                store.rehash_password(tx, user_id, proof.rehashed)
            principal = PersonPrincipal(user_id, device_id)
            return self.sessions.begin(tx, principal, display_name, refreshed=body.refresh_token)

        return await self._database.write(write)

    def _named(self, name: str) -> str:
        """The user id that a login name means; one that cannot exist stays as it is, to fail like a wrong password."""
        return name if name.startswith("@") else f"@{name}:{self._server_name}"

    async def _prove(self, user_id: str, password: str) -> Proof:
        """Check a password against the account's; raises BadLogin, TooManyRequests."""
        names.check_password_length(password)
        self._limiter.check("login", user_id[:255])
        stored = await self._database.read(lambda tx: store.password(tx, user_id))
        verdict = await self._passwords.verify(password, None if stored is None else stored.hash)
        if stored is None or not verdict.right:
            raise BadLogin
        return Proof(stored.number, verdict.rehashed)

    async def logout(self, person: PersonPrincipal) -> None:
        """End the session of one device; its keys go with it."""
        await self._database.write(lambda tx: self.sessions.end(tx, person.user_id, [person.device_id]))

    async def logout_all(self, user_id: str) -> None:
        """End every session of a person."""
        await self._database.write(lambda tx: self.sessions.end_all(tx, user_id))

    def end_sessions(self, tx: Transaction, user_id: str, device_ids: Sequence[str]) -> None:
        """End the sessions of these devices within a write; every hook runs, logged in or not."""
        self.sessions.end(tx, user_id, device_ids)

    # --- What needs the password again

    async def check_user_interactive(self, request: Request, user_id: str, auth: Mapping[str, Any] | None) -> Proof:
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
            return await self._prove(user_id, password)
        except BadLogin as error:
            raise InteractiveAuth(PASSWORD, session=session, error=error.message) from None

    async def change_password(
        self, person: PersonPrincipal, proof: Proof, new_password: str, *, logout_devices: bool
    ) -> None:
        """Give the account another password; with `logout_devices` every session but the calling one ends.

        Raises M_WEAK_PASSWORD, M_INVALID_PARAM, PasswordChanged if another change came first.
        """
        names.check_new_password(new_password)
        password_hash = await self._passwords.hash(new_password)

        def write(tx: Transaction) -> None:
            if not _still_good(tx, person.user_id, proof):
                raise PasswordChanged
            store.set_password(tx, person.user_id, password_hash)
            if logout_devices:
                self.sessions.end_all(tx, person.user_id, except_device=person.device_id)

        await self._database.write(write)

    async def deactivate(self, user_id: str, proof: Proof | None = None) -> None:
        """End an account for good: its sessions and devices go, nobody can log in, nobody ever takes its name.

        Done already, it does nothing. Without `proof` it is the operator who asks. Raises NoSuchUser, PasswordChanged,
        and what the hooks raise; then nothing has happened.
        """

        def write(tx: Transaction) -> None:
            if self._live(tx, user_id):
                if proof is not None and not _still_good(tx, user_id, proof):
                    raise PasswordChanged
                for hook in self.on_deactivate:
                    hook(tx, user_id)
                store.deactivate(tx, user_id, self._clock())
                self.sessions.end_all(tx, user_id)

        await self._database.write(write)

    def _live(self, tx: Transaction, user_id: str) -> bool:
        """Whether an account is not deactivated; raises NoSuchUser."""
        found = store.account(tx, user_id)
        if found is None:
            raise NoSuchUser
        return found.deactivated is None

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

    async def reset_password(self, user_id: str, new_password: str, *, logout_devices: bool) -> None:
        """Give an account another password without knowing the old one; with `logout_devices` every session ends.

        Raises NoSuchUser, UserDeactivated, M_WEAK_PASSWORD, M_INVALID_PARAM.
        """
        names.check_new_password(new_password)
        password_hash = await self._passwords.hash(new_password)

        def write(tx: Transaction) -> None:
            if not self._live(tx, user_id):
                raise UserDeactivated
            store.set_password(tx, user_id, password_hash)
            if logout_devices:
                self.sessions.end_all(tx, user_id)

        await self._database.write(write)

    async def close(self) -> None:
        """Finish what is being written and end the hashing threads; before the database closes."""
        await self.sessions.close()
        self._passwords.close()


def _still_good(tx: Transaction, user_id: str, proof: Proof) -> bool:
    """Whether the password that was proven is still the account's."""
    stored = store.password(tx, user_id)
    return stored is not None and stored.number == proof.number


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
