"""What the authorization server says of itself (RFC 8414, and what later documents add to it)."""

from paraph.protocol.authorization import TYPE
from paraph.server.consent.oauth import assertion, dpop
from paraph.server.consent.oauth.tokens import GRANT_TYPES


def metadata(issuer: str) -> dict[str, object]:
    """The metadata document."""
    methods, algorithms = ["private_key_jwt"], list(assertion.ALGORITHMS)
    document: dict[str, object] = {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/oauth/authorize",
        "pushed_authorization_request_endpoint": f"{issuer}/oauth/par",
        "require_pushed_authorization_requests": True,
        "token_endpoint": f"{issuer}/oauth/token",
        "grant_management_endpoint": f"{issuer}/oauth/grants",
        "grant_management_actions_supported": ["query", "revoke"],
        "grant_management_action_required": False,
        "jwks_uri": f"{issuer}/oauth/jwks",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": list(GRANT_TYPES),
        "code_challenge_methods_supported": ["S256"],
        "authorization_details_types_supported": [TYPE],
        "authorization_response_iss_parameter_supported": True,
        "dpop_signing_alg_values_supported": list(dpop.ALGORITHMS),
    }
    for endpoint in ("token", "introspection", "revocation"):
        document[f"{endpoint}_endpoint_auth_methods_supported"] = methods
        document[f"{endpoint}_endpoint_auth_signing_alg_values_supported"] = algorithms
    document["introspection_endpoint"] = f"{issuer}/oauth/introspect"
    document["revocation_endpoint"] = f"{issuer}/oauth/revoke"
    return document
