"""What can go wrong for a person's device or a partner, as types."""


class SdkError(Exception):
    """Base of every error the SDK raises on purpose."""


class StoreError(SdkError):
    """The key store cannot be used."""


class WrongKeyError(StoreError):
    """The key or passphrase does not open this store."""


class StoreDamagedError(StoreError):
    """A record of the store is missing its seal, or the seal does not fit the record's name."""


class StoreBusyError(StoreError):
    """Another process has this store open; two users of one ratchet would break it."""


class TransportError(SdkError):
    """The server could not be reached, or did not answer in its own protocol."""


class MatrixError(SdkError):
    """The server answered an error of the Matrix shape.

    `status` is the HTTP status, `errcode` and `error` the Matrix fields, `retry_after_ms` the wait the server asks
    for (milliseconds, or None), `body` the whole answer (interactive authentication needs its other members).
    """

    def __init__(
        self,
        status: int,
        errcode: str,
        error: str,
        retry_after_ms: int | None = None,
        body: dict[str, object] | None = None,
    ) -> None:
        super().__init__(f"{status} {errcode}: {error}")
        self.status = status
        self.errcode = errcode
        self.error = error
        self.retry_after_ms = retry_after_ms
        self.body = body or {}


class ProblemError(SdkError):
    """The Inbox API or the token endpoint refused: RFC 9457 problem details, or an OAuth error (RFC 6749 §5.2)."""

    def __init__(self, status: int, kind: str, detail: str) -> None:
        super().__init__(f"{status} {kind}: {detail}")
        self.status = status
        self.kind = kind
        self.detail = detail


class GrantTokenError(SdkError):
    """The tokens of one person's grant are good for nothing now: revoked, or the grant is over, or is paused.

    `detail` is the platform's word on it. While the grant is paused they may be good again; else ask her anew.
    """

    def __init__(self, grant_id: str, detail: str) -> None:
        super().__init__(f"the tokens of {grant_id} are refused: {detail}")
        self.grant_id = grant_id
        self.detail = detail


class DecryptionError(SdkError):
    """A message cannot be opened, or must not be believed. `code` is stable, for programs."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class SharingNeededError(SdkError):
    """The room's recipients changed since its key was last shared: share first, then encrypt."""


class IdentityChangedError(SdkError):
    """A user's master key is not the pinned one; nothing is shared with them until it is accepted."""


class VerificationError(SdkError):
    """Two people's comparison ended before its time. `code` is Matrix's (`m.user`, `m.timeout`, ...)."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"the verification was cancelled ({code}): {reason}")
        self.code = code


class TrustError(SdkError):
    """Something signed or logged does not check against what this device has pinned."""


class LogError(TrustError):
    """The transparency log cannot be relied upon at this moment (stale, unreachable or without the record)."""


class HiddenRecordsError(LogError):
    """The log has records about this account that the platform does not show; they may end or narrow a grant."""


class ForkDetectedError(LogError):
    """The log showed two histories that do not extend one another. Sharing with partners has stopped for good."""


class NotEnrolledError(SdkError):
    """The device has to enrol (`Person.enrol`) before it can grant anything."""


class DraftError(SdkError):
    """A draft cannot be sealed, or left: it does not check, is over, or is not within its grant."""


class ReceiptError(SdkError):
    """The answer of the Inbox API lacks a fitting access entry, so its data are refused."""


class MediaError(SdkError):
    """A message's file is not the one that its author uploaded, or cannot be opened."""


class WebhookError(SdkError):
    """A call to this partner's endpoint is not one that the platform made just now."""


class ConsentRefusedError(SdkError):
    """The person did not agree to the text of a grant; nothing was signed."""
