"""Errors of devices, and the Matrix code for each way in which a key can be wrong."""

from collections.abc import Iterator
from contextlib import contextmanager

from paraph.protocol.errors import CanonicalJsonError, DocumentError, ProtocolError, SignatureError
from paraph.server.http import MatrixError


def invalid(message: str) -> MatrixError:
    """400 M_INVALID_PARAM."""
    return MatrixError(400, "M_INVALID_PARAM", message)


def bad_signature(message: str) -> MatrixError:
    """400 M_INVALID_SIGNATURE."""
    return MatrixError(400, "M_INVALID_SIGNATURE", message)


def not_found(message: str) -> MatrixError:
    """404 M_NOT_FOUND."""
    return MatrixError(404, "M_NOT_FOUND", message)


def queue_full(user_id: str, device_id: str) -> MatrixError:
    """A device that does not collect its messages takes no more from this sender."""
    return MatrixError(
        429,
        "M_LIMIT_EXCEEDED",
        f"too many messages wait for device {device_id[:60]} of {user_id}: nothing was sent",
        extra={"retry_after_ms": 60_000},
        headers=((b"retry-after", b"60"),),
    )


@contextmanager
def named(what: str) -> Iterator[None]:
    """Turn a protocol error into the Matrix error for it, naming the object that has it."""
    try:
        yield
    except SignatureError as error:
        raise bad_signature(f"{what}: {error}") from None
    except (CanonicalJsonError, DocumentError) as error:
        raise MatrixError(400, "M_BAD_JSON", f"{what}: {error}") from None
    except ProtocolError as error:
        raise invalid(f"{what}: {error}") from None
