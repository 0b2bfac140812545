"""What comes in and goes out over HTTP, and what a session is."""

from dataclasses import dataclass
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from paraph.server.http import PersonPrincipal


class Identifier(Struct, frozen=True):
    """Who logs in (Client-Server API, "Identifier types"); only `m.id.user` is known here."""

    type: str
    user: str | None = None


class LoginBody(Struct, frozen=True):
    """The body of POST /login."""

    type: str
    identifier: Identifier | None = None
    user: str | None = None
    password: str | None = None
    device_id: str | None = None
    initial_device_display_name: str | None = None


class RegisterBody(Struct, frozen=True):
    """The body of POST /register."""

    auth: dict[str, Any] | None = None
    username: str | None = None
    password: str | None = None
    device_id: str | None = None
    initial_device_display_name: str | None = None
    inhibit_login: bool = False


class NewUser(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /_paraph/v1/admin/users."""

    username: str
    password: str


class NewRegistrationToken(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /_paraph/v1/admin/registration-tokens: for how many accounts the token is good."""

    uses: int = 1


class LoggedIn(Struct, frozen=True):
    """The answer to a login or registration; without token and device after `inhibit_login`."""

    user_id: str
    access_token: str | UnsetType = UNSET
    device_id: str | UnsetType = UNSET


@dataclass(slots=True)
class Session:
    """A live access token: whom it speaks for, and when it was last used (ms; kept on disk to within minutes)."""

    principal: PersonPrincipal
    last_seen: int


@dataclass(frozen=True, slots=True)
class Account:
    """A person as the operator's list shows her."""

    user_id: str
    created: int
