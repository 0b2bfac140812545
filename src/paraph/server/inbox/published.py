"""What the platform publishes about its own API: limits, problem types and the OpenAPI document.

The same bytes for everybody. Their hashes stand in the platform's record, so another API or other limits are a record
that anyone can compare with the one before (promise P9).
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cached_property

import msgspec

from paraph.server.http import Access, Endpoint, Problem, Reply, Request
from paraph.server.http.limits import Bound, published
from paraph.server.http.openapi import document
from paraph.server.http.problems import ABOUT, PROBLEMS, ProblemType

LIMITS = "/.well-known/paraph/limits"
OPENAPI = "/inbox/v1/openapi.json"
_MINUTES = (b"cache-control", b"public, max-age=300")

ABOUT_API = """\
Programmatic access to people's private messages, exactly as far as each person agreed: with her own keys, and on a
record that anyone can check. The formats of signed documents, proofs and receipts are in Paraph's protocol document.

- Tokens come from `/oauth/token` and are bound to a key: each request carries a proof (`DPoP`, RFC 9449).
- Errors of `/inbox` are problem details (RFC 9457): switch on `type`; `about` leads to what it means. Under any path an
  unknown endpoint is 404 `no-such-endpoint`, and a method that an endpoint does not answer 405 `method-not-allowed`.
  Errors of `/oauth` are those of RFC 6749.
- Limits are the same for every partner: `/.well-known/paraph/limits`, and `RateLimit` on each answer. An operation's
  `x-limit` is its row there, `x-max-body` the most bytes that its body may have.
- Whatever GET answers, HEAD answers without a body. Text with the character U+0000 is refused (400).
"""


class Published:
    """The three documents. `endpoints` gives the whole table, once it is complete."""

    def __init__(
        self,
        endpoints: Callable[[], Sequence[Endpoint]],
        bounds: Sequence[Bound],
        *,
        base_url: str,
        version: str,
        limits_enforced: bool,
    ) -> None:
        self._endpoints = endpoints
        self._bounds = bounds
        self._base_url = base_url
        self._version = version
        self._enforced = limits_enforced

    @cached_property
    def openapi(self) -> bytes:
        """The OpenAPI document of this table."""
        made = document(self._endpoints(), base_url=self._base_url, version=self._version, about=ABOUT_API)
        return msgspec.json.encode(made)

    @cached_property
    def limits(self) -> bytes:
        """Every limit and bound."""
        return msgspec.json.encode(published(self._bounds, enabled=self._enforced))

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 (hex) of what is served, for the platform's record."""
        return {
            "openapi": hashlib.sha256(self.openapi).hexdigest(),
            "limits": hashlib.sha256(self.limits).hexdigest(),
        }


def endpoints(made: Published) -> list[Endpoint]:
    """What anyone may read about the API."""

    async def openapi(_request: Request) -> Reply:
        return Reply(200, made.openapi, headers=(_MINUTES,))

    async def limits(_request: Request) -> Reply:
        return Reply(200, made.limits, headers=(_MINUTES,))

    anyone = Access.PUBLIC
    return [
        Endpoint("GET", LIMITS, anyone, limits, "The limits of this platform, the same for every partner"),
        Endpoint("GET", OPENAPI, anyone, openapi, "This API as an OpenAPI 3.1 document"),
        Endpoint("GET", ABOUT.removesuffix("/"), anyone, _problems, "All problem types"),
        Endpoint("GET", f"{ABOUT}{{slug}}", anyone, _problem, "What a problem type means"),
    ]


async def _problems(_request: Request) -> Reply:
    return Reply.json({"problems": [_shown(kind) for kind in PROBLEMS.values()]})


async def _problem(request: Request) -> Reply:
    kind = PROBLEMS.get(request.params["slug"])
    if kind is None:
        raise Problem(404, "not-found", "there is no such problem type")
    return Reply.json(_shown(kind))


def _shown(kind: ProblemType) -> dict[str, str | int]:
    return {"type": kind.type, **asdict(kind)}
