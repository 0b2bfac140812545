"""The refusals of key backups (Client-Server API v1.19, "Server-side key backups")."""

from paraph.server.http import MatrixError


def not_found(message: str) -> MatrixError:
    """404 M_NOT_FOUND."""
    return MatrixError(404, "M_NOT_FOUND", message)


def invalid(message: str) -> MatrixError:
    """400 M_INVALID_PARAM."""
    return MatrixError(400, "M_INVALID_PARAM", message)


def wrong_version(current: int) -> MatrixError:
    """Keys go into the current backup only."""
    return MatrixError(
        403,
        "M_WRONG_ROOM_KEYS_VERSION",
        f"the current backup is {current}, and keys go into that one",
        extra={"current_version": str(current)},
    )


def too_large(what: str, most: int) -> MatrixError:
    """413 M_TOO_LARGE."""
    return MatrixError(413, "M_TOO_LARGE", f"{what} has at most {most} bytes")


def too_many(what: str, most: int) -> MatrixError:
    """The person keeps as many as an account may."""
    return MatrixError(403, "M_FORBIDDEN", f"at most {most} {what} are kept: delete some first")
