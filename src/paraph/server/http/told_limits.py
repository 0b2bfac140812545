"""A partner's limits: for all it does, and for what it does about one grant; each answer says what is left.

The fields are those of draft-ietf-httpapi-ratelimit-headers-10: `RateLimit-Policy` names the rows of the published
table that bound an endpoint, `RateLimit` how far they are used up.
"""

from collections.abc import Callable, Iterable, MutableMapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from paraph.server.http.endpoint import Access, Endpoint, PartnerPrincipal, Principal, Request
from paraph.server.http.errors import TooManyRequests
from paraph.server.http.limits import LIMITS, PER_GRANT, Limiter, Standing

LIMIT_HEADERS = "paraph.limits"
"""Where a request's scope keeps the header fields for its answer."""
MAX_GRANT_ID = 64
"""A longer id names no grant, and is not counted under."""


class ToldLimits:
    """One request's count. The policy is told even to whoever is not let in."""

    def __init__(self, limiter: Limiter, scope: MutableMapping[str, Any], endpoint: Endpoint) -> None:
        self._limiter = limiter
        self._scope = scope
        self._rows = (limit_name(endpoint), PER_GRANT) if endpoint.access is Access.PARTNER else (limit_name(endpoint),)
        self._named = endpoint.grant
        self._standings: list[Standing] = []
        self._slug = ""
        if limiter.enabled:
            scope[LIMIT_HEADERS] = (policy_header(self._rows),)

    def count(self, caller: Principal, address: str, named: str | None) -> None:
        """Count a request: a partner's under the grant of its token or path too. Raises TooManyRequests."""
        if not self._limiter.enabled:
            return
        self._slug = caller.slug if isinstance(caller, PartnerPrincipal) else ""
        self._standings.append(self._limiter.count(self._rows[0], self._slug or address))
        if isinstance(caller, PartnerPrincipal):
            self._count_grant(caller.grant_id or named)
        self._tell()

    def count_named(self, request: Request) -> None:
        """Count it under the grant that query or body name, where it counts under none yet; raises TooManyRequests."""
        if self._named is not None and len(self._standings) == 1:
            self._count_grant(self._named(request))
            self._tell()

    def _count_grant(self, grant_id: str | None) -> None:
        """Each partner has buckets of its own: whoever names somebody else's grant uses up nothing of theirs."""
        if grant_id is not None and len(grant_id) <= MAX_GRANT_ID:
            self._standings.append(self._limiter.count(PER_GRANT, f"{self._slug}/{grant_id}"))

    def _tell(self) -> None:
        self._scope[LIMIT_HEADERS] = (policy_header(self._rows), standing_header(self._standings))
        refuse(self._standings)


def limit_name(endpoint: Endpoint) -> str:
    """The row of `LIMITS` that bounds an endpoint."""
    return "public" if endpoint.access is Access.PUBLIC and endpoint.limit == "default" else endpoint.limit


def is_told(endpoint: Endpoint) -> bool:
    """Whether an endpoint's answers say how its limits stand: those of the partners' APIs."""
    return endpoint.access is Access.PARTNER or endpoint.path.startswith("/inbox/")


def grant_in_query(request: Request) -> str | None:
    """The grant that the query names."""
    return request.query().get("grant_id")


def grant_in_body(*names: str) -> Callable[[Request], str | None]:
    """Finds the grant that a JSON body names under `names`, one within the other; None for any other body."""

    def find(request: Request) -> str | None:
        try:
            found = msgspec.json.decode(request.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        for name in names:
            found = found.get(name) if isinstance(found, dict) else None
        return found if isinstance(found, str) else None

    return find


@lru_cache(maxsize=64)
def policy_header(rows: tuple[str, ...]) -> tuple[bytes, bytes]:
    """`RateLimit-Policy`: `q` requests in `w` seconds, for each row that bounds an endpoint."""
    items = (f'"{row}";q={LIMITS[row].burst};w={LIMITS[row].window}' for row in rows)
    return b"ratelimit-policy", ", ".join(items).encode()


def standing_header(standings: Iterable[Standing]) -> tuple[bytes, bytes]:
    """`RateLimit`: `r` requests are left; `t` seconds until the next where none is, else until all are."""
    return b"ratelimit", ", ".join(f'"{one.name}";r={one.left};t={one.seconds}' for one in standings).encode()


def refuse(standings: Sequence[Standing]) -> None:
    """Raise TooManyRequests, naming the rows that are used up, if one of these refuses the request."""
    refused = [one for one in standings if one.refused_ms]
    if refused:
        raise TooManyRequests(max(one.refused_ms for one in refused), [one.name for one in refused])
