"""Where requests may go whose address others chose: https at public addresses, and nowhere near the platform (SSRF).

A name can resolve to anything, and to something else a moment later. So every address that a name has is looked at,
and the connection is made to an address that was looked at, never to the name.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

MAX_URL = 1000
Resolve = Callable[[str, int], Awaitable[list[str]]]
"""(host, port): every address of the host."""


class BadTarget(Exception):
    """Nothing is sent there; the message says why, for the partner's developer."""


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint's address in its parts. `path` has the query with it."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """What stands in the `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"


def parse(url: str, *, anywhere: bool = False) -> Target:
    """The parts of an endpoint's address; `anywhere` lets plain http pass. Raises BadTarget."""
    if not url.isascii() or not url.isprintable() or " " in url or len(url) > MAX_URL or "\\" in url:
        raise BadTarget(f"expected an address of at most {MAX_URL} ASCII characters")
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise BadTarget(f"not an address: {error}") from None
    if parts.scheme != "https" and not (anywhere and parts.scheme == "http"):
        raise BadTarget("expected https")
    if not parts.hostname or "@" in parts.netloc or "%" in parts.netloc or "#" in url:
        raise BadTarget("expected a host and a path, without user, password or fragment")
    query = f"?{parts.query}" if parts.query else ""
    return Target(parts.scheme, parts.hostname, port, f"{parts.path or '/'}{query}")


def is_public(text: str) -> bool:
    """Whether an address is anybody's on the internet: not private, local, multicast, reserved, or one in disguise."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return is_public(str(inner))
        if address.teredo is not None:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


async def system_resolve(host: str, port: int) -> list[str]:
    """As the system resolves it."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


async def checked_address(target: Target, resolve: Resolve, *, anywhere: bool = False) -> str:
    """An address to connect to; raises BadTarget unless all that the host has are public."""
    try:
        addresses = await resolve(target.host, target.port)
    except (OSError, UnicodeError) as error:
        raise BadTarget(f"{target.host} does not resolve: {error}") from None
    if not addresses or not (anywhere or all(map(is_public, addresses))):
        raise BadTarget(f"{target.host} does not resolve to public addresses alone")
    return addresses[0]
