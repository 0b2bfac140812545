"""Every error that the partners' APIs answer with: what it is called, its status, and what it means.

Problem types (RFC 9457) are `urn:paraph:problem:<slug>`: the same at every platform, so that programs can switch on
them; the member `about` of a problem leads to its row here, as the platform serves it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

TYPE = "urn:paraph:problem:"
ABOUT = "/inbox/v1/problems/"


@dataclass(frozen=True, slots=True)
class ProblemType:
    """One kind of problem. `title` never changes; what happened this time is in the problem's `detail`."""

    slug: str
    status: int
    title: str
    meaning: str

    @property
    def type(self) -> str:
        """The URI that a problem has as its `type`."""
        return TYPE + self.slug


def _table(rows: Iterable[tuple[str, int, str, str]]) -> dict[str, ProblemType]:
    return {slug: ProblemType(slug, status, title, meaning) for slug, status, title, meaning in rows}


PROBLEMS = _table(
    [
        # What is wrong with the request
        ("bad-parameter", 400, "Parameter missing or malformed",
         "A parameter of the query or path is missing, or not of its form; `detail` names it."),
        ("bad-state", 400, "State or cursor not good",
         "A `state`, `since` or other opaque string was not given for this, or not to this partner."),
        ("not-json", 400, "Body is not JSON",
         "The body cannot be read as JSON, or broke off."),
        ("bad-json", 400, "Body of another shape",
         "The body is JSON, and not what this endpoint takes: `detail` names the member. Unknown members are "
         "refused."),
        ("bad-document", 400, "Document does not say what it must",
         "A signed document lacks something, contradicts itself or is out of its time; `detail` says what was "
         "expected."),
        ("bad-webhook-url", 400, "Nothing is sent to this address",
         "A webhook's URL is https, of a host all of whose addresses are public."),
        ("webhook-not-verified", 422, "Endpoint did not answer the challenge",
         "The endpoint did not answer with the challenge, signed with the registered client key."),
        ("invalid-signature", 400, "Key is not signed by its device",
         "A one-time or fallback key lacks the signature of the device whose key it is."),
        ("too-large", 413, "Body too large",
         "The body has more bytes than this endpoint takes; see its `x-max-body`."),
        # Who asks
        ("token-missing", 401, "No access token",
         "The request has no `Authorization: DPoP` header."),
        ("token-invalid", 401, "Access token not good",
         "The token is unknown, has run out, was revoked or is bound to another key; or it came as a bearer token. "
         "Get another one."),
        ("use-dpop-nonce", 401, "Proof lacks the newest nonce",
         "Make the proof again with the value of this answer's `DPoP-Nonce` header."),
        ("invalid-dpop-proof", 401, "Proof not good",
         "The DPoP proof does not fit the request, was used before, or its signature does not verify."),
        ("token-for-one-grant", 403, "Token is for one grant",
         "The partner acts as a whole here: use a token of `client_credentials`."),
        # What is granted
        ("not-granted", 403, "Not granted",
         "No live grant lets the partner do this there. The same for rooms and grants that do not exist."),
        ("purpose-not-granted", 403, "Purpose not granted",
         "Something is granted there, but not for the purpose named."),
        ("verb-not-granted", 403, "Verb not granted",
         "The grant is live, and does not allow this verb."),
        ("room-closed", 403, "Room closed to partners",
         "A member closed the room to partners; only members reopen it."),
        ("forbidden", 403, "Forbidden",
         "The document is somebody else's, or the partner may not do this."),
        ("bad-signature", 403, "Signature not good",
         "A document's signature is missing, does not verify, or is by a key that does not count here."),
        # What there is
        ("not-found", 404, "Not found",
         "There is no such thing, or it is not the partner's."),
        ("no-such-device", 404, "No such device",
         "The partner has no live device of this name."),
        ("no-such-grant", 404, "No such grant",
         "The partner has no live grant of this id, or calls with the token of another one."),
        ("no-such-file", 404, "No such file",
         "There is no attachment of this id that a grant gives to the partner."),
        ("no-such-draft", 404, "No such draft",
         "The partner left no draft of this id, or one of long ago."),
        ("no-such-message", 404, "No such message",
         "There is no message of a granting author that the partner may act on under this id."),
        ("no-such-webhook", 404, "No such webhook",
         "The partner has no webhook of this id."),
        ("no-such-endpoint", 404, "No such endpoint",
         "Nothing is answered under this path."),
        ("method-not-allowed", 405, "Method not allowed",
         "The path answers other methods, which `Allow` names."),
        ("conflict", 409, "Taken or answered otherwise",
         "Something else stands under this name already."),
        ("too-many-webhooks", 409, "Too many webhooks",
         "The partner has as many webhooks as there may be; remove one first."),
        ("draft-claimed", 409, "Draft is being sealed",
         "One of the author's devices holds the draft; ask again in a minute."),
        # How much
        ("limit-exceeded", 429, "Too many requests",
         "A published limit is used up; `Retry-After` says when to come back, `violated-policies` which one."),
        ("too-many-drafts", 429, "Too many open drafts",
         "So many drafts are open under the grant that no more are taken: withdraw some, or wait."),
        ("too-many-claims", 429, "Too many keys claimed",
         "So many one-time keys of a device were claimed under the grant today that others might find none."),
        # The platform
        ("internal", 500, "Failure of the platform",
         "The platform failed to answer, and logged why."),
        ("overloaded", 503, "Overloaded",
         "More comes in than can be made durable; nothing was written. `Retry-After` says when to come back."),
        ("log-not-fresh", 503, "Log does not keep up",
         "Reads wait until the transparency log keeps up; nothing was read or recorded."),
        ("log-stopped", 503, "Log stopped",
         "The transparency log has stopped, so nothing can be recorded; the operator must look."),
        ("log-not-readable", 503, "Log not readable",
         "The published log cannot be read now (pages about the log only)."),
    ]
)  # fmt: skip

