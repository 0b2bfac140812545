"""What the authorization server says of itself (RFC 8414)."""

from paraph.server.consent.oauth import assertion, dpop


def metadata(issuer: str) -> dict[str, object]:
    """The metadata document."""
    return {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/oauth/token",
        "response_types_supported": [],
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": list(assertion.ALGORITHMS),
        "dpop_signing_alg_values_supported": list(dpop.ALGORITHMS),
    }
