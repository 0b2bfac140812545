"""The one place where HTTP happens: the endpoint table, errors, authentication and limits.

Every room offers its `Endpoint`s; `asgi.Application` answers exactly those and nothing else. The table is therefore
the whole API: the token walk iterates over it, and no route can exist that the walk does not see.
"""

from paraph.server.http.endpoint import (
    Access,
    Endpoint,
    PartnerPrincipal,
    PersonPrincipal,
    Reply,
    Request,
    Standing,
    Stream,
)
from paraph.server.http.errors import ApiError, MatrixError, OAuthError, Problem

__all__ = [
    "Access",
    "ApiError",
    "Endpoint",
    "MatrixError",
    "OAuthError",
    "PartnerPrincipal",
    "PersonPrincipal",
    "Problem",
    "Reply",
    "Request",
    "Standing",
    "Stream",
]
