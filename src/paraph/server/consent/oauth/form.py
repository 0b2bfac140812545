"""Form bodies, read strictly (RFC 6749 appendix B)."""

from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from paraph.server.http import OAuthError

_FORM = "application/x-www-form-urlencoded"


def parse_form(content_type: str | None, body: bytes) -> dict[str, str]:
    """A form body: each name once, valid UTF-8. Raises OAuthError `invalid_request`."""
    if content_type is None or content_type.partition(";")[0].strip().lower() != _FORM:
        raise invalid_request(f"the body must be {_FORM}")
    form: dict[str, str] = {}
    for pair in body.split(b"&"):
        name, separator, value = pair.partition(b"=")
        key = _decoded(name)
        if not separator or not key or key in form:
            raise invalid_request("expected each parameter once, as name=value")
        form[key] = _decoded(value)
    return form


def _decoded(part: bytes) -> str:
    spaced = part.replace(b"+", b" ")
    try:
        if any(len(escape) < 2 or not _is_hex(escape[:2]) for escape in spaced.split(b"%")[1:]):
            raise invalid_request("a percent sign is not followed by two hex digits")
        return unquote_to_bytes(spaced).decode("utf-8")
    except UnicodeDecodeError:
        raise invalid_request("the form is not UTF-8") from None


def _is_hex(text: bytes) -> bool:
    return all(byte in b"0123456789abcdefABCDEF" for byte in text)


def required(form: Mapping[str, str], name: str) -> str:
    """A parameter that must be there. Raises OAuthError `invalid_request`."""
    if name not in form:
        raise invalid_request(f"{name} is missing")
    return form[name]


def invalid_request(message: str) -> OAuthError:
    """The request lacks a parameter, repeats one or is malformed (RFC 6749 section 5.2)."""
    return OAuthError(400, "invalid_request", message)
