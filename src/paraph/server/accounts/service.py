"""Who people are: accounts, passwords, logging in, and authenticating again for what matters."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from paraph.server.accounts import names, store, tokens
from paraph.server.accounts.entrance import PASSWORD, Entrance, name_in
from paraph.server.accounts.errors import (
    AccountLocked,
    BadLogin,
    NoSuchUser,
    OtherPerson,
    PasswordChanged,
    RegistrationClosed,
    UserDeactivated,
    UserInUse,
    missing,
)
from paraph.server.accounts.interaction import Interactions
from paraph.server.accounts.invitations import Invitations
from paraph.server.accounts.model import Account, LoggedIn, LoginBody, Passed, Proof, RegisterBody
from paraph.server.accounts.moderation import Moderation
from paraph.server.accounts.passwords import Passwords
from paraph.server.accounts.sessions import Sessions
from paraph.server.accounts.short_tokens import ShortTokens
from paraph.server.http import MatrixError, PersonPrincipal, Request
from paraph.server.http.limits import Limiter
from paraph.server.storage import Database, Transaction

DeactivateHook = Callable[[Transaction, str], None]
"""(transaction, user id), in the write that deactivates an account, while its devices are still there."""

DUMMY, TOKEN = "m.login.dummy", "m.login.registration_token"
REGISTERING = "register"
"""The operation that sessions of interactive authentication for POST /register are for."""


class Accounts:
    """The people of this server.

    `clock` gives milliseconds; `registration` is `open`, `token` or `closed`. Other rooms join a session's beginning
    and end through `on_login` and `on_logout`, and an account's end through `on_deactivate`, inside the same
    transaction. `secret` is what all processes of the platform share, for sessions of interactive authentication.
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
        secret: bytes = b"",
    ) -> None:
        self._database = database
        self._limiter = limiter
        self._clock = clock
        self.server_name = server_name
        self._registration = registration
        self._passwords = passwords or Passwords()
        self.sessions = Sessions(database, limiter, clock, server_name=server_name)
        self.interactions = Interactions(database, clock, secret or secrets.token_bytes(32))
        self.short_tokens = ShortTokens(database, clock)
        self.entrance = Entrance(database, limiter, self._passwords, self.short_tokens, server_name)
        self.moderation = Moderation(database, self.sessions, server_name)
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
        return names.local_user_id(username, self.server_name)

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
                raise self.interactions.asks(REGISTERING, TOKEN, "this registration token is no longer good")
            if body.inhibit_login:
                return LoggedIn(user_id, self.server_name)
            principal = PersonPrincipal(user_id, device_id)
            return self.sessions.begin(tx, principal, display_name, refreshed=body.refresh_token)

        return await self._database.write(write)

    def _check_open(self) -> None:
        if self._registration == "closed":
            raise RegistrationClosed

    @property
    def _registration_stage(self) -> str:
        return DUMMY if self._registration == "open" else TOKEN

    async def _pass_registration(self, auth: Mapping[str, Any] | None) -> bytes | None:
        """The hash of the token to use up, or None where registration is open; raises InteractiveAuth."""
        stage = self._registration_stage
        passed = await self.interactions.stage(REGISTERING, stage, auth)
        if auth is None or passed is not None:
            return None if passed is None else passed.invitation_hash
        if stage == DUMMY:
            return None
        token = auth.get("token")
        if not isinstance(token, str) or not await self.registration_token_is_valid(token):
            raise self.interactions.asks(REGISTERING, stage, "this registration token is not good, or no longer", auth)
        return tokens.digest(token)

    async def registration_token_is_valid(self, token: str) -> bool:
        """Whether a registration token is good for one more account; M_FORBIDDEN where registration is closed."""
        self._check_open()
        return await self.invitations.is_valid(token)

    # --- Login and logout

    async def login(self, body: LoginBody) -> LoggedIn:
        """Begin a session by password or login token; an existing device keeps its keys and loses its old token.

        Raises BadLogin, M_UNKNOWN (another login type), M_MISSING_PARAM, M_INVALID_PARAM, AccountLocked,
        UserDeactivated, TooManyDevices, TooManyRequests per account (failed attempts count).
        """
        device_id = names.checked_device_id(body.device_id) if body.device_id is not None else tokens.device_id()
        display_name = names.checked_display_name(body.initial_device_display_name)
        enter = await self.entrance.of(body)

        def write(tx: Transaction) -> LoggedIn:
            user_id = enter(tx)
            if not self._live(tx, user_id):
                raise UserDeactivated
            if (store.standing(tx, user_id) or (False, False))[1]:
                raise AccountLocked
            principal = PersonPrincipal(user_id, device_id)
            return self.sessions.begin(tx, principal, display_name, refreshed=body.refresh_token)

        return await self._database.write(write)

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

    async def check_user_interactive(
        self, request: Request, user_id: str, auth: Mapping[str, Any] | None, operation: str
    ) -> Proof:
        """Return once the person has given her password again for this operation; raises InteractiveAuth until then.

        Wrap the endpoint's handler with `errors.interactive`, so that the 401 has the shape that clients know.
        Attempts count against the login limits of the address and of the account. Raises OtherPerson, OtherOperation.
        """
        operation = f"{operation} {user_id}"
        passed = await self.interactions.stage(operation, PASSWORD, auth)
        if passed is not None:
            if passed.user_id != user_id or passed.password_number is None:
                raise OtherPerson
            return Proof(passed.password_number)
        password, name = (auth or {}).get("password"), name_in(auth or {})
        if name is not None and self.entrance.named(name) != user_id:
            raise OtherPerson
        if not isinstance(password, str):
            raise self.interactions.asks(operation, PASSWORD, "expected this account's password", auth)
        self._limiter.check("login", request.address)
        try:
            return await self.entrance.prove(user_id, password)
        except BadLogin as error:
            raise self.interactions.asks(operation, PASSWORD, error.message, auth) from None

    async def pass_on_page(self, stage: str, session: str, form: Mapping[str, str], address: str) -> None:
        """Pass a stage on its fallback page, for the request that the session was begun for.

        Raises BadLogin, M_FORBIDDEN (the token, the session or the stage is not good), TooManyRequests.
        """
        if not self.interactions.is_live(session):
            raise MatrixError(403, "M_FORBIDDEN", "this session is unknown, or has ended: begin again in your client")
        self._limiter.check("login", address)
        if stage == PASSWORD:
            user_id = self.entrance.named(form.get("user", ""))
            proof = await self.entrance.prove(user_id, form.get("password", ""))
            await self.interactions.passed(session, Passed(stage, user_id, proof.number))
        elif stage == self._registration_stage:
            await self.interactions.passed(session, Passed(stage, invitation_hash=await self._invited(form)))
        else:
            raise MatrixError(404, "M_NOT_FOUND", "this server asks for no such stage")

    async def _invited(self, form: Mapping[str, str]) -> bytes | None:
        if self._registration_stage == DUMMY:
            return None
        if not await self.registration_token_is_valid(form.get("token", "")):
            raise MatrixError(403, "M_FORBIDDEN", "this registration token is not good, or no longer")
        return tokens.digest(form["token"])

    async def change_password(
        self, person: PersonPrincipal, proof: Proof, new_password: str, *, logout_devices: bool
    ) -> None:
        """Give the account another password; with `logout_devices` every session but the calling one ends.

        Raises M_WEAK_PASSWORD, M_INVALID_PARAM, PasswordChanged if another change came first.
        """
        names.check_new_password(new_password)
        password_hash = await self._passwords.hash(new_password)

        def write(tx: Transaction) -> None:
            if not self.entrance.still_good(tx, person.user_id, proof):
                raise PasswordChanged
            store.set_password(tx, person.user_id, password_hash)
            if logout_devices:
                self.sessions.end_all(tx, person.user_id, except_device=person.device_id)

        await self._database.write(write)

    async def deactivate(self, user_id: str, proof: Proof | None = None, *, erase: bool = False) -> None:
        """End an account for good: its sessions and devices go, nobody can log in, nobody ever takes its name.

        Done already, it does nothing. Without `proof` it is the operator who asks, and that is told. `erase` is kept
        for whoever erases words. Raises NoSuchUser, PasswordChanged, and what the hooks raise; then nothing happened.
        """

        def write(tx: Transaction) -> None:
            if self._live(tx, user_id):
                if proof is not None and not self.entrance.still_good(tx, user_id, proof):
                    raise PasswordChanged
                for hook in self.on_deactivate:
                    hook(tx, user_id)
                store.deactivate(tx, user_id, self._clock(), erase=erase)
                self.sessions.end_all(tx, user_id)
                if proof is None:
                    self.moderation.note(tx, "deactivated")

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
            self.moderation.note(tx, "password-reset")

        await self._database.write(write)

    async def sessions_of(self, user_id: str) -> dict[str, int]:
        """When each logged-in device of an account was last seen (ms); raises NoSuchUser."""

        def read(tx: Transaction) -> dict[str, int]:
            self._live(tx, user_id)
            return store.last_seen(tx, user_id)

        return await self._database.read(read)

    async def close(self) -> None:
        """Finish what is being written and end the hashing threads; before the database closes."""
        await self.sessions.close()
        self._passwords.close()
