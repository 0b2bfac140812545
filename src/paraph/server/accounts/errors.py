"""Errors of accounts beyond the common ones."""

from collections.abc import Sequence
from functools import wraps
from typing import Any

from paraph.server.http import MatrixError, Reply, Request
from paraph.server.http.endpoint import Handler


class InteractiveAuth(MatrixError):
    """The caller has to authenticate again (Client-Server API, "User-Interactive Authentication API").

    Every flow here has a single stage. `error` is set once an attempt failed.
    """

    def __init__(self, stage: str, *, session: str, error: str | None = None) -> None:
        super().__init__(
            401,
            "M_FORBIDDEN",
            error or f"this request needs the stage {stage}",
            extra={
                "session": session,
                "flows": [{"stages": [stage]}],
                "params": {},
                "completed": [],
            },
        )
        self.failed = error is not None

    def reply(self) -> Reply:
        """The answer. A first one must not carry `errcode`: clients show that as a failed attempt."""
        failure: dict[str, Any] = {"errcode": self.code, "error": self.message} if self.failed else {}
        return Reply.json(failure | self.extra, 401)


def interactive(handler: Handler) -> Handler:
    """Wrap the handler of an endpoint with interactive authentication, so that its 401 has the shape clients know."""

    @wraps(handler)
    async def answer(request: Request) -> Reply:
        try:
            return await handler(request)
        except InteractiveAuth as needed:
            return needed.reply()

    return answer


class BadLogin(MatrixError):
    """Name, password or login token is wrong; which of them is not said."""

    def __init__(self) -> None:
        super().__init__(403, "M_FORBIDDEN", "the user name or the password is wrong")


class TokenExpired(MatrixError):
    """The access token has ended while its session goes on: refresh it, or log in again as the same device."""

    def __init__(self) -> None:
        super().__init__(
            401,
            "M_UNKNOWN_TOKEN",
            "this access token has expired: refresh it",
            extra={"soft_logout": True},
            headers=((b"www-authenticate", b'Bearer error="invalid_token"'),),
        )


class SessionEnded(MatrixError):
    """The session ended after the request was let in, before its write."""

    def __init__(self) -> None:
        super().__init__(
            401,
            "M_UNKNOWN_TOKEN",
            "this session has ended",
            extra={"soft_logout": False},
            headers=((b"www-authenticate", b'Bearer error="invalid_token"'),),
        )


class UnknownRefreshToken(MatrixError):
    """No session has this refresh token: it ended, or a later pair of tokens is in use."""

    def __init__(self) -> None:
        super().__init__(
            401, "M_UNKNOWN_TOKEN", "this refresh token is unknown or was replaced", extra={"soft_logout": False}
        )


class TooManyDevices(MatrixError):
    """The person is logged in on as many devices as an account may have."""

    def __init__(self, most: int) -> None:
        super().__init__(
            403,
            "ORG_PARAPH_TOO_MANY_DEVICES",
            f"this account is logged in on {most} devices, the most there may be: log one of them out,"
            " or log in with its device_id to replace it",
        )


class PasswordChanged(MatrixError):
    """The password that the caller proved is no longer the account's."""

    def __init__(self) -> None:
        super().__init__(403, "M_FORBIDDEN", "the password was changed meanwhile")


class NoSuchUser(MatrixError):
    """Nobody here has this user id."""

    def __init__(self) -> None:
        super().__init__(404, "M_NOT_FOUND", "no such account")


class UserDeactivated(MatrixError):
    """The account was deactivated, which is final."""

    def __init__(self) -> None:
        super().__init__(403, "M_USER_DEACTIVATED", "this account was deactivated")


class AccountLocked(MatrixError):
    """The operator has locked the account: its sessions and keys stay, for when the lock is lifted."""

    def __init__(self) -> None:
        super().__init__(401, "M_USER_LOCKED", "this account is locked", extra={"soft_logout": True})


class AccountSuspended(MatrixError):
    """The operator has suspended the account: it may read, leave and withdraw, and nothing else."""

    def __init__(self) -> None:
        super().__init__(403, "M_USER_SUSPENDED", "this account is suspended: it can read and leave, and not do this")


class OtherPerson(MatrixError):
    """Somebody else than the owner of the account authenticated."""

    def __init__(self) -> None:
        super().__init__(403, "M_FORBIDDEN", "expected the password of the account whose token this is")


class UserInUse(MatrixError):
    """Somebody has this name already."""

    def __init__(self) -> None:
        super().__init__(400, "M_USER_IN_USE", "this user name is taken")


class RegistrationClosed(MatrixError):
    """The operator makes the accounts here."""

    def __init__(self) -> None:
        super().__init__(403, "M_FORBIDDEN", "registration is closed on this server: ask its operator for an account")


def missing(names: Sequence[str]) -> MatrixError:
    """The body lacks what the request needs."""
    return MatrixError(400, "M_MISSING_PARAM", f"the body lacks {', '.join(names)}")
