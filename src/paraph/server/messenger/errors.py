"""The messenger's refusals."""

from paraph.server.http import MatrixError


def forbidden(message: str) -> MatrixError:
    """The caller may not do this here."""
    return MatrixError(403, "M_FORBIDDEN", message)


def not_found(message: str) -> MatrixError:
    """There is no such thing, or the caller may not know of it."""
    return MatrixError(404, "M_NOT_FOUND", message)


def invalid(message: str) -> MatrixError:
    """A parameter has a value that it cannot have."""
    return MatrixError(400, "M_INVALID_PARAM", message)


def bad_json(message: str) -> MatrixError:
    """A body is JSON of another shape than this endpoint takes."""
    return MatrixError(400, "M_BAD_JSON", message)


def too_large(message: str) -> MatrixError:
    """An event or a value is larger than the limit."""
    return MatrixError(413, "M_TOO_LARGE", message)


def not_joined(user_id: str, room_id: str) -> MatrixError:
    """Only joined members may do this."""
    return forbidden(f"{user_id} is not joined to {room_id}")


def unsupported_version(version: str) -> MatrixError:
    """No room here can have this version."""
    return MatrixError(400, "M_UNSUPPORTED_ROOM_VERSION", f"rooms here cannot have version {version[:40]!r}")


def no_third_party() -> MatrixError:
    """Inviting by mail address or number needs an identity server; none is trusted."""
    return MatrixError(403, "M_SERVER_NOT_TRUSTED", "this server trusts no identity server: invite people by user id")
