"""What user names, passwords and display names may be (Matrix Appendices, "User Identifiers")."""

import re

from paraph.protocol.errors import IdentifierError
from paraph.protocol.identifiers import MAX_IDENTIFIER_BYTES, PARTNER_PREFIX, check_device_id
from paraph.server.http import MatrixError

MIN_PASSWORD = 8
MAX_PASSWORD = 512
MAX_DISPLAY_NAME = 255
_LOCALPART = re.compile(r"[a-z0-9._=/+-]+")


def local_user_id(username: str, server_name: str) -> str:
    """`@username:server_name`, in lower case; raises M_INVALID_USERNAME, or M_EXCLUSIVE for names of partners."""
    username = username.lower() if username.isascii() else username
    if username.startswith("_"):
        raise MatrixError(400, "M_INVALID_USERNAME", "user names that begin with _ belong to services")
    if not _LOCALPART.fullmatch(username):
        raise MatrixError(400, "M_INVALID_USERNAME", "a user name has a-z, 0-9 and . _ = / + - only, and at least one")
    if username.startswith(PARTNER_PREFIX):
        raise MatrixError(400, "M_EXCLUSIVE", f"user names that begin with {PARTNER_PREFIX} belong to partners")
    user_id = f"@{username}:{server_name}"
    if len(user_id) > MAX_IDENTIFIER_BYTES:
        raise MatrixError(400, "M_INVALID_USERNAME", f"the user id would be longer than {MAX_IDENTIFIER_BYTES} bytes")
    return user_id


def check_new_password(password: str) -> None:
    """Raises M_WEAK_PASSWORD below 8 characters and M_INVALID_PARAM above 512."""
    if len(password) < MIN_PASSWORD:
        raise MatrixError(400, "M_WEAK_PASSWORD", f"a password has at least {MIN_PASSWORD} characters")
    check_password_length(password)


def check_password_length(password: str) -> None:
    """Raises M_INVALID_PARAM above 512 characters, so that nobody makes the server hash books."""
    if len(password) > MAX_PASSWORD:
        raise MatrixError(400, "M_INVALID_PARAM", f"a password has at most {MAX_PASSWORD} characters")


def checked_device_id(device_id: str) -> str:
    """The device id itself; raises M_INVALID_PARAM unless it is 1 to 255 visible ASCII characters."""
    try:
        return check_device_id(device_id)
    except IdentifierError as error:
        raise MatrixError(400, "M_INVALID_PARAM", str(error)) from None


def checked_display_name(name: str | None) -> str | None:
    """The name itself; raises M_INVALID_PARAM above 255 characters or with control characters."""
    if name is not None and (len(name) > MAX_DISPLAY_NAME or any(ord(letter) < 32 for letter in name)):
        raise MatrixError(
            400, "M_INVALID_PARAM", f"a display name has at most {MAX_DISPLAY_NAME} characters, all printable"
        )
    return name
