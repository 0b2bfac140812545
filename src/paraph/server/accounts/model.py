"""What comes in and goes out over HTTP, and what a session is."""

from dataclasses import dataclass
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from paraph.server.http import PersonPrincipal


class Identifier(Struct, frozen=True):
    """Who logs in (Client-Server API, "Identifier types"): `m.id.user`; addresses and numbers name nobody here."""

    type: str
    user: str | None = None


class LoginBody(Struct, frozen=True):
    """The body of POST /login."""

    type: str
    identifier: Identifier | None = None
    user: str | None = None
    medium: str | None = None
    address: str | None = None
    password: str | None = None
    token: str | None = None
    device_id: str | None = None
    initial_device_display_name: str | None = None
    refresh_token: bool = False


class RegisterBody(Struct, frozen=True):
    """The body of POST /register."""

    auth: dict[str, Any] | None = None
    username: str | None = None
    password: str | None = None
    device_id: str | None = None
    initial_device_display_name: str | None = None
    refresh_token: bool = False
    inhibit_login: bool = False


class RefreshBody(Struct, frozen=True):
    """The body of POST /refresh."""

    refresh_token: str | None = None


class PasswordBody(Struct, frozen=True):
    """The body of POST /account/password; `logout_devices` spares the calling device."""

    new_password: str | None = None
    logout_devices: bool = True
    auth: dict[str, Any] | None = None


class DeactivateBody(Struct, frozen=True):
    """The body of POST /account/deactivate."""

    auth: dict[str, Any] | None = None
    erase: bool = False


class AuthBody(Struct, frozen=True):
    """A body of which only the interactive authentication counts."""

    auth: dict[str, Any] | None = None


class Suspended(Struct, frozen=True):
    """The body, and the answer, of /admin/suspend."""

    suspended: bool


class Locked(Struct, frozen=True):
    """The body, and the answer, of /admin/lock."""

    locked: bool


class NewUser(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /_paraph/v1/admin/users."""

    username: str
    password: str


class NewPassword(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /_paraph/v1/admin/users/{user_id}/password."""

    password: str
    logout_devices: bool = True


class NewRegistrationToken(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /_paraph/v1/admin/registration-tokens: for how many accounts, and until when (ms) it is good."""

    uses: int = 1
    expires: int | None = None


class Refreshed(Struct, frozen=True):
    """The answer to a refresh: the next pair of tokens, and for how many milliseconds the access token is good."""

    access_token: str
    refresh_token: str
    expires_in_ms: int


class LoggedIn(Struct, frozen=True):
    """The answer to a login or registration; without token and device after `inhibit_login`.

    `refresh_token` and `expires_in_ms` are there where the client asked for tokens that it will refresh. `home_server`
    is deprecated, and still asked for.
    """

    user_id: str
    home_server: str
    access_token: str | UnsetType = UNSET
    device_id: str | UnsetType = UNSET
    refresh_token: str | UnsetType = UNSET
    expires_in_ms: int | UnsetType = UNSET


@dataclass(slots=True)
class Session:
    """An access token: whom it speaks for, when it was last used (ms; kept on disk to within minutes), when it ends.

    `expires` (ms) is None for a token that lives as long as its session.
    """

    principal: PersonPrincipal
    last_seen: int
    expires: int | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """A pair of tokens, as hashes, that a refresh gave out and nobody has used yet."""

    principal: PersonPrincipal
    token_hash: bytes
    refresh_hash: bytes
    expires: int


@dataclass(frozen=True, slots=True)
class StoredPassword:
    """An account's password: its argon2id hash, and which of the account's passwords it is, counted from 1."""

    hash: str
    number: int


@dataclass(frozen=True, slots=True)
class Proof:
    """That the caller knew the account's password `number`; `rehashed` is a new hash to keep, if one is due."""

    number: int
    rehashed: str | None = None


@dataclass(frozen=True, slots=True)
class Passed:
    """A stage passed on its page: by which of whose passwords, or by which registration token."""

    stage: str
    user_id: str | None = None
    password_number: int | None = None
    invitation_hash: bytes | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """A person as the operator's list shows her; times in ms. Nobody can log in to a deactivated account."""

    user_id: str
    created: int
    deactivated: int | None = None
    suspended: bool = False
    locked: bool = False


@dataclass(frozen=True, slots=True)
class Invitation:
    """A registration token as the operator's list shows it, without the token itself; times in ms."""

    id: str
    uses_left: int
    used: int
    created: int
    expires: int | None = None
