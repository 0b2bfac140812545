"""The content repository's refusals (Matrix, "Content repository")."""

from paraph.server.http import MatrixError


def not_found() -> MatrixError:
    """Nothing is kept under this address, or not for the asker."""
    return MatrixError(404, "M_NOT_FOUND", "there is no such file here")


def not_yet_uploaded() -> MatrixError:
    """The file was announced, and its bytes have not come."""
    return MatrixError(504, "M_NOT_YET_UPLOADED", "the file has not been uploaded yet")


def cannot_overwrite() -> MatrixError:
    """The file is there, or on its way: a file never changes."""
    return MatrixError(409, "M_CANNOT_OVERWRITE_MEDIA", "this file was uploaded already, or is being uploaded")


def too_large(most: int) -> MatrixError:
    """More bytes than one file may have."""
    return MatrixError(413, "M_TOO_LARGE", f"a file has at most {most} bytes")


def quota_spent(most: int) -> MatrixError:
    """The account's files would take more room than an account has."""
    return MatrixError(403, "M_FORBIDDEN", f"your files may take {most} bytes together, and this one does not fit")


def too_many_awaited(most: int) -> MatrixError:
    """So many files of the account are announced or on their way that no more are taken."""
    return MatrixError(
        429,
        "M_LIMIT_EXCEEDED",
        f"{most} of your files are announced or on their way; upload those first",
        extra={"retry_after_ms": 10_000},
        headers=((b"retry-after", b"10"),),
    )


def broken_off() -> MatrixError:
    """The bytes came too slowly."""
    return MatrixError(408, "M_UNKNOWN", "the upload took too long")


def not_an_image() -> MatrixError:
    """There is no thumbnail of this: it is encrypted, or no image of a kind that is known."""
    return MatrixError(400, "M_UNKNOWN", "there is no thumbnail of this file: it is no image that can be read here")


def image_too_large(most: int) -> MatrixError:
    """Too many pixels to make a thumbnail of."""
    return MatrixError(413, "M_TOO_LARGE", f"thumbnails are made of images of at most {most} pixels")


def invalid(message: str) -> MatrixError:
    """A parameter has a value that it cannot have."""
    return MatrixError(400, "M_INVALID_PARAM", message)


def forbidden(message: str) -> MatrixError:
    """The caller may not do this."""
    return MatrixError(403, "M_FORBIDDEN", message)
