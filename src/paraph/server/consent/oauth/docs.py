"""What the OpenAPI document says of the authorization server's endpoints, by method and path."""

from paraph.server.consent.oauth import shapes
from paraph.server.consent.oauth.http import METADATA
from paraph.server.http.doc import FORM, HTML, Answer, Doc, Parameter

TAG = "Authorization"
_NO_PROOF = ("invalid_dpop_proof", "use_dpop_nonce")
_PAGE = {"type": "string"}

DOCS: dict[tuple[str, str], Doc] = {
    ("GET", METADATA): Doc(TAG, {200: Answer("Metadata", shapes.Metadata)}),
    ("GET", "/oauth/jwks"): Doc(TAG, {200: Answer("The keys", shapes.Jwks)}),
    ("POST", "/oauth/par"): Doc(
        TAG,
        {201: Answer("Where to send the person", shapes.Pushed)},
        "The only way to ask a person for anything. Send her to `/oauth/authorize` with `client_id` and `request_uri`.",
        headers=(Parameter("DPoP", {"type": "string"}, "a proof by the key that tokens are to be bound to"),),
        body=shapes.PUSH,
        body_type=FORM,
        oauth_errors={
            400: (
                "unsupported_response_type",
                "invalid_scope",
                "invalid_target",
                "request_not_supported",
                "invalid_authorization_details",
                "unauthorized_client",
                *_NO_PROOF,
            )
        },
    ),
    ("GET", "/oauth/authorize"): Doc(
        TAG,
        {
            200: Answer("Who asks for what, and how to answer", _PAGE, HTML),
            400: Answer("Malformed, run out, or answered before", _PAGE, HTML),
            403: Answer("Whoever asks has no agreement in force", _PAGE, HTML),
        },
        "For people. Nothing else may stand in the query. Consent is a signature by one of her devices: her client"
        " answers, and alone gets the way back, with the code.",
        query=(
            Parameter("client_id", {"type": "string"}, "the partner's slug", required=True),
            Parameter("request_uri", {"type": "string"}, "from `/oauth/par`", required=True),
        ),
    ),
    ("POST", "/oauth/token"): Doc(
        TAG,
        {200: Answer("Tokens, bound to the key of the proof", shapes.Tokens)},
        "`client_credentials` is for the partner as a whole, filtered by live grants; a code gives tokens for one"
        " grant, and a refresh token more of them until the grant is over.",
        headers=(Parameter("DPoP", {"type": "string"}, "a proof by the key to bind them to", required=True),),
        body=shapes.TOKEN,
        body_type=FORM,
        oauth_errors={
            400: (
                "invalid_grant",
                "unsupported_grant_type",
                "invalid_scope",
                "invalid_target",
                "unauthorized_client",
                *_NO_PROOF,
            )
        },
    ),
    ("POST", "/oauth/introspect"): Doc(
        TAG, {200: Answer("What it is", shapes.Introspected)}, body=shapes.ABOUT_A_TOKEN, body_type=FORM
    ),
    ("POST", "/oauth/revoke"): Doc(
        TAG,
        {200: Answer("It is good for nothing now, whatever it was")},
        "A refresh token takes its access tokens along. The grant stays: give that up with DELETE.",
        body=shapes.ABOUT_A_TOKEN,
        body_type=FORM,
    ),
    ("GET", "/oauth/grants/{grant_id}"): Doc(
        TAG, {200: Answer("What it gives", shapes.GrantNow)}, oauth_errors={404: ("invalid_request",)}
    ),
    ("DELETE", "/oauth/grants/{grant_id}"): Doc(
        TAG,
        {204: Answer("It is over, and the person's record says by whom")},
        oauth_errors={404: ("invalid_request",)},
    ),
}