OAUTH_ERRORS = {
    "invalid_request": "a parameter is missing, malformed or twice there, or something is not found (RFC 6749)",
    "invalid_client": "the client did not authenticate: the assertion is not good or was used before (RFC 6749)",
    "invalid_grant": "the code or refresh token is not one to use, or not with this key (RFC 6749)",
    "unauthorized_client": "the partner has no agreement in force (RFC 6749)",
    "unsupported_grant_type": "no such grant_type (RFC 6749)",
    "unsupported_response_type": "response_type is not code (RFC 6749)",
    "invalid_scope": "scope is not used here: ask with authorization_details (RFC 6749)",
    "invalid_target": "resource and audience are not used here (RFC 8707)",
    "invalid_authorization_details": "what is asked for is malformed or beyond the agreement (RFC 9396)",
    "request_not_supported": "request objects are not taken (OpenID Connect Core)",
    "invalid_dpop_proof": "the proof is missing, does not fit or was used before (RFC 9449)",
    "use_dpop_nonce": "make the proof again with the nonce of this answer's DPoP-Nonce header (RFC 9449)",
    "invalid_token": "no live access token of the partner's, or one bound to another key (RFC 6750)",
    "temporarily_unavailable": "too many requests, or more than can be made durable; see Retry-After (RFC 6749)",
    "server_error": "the platform failed to answer, and logged why (RFC 6749)",
}  # fmt: skip

_OAUTH_CODES = {
    401: "invalid_token",
    429: "temporarily_unavailable",
    500: "server_error",
    503: "temporarily_unavailable",
}
_SLUGS = {
    ("M_LIMIT_EXCEEDED", 429): "limit-exceeded",
    ("M_LIMIT_EXCEEDED", 503): "overloaded",
    ("M_MISSING_TOKEN", 401): "token-missing",
    ("M_UNKNOWN_TOKEN", 401): "token-invalid",
    ("M_UNRECOGNIZED", 404): "no-such-endpoint",
    ("M_UNRECOGNIZED", 405): "method-not-allowed",
    ("M_INVALID_PARAM", 400): "bad-parameter",
    ("M_UNKNOWN", 500): "internal",
}


def slug_of(code: str, status: int) -> str:
    """The slug for an error that a shared service, or this layer, raised with a code of another API."""
    plain = code.removeprefix("ORG_PARAPH_").removeprefix("M_").lower().replace("_", "-")
    return _SLUGS.get((code, status), plain)


def oauth_code(code: str, status: int) -> str:
    """The OAuth error code for an error that this layer, or a shared service, raised with a code of another API."""
    if code.startswith(("M_", "ORG_PARAPH_")):
        return _OAUTH_CODES.get(status, "invalid_request")
    return code.replace("-", "_")
