"""What the authorization server takes and answers, as types and JSON Schemas: for the OpenAPI document alone."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from paraph.protocol.authorization import TYPE
from paraph.protocol.fields import GrantId, Purposes, Rooms, Slug, Time, Verb
from paraph.server.consent.oauth.assertion import MAX_ASSERTION_BYTES
from paraph.server.consent.oauth.client import ASSERTION_TYPE
from paraph.server.consent.oauth.par import MAX_STATE
from paraph.server.consent.oauth.tokens import GRANT_TYPES

Seconds = Annotated[int, Meta(ge=0, description="seconds")]


class GrantedDetails(Struct, frozen=True, rename={"from_": "from", "except_": "except"}):
    """What a grant gives now (RFC 9396); `except` are rooms taken out of `all`."""

    type: Literal["paraph_inbox"]
    verbs: list[Verb]
    rooms: Literal["all"] | Rooms
    purposes: Purposes
    from_: Time
    until: Time
    history: Time | None
    retention_days: int
    except_: list[str] | UnsetType = UNSET


class Pushed(Struct, frozen=True):
    """Where to send the person, and for how many seconds that address is good (RFC 9126)."""

    request_uri: str
    expires_in: Seconds


class Tokens(Struct, frozen=True):
    """Tokens (RFC 6749). Those of a person's consent come with her grant; a refresh token stays the same."""

    access_token: Annotated[str, Meta(pattern=r"^ppt_[A-Za-z0-9_-]+\Z")]
    token_type: Literal["DPoP"]
    expires_in: Seconds
    refresh_token: Annotated[str, Meta(pattern=r"^ppr_[A-Za-z0-9_-]+\Z")] | UnsetType = UNSET
    grant_id: GrantId | UnsetType = UNSET
    authorization_details: list[GrantedDetails] | UnsetType = UNSET


class Introspected(Struct, frozen=True):
    """What a token is (RFC 7662); `active` false, and nothing more, for what is not the caller's live own."""

    active: bool
    iss: str | UnsetType = UNSET
    client_id: Slug | UnsetType = UNSET
    sub: str | UnsetType = UNSET
    token_type: Literal["DPoP"] | UnsetType = UNSET
    iat: Seconds | UnsetType = UNSET
    exp: Seconds | UnsetType = UNSET
    cnf: dict[str, str] | UnsetType = UNSET
    grant_id: GrantId | UnsetType = UNSET
    authorization_details: list[GrantedDetails] | UnsetType = UNSET


class GrantNow(Struct, frozen=True):
    """A grant of the caller's (Grant Management); no details while it gives nothing."""

    grant_id: GrantId
    authorization_details: list[GrantedDetails]


class Jwks(Struct, frozen=True):
    """Public keys (RFC 7517)."""

    keys: list[dict[str, Any]]


class Metadata(Struct, frozen=True):
    """RFC 8414, and what later documents add to it; the members that every client needs."""

    issuer: str
    authorization_endpoint: str
    pushed_authorization_request_endpoint: str
    token_endpoint: str
    introspection_endpoint: str
    revocation_endpoint: str
    grant_management_endpoint: str
    jwks_uri: str
    grant_types_supported: list[str]
    dpop_signing_alg_values_supported: list[str]


# -- forms --

_TEXT = {"type": "string", "minLength": 1}
_HASH = {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"}
_CLIENT: dict[str, Any] = {
    "client_assertion_type": {"const": ASSERTION_TYPE},
    "client_assertion": {
        "type": "string",
        "maxLength": MAX_ASSERTION_BYTES,
        "description": "a JWT by the registered client key: `iss` and `sub` the slug, `aud` the issuer, `jti`, `exp`",
    },
}


def form(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    """The schema of a form that a client signs; parameters that are not named are ignored."""
    named = _CLIENT | required
    return {"type": "object", "required": list(named), "properties": named | (optional or {})}


PUSH = form(
    {
        "response_type": {"const": "code"},
        "redirect_uri": _TEXT | {"description": "one that is registered, character by character"},
        "code_challenge": _HASH,
        "code_challenge_method": {"const": "S256"},
        "authorization_details": {
            "type": "string",
            "contentMediaType": "application/json",
            "description": f"a list with one object of the type `{TYPE}`: what is asked for, within the agreement",
        },
    },
    {
        "client_id": _TEXT,
        "response_mode": {"const": "query"},
        "state": {"type": "string", "minLength": 1, "maxLength": MAX_STATE},
        "dpop_jkt": _HASH | {"description": "the key that tokens are bound to, where no proof comes along"},
    },
)
TOKEN: dict[str, Any] = {
    "oneOf": [
        form(
            {
                "grant_type": {"const": GRANT_TYPES[0]},
                "code": _TEXT,
                "redirect_uri": _TEXT,
                "code_verifier": {"type": "string", "pattern": "^[A-Za-z0-9._~-]{43,128}$"},
            }
        ),
        form({"grant_type": {"const": GRANT_TYPES[1]}, "refresh_token": _TEXT}),
        form({"grant_type": {"const": GRANT_TYPES[2]}}),
    ]
}
ABOUT_A_TOKEN = form({"token": _TEXT})
