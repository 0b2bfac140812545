"""Redirect URIs: registered with the partner, compared character by character (RFC 9700 section 2.1)."""

from collections.abc import Sequence
from urllib.parse import urlencode, urlsplit

from paraph.server.consent.errors import bad_document

MAX_URIS = 20
MAX_URI = 2_000
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def check_redirect_uris(uris: Sequence[str]) -> None:
    """Refuse what is no https URI without a fragment (http where the host is this very machine); raises 400."""
    if len(uris) > MAX_URIS or len(set(uris)) != len(uris):
        raise bad_document(f"expected at most {MAX_URIS} redirect URIs, each once")
    for uri in uris:
        if not _is_fitting(uri):
            raise bad_document(f"a redirect URI is an https URI without a fragment: {uri[:80]!r}")


def _is_fitting(uri: str) -> bool:
    if not uri.isascii() or not uri.isprintable() or " " in uri or "#" in uri or "\\" in uri or len(uri) > MAX_URI:
        return False
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.password is not None:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)


def redirect(uri: str, issuer: str, state: str | None, **answer: str) -> str:
    """A redirect URI with the answer in its query: always with `iss` (RFC 9207), and with `state` where one came."""
    values = answer | ({} if state is None else {"state": state}) | {"iss": issuer}
    return uri + ("&" if "?" in uri else "?") + urlencode(values)
