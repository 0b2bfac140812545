"""What the sidecar answers when it does not do what was asked: problem details (RFC 9457)."""

from paraph.sdk import (
    DraftError,
    GrantTokenError,
    MediaError,
    OutboxStateError,
    ProblemError,
    ReceiptError,
    SdkError,
    TransportError,
)

KINDS = {
    "bad-request": (400, "What was sent is not of the form that the OpenAPI document gives."),
    "bad-state": (400, "The state is none, or another stream's or store's."),
    "refused-draft": (400, "The SDK leaves no such draft: the grant does not allow it, or it says what no draft can."),
    "unauthorized": (401, "The bearer token of this run is missing or another."),
    "forbidden-origin": (403, "The request comes from a web page, or names another host than this one."),
    "refused-by-platform": (403, "The platform refused; `platform` has its type, `detail` its words."),
    "not-found": (404, "There is no such address, or the platform knows of no such thing."),
    "method-not-allowed": (405, "This address has other methods."),
    "state-gone": (410, "A later state was acknowledged: what followed this one is kept no more."),
    "too-large": (413, "The body is larger than 256 KiB."),
    "refused-answer": (502, "The platform's answer does not check (entry, receipt, file): it was refused whole."),
    "unreachable": (503, "The platform cannot be reached now, or the log cannot be relied upon."),
}
"""Slug: status and meaning. `type` is `urn:paraph:sidecar:<slug>`."""


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, slug: str, detail: str, platform: str | None = None) -> None:
        super().__init__(detail)
        self.slug = slug
        self.detail = detail
        self.platform = platform

    @property
    def status(self) -> int:
        """The HTTP status."""
        return KINDS[self.slug][0]

    @property
    def rendered(self) -> dict[str, object]:
        """The problem as JSON."""
        status, title = KINDS[self.slug]
        body: dict[str, object] = {
            "type": f"urn:paraph:sidecar:{self.slug}",
            "title": title,
            "status": status,
            "detail": self.detail,
        }
        return body if self.platform is None else {**body, "platform": self.platform}


def refusal(error: SdkError) -> Refused:
    """What is answered where the SDK raises."""
    match error:
        case OutboxStateError():
            return Refused("state-gone" if error.gone else "bad-state", str(error))
        case DraftError():
            return Refused("refused-draft", str(error))
        case GrantTokenError():
            return Refused("refused-by-platform", str(error))
        case ProblemError() if error.status >= 500:
            return Refused("unreachable", error.detail, error.kind)
        case ProblemError():
            slug = {400: "bad-request", 404: "not-found"}.get(error.status, "refused-by-platform")
            return Refused(slug, error.detail, error.kind)
        case ReceiptError() | MediaError():
            return Refused("refused-answer", str(error))
        case TransportError():
            return Refused("unreachable", str(error))
    return Refused("unreachable", f"{type(error).__name__}: {error}")
