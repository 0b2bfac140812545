"""Errors of the Inbox API: problem details (RFC 9457), their types ending in a word that programs can switch on."""

from collections.abc import Awaitable, Callable

from paraph.server.http import MatrixError, Problem, Reply, Request


def not_granted(room_id: str) -> Problem:
    """No live grant lets this partner read in this room; the same for rooms that do not exist."""
    return Problem(403, "not-granted", f"no live grant lets you read in {room_id[:80]}")


def purpose_not_granted(purpose: str) -> Problem:
    """Something may be read here, but not for this purpose."""
    return Problem(403, "purpose-not-granted", f"nobody granted reading here for the purpose {purpose[:80]!r}")


def room_closed(room_id: str) -> Problem:
    """A member closed the room to partners."""
    return Problem(403, "room-closed", f"a member closed {room_id} to partners")


def no_such_device(device_id: str) -> Problem:
    """Not a live device of the calling partner."""
    return Problem(404, "no-such-device", f"you have no live device {device_id[:80]!r}")


def bad_parameter(message: str) -> Problem:
    """A query parameter is missing or malformed."""
    return Problem(400, "bad-parameter", message)


def whole(request: Request) -> str:
    """The calling partner's slug, where it must call as a whole: a token for one grant concerns one person alone."""
    if request.partner.grant_id is not None:
        message = "this token is for one grant; this endpoint takes one of client_credentials"
        challenge = (b"www-authenticate", b'DPoP error="insufficient_scope"')
        raise Problem(403, "token-for-one-grant", message, headers=(challenge,))
    return request.partner.slug


def problems(handler: Callable[[Request], Awaitable[Reply]]) -> Callable[[Request], Awaitable[Reply]]:
    """The handler, with what shared services refuse told in this API's shape: `ORG_PARAPH_CONFLICT` as `conflict`."""

    async def run(request: Request) -> Reply:
        try:
            return await handler(request)
        except MatrixError as error:
            code = error.code.removeprefix("ORG_PARAPH_").removeprefix("M_").lower().replace("_", "-")
            raise Problem(error.status, code, error.message, extra=error.extra, headers=error.headers) from None

    return run
