"""Errors of consent. Documents are refused with the protocol's own words: what was expected, what came."""

from collections.abc import Iterator
from contextlib import contextmanager

from paraph.protocol.errors import ProtocolError, ScopeError, SignatureError
from paraph.server.http import MatrixError


class StaleGrants(MatrixError):
    """The device acted on an older state of its person's grants than there is."""

    def __init__(self, version: int) -> None:
        super().__init__(
            409,
            "ORG_PARAPH_STALE_GRANTS",
            "the event does not name the newest state of your grants: fetch /_paraph/v1/grants, rotate the session if"
            " its recipients changed, and send again",
            extra={"version": version},
        )


class NotEnrolled(MatrixError):
    """Only an enrolled device may do this."""

    def __init__(self, device_id: str) -> None:
        super().__init__(403, "ORG_PARAPH_NOT_ENROLLED", f"device {device_id} is not enrolled; POST /_paraph/v1/enrol")


class NoAgreement(MatrixError):
    """The partner has no agreement in force."""

    def __init__(self, slug: str) -> None:
        super().__init__(403, "ORG_PARAPH_NO_AGREEMENT", f"{slug} has no agreement in force, so nothing can be granted")


class GrantOver(MatrixError):
    """The grant is revoked, ended, paused or out of its time; this needs a live one."""

    def __init__(self, grant_id: str, why: str) -> None:
        super().__init__(409, "ORG_PARAPH_GRANT_OVER", f"{grant_id} {why}")


class Conflict(MatrixError):
    """Something else stands under this name already."""

    def __init__(self, message: str) -> None:
        super().__init__(409, "ORG_PARAPH_CONFLICT", message)


def bad_document(message: str) -> MatrixError:
    """A document that does not say what it must."""
    return MatrixError(400, "ORG_PARAPH_BAD_DOCUMENT", message)


def forbidden(message: str) -> MatrixError:
    """The caller may not do this."""
    return MatrixError(403, "M_FORBIDDEN", message)


def not_found(message: str) -> MatrixError:
    """There is no such thing, or it is not the caller's."""
    return MatrixError(404, "M_NOT_FOUND", message)


@contextmanager
def refusing() -> Iterator[None]:
    """Turn what the protocol's verifiers raise into answers: bad form 400, bad signature or beyond the ceiling 403."""
    try:
        yield
    except SignatureError as error:
        raise MatrixError(403, "ORG_PARAPH_BAD_SIGNATURE", str(error)) from None
    except ScopeError as error:
        raise MatrixError(403, "ORG_PARAPH_OUT_OF_SCOPE", str(error)) from None
    except ProtocolError as error:
        raise bad_document(str(error)) from None
