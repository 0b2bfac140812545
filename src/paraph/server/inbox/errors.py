"""Errors of the Inbox API: problem details (RFC 9457), their types ending in a word that programs can switch on."""

from collections.abc import Awaitable, Callable

from paraph.server.http import MatrixError, Problem, Reply, Request
from paraph.server.http.problems import slug_of


def not_granted(room_id: str) -> Problem:
    """No live grant lets this partner read in this room; the same for rooms that do not exist."""
    return Problem(403, "not-granted", f"no live grant lets you read in {room_id[:80]}")


def purpose_not_granted(purpose: str) -> Problem:
    """Something may be read here, but not for this purpose."""
    return Problem(403, "purpose-not-granted", f"nobody granted reading here for the purpose {purpose[:80]!r}")


def room_closed(room_id: str) -> Problem:
    """A member closed the room to partners."""
    return Problem(403, "room-closed", f"a member closed {room_id} to partners")


def no_such_device(device_id: str) -> Problem:
    """Not a live device of the calling partner."""
    return Problem(404, "no-such-device", f"you have no live device {device_id[:80]!r}")


def verb_not_granted(verb: str) -> Problem:
    """A grant is live, and this is not among what it allows."""
    return Problem(403, "verb-not-granted", f"the grant does not allow {verb}")


def no_such_file(media_id: str) -> Problem:
    """No attachment of a granting author that the partner may have; the same for all that are not there."""
    return Problem(404, "no-such-file", f"there is no attachment {media_id[:80]!r} that you may have")


def no_such_grant(grant_id: str) -> Problem:
    """Not a live grant of the calling partner, or not one that its token is for."""
    return Problem(404, "no-such-grant", f"you have no live grant {grant_id[:40]!r}")


def no_such_draft(draft_id: str) -> Problem:
    """Not a draft that this partner left, or one of long ago."""
    return Problem(404, "no-such-draft", f"you left no draft {draft_id[:80]!r}")


def too_many_drafts(most: int) -> Problem:
    """So many drafts wait under the grant that no more are taken."""
    return Problem(429, "too-many-drafts", f"{most} drafts are open under this grant; withdraw some or wait")


def too_many_claims(device_id: str, most: int) -> Problem:
    """So many one-time keys of a device were claimed today that others might find none."""
    return Problem(429, "too-many-claims", f"{most} keys of {device_id[:40]} were claimed under this grant today")


def no_such_message(event_id: str) -> Problem:
    """No message of a granting author that the partner may delete; the same for all that are not there."""
    return Problem(404, "no-such-message", f"there is no message {event_id[:80]!r} that you may delete")


def bad_webhook_url(why: str) -> Problem:
    """Nothing is sent to this address."""
    return Problem(400, "bad-webhook-url", why)


def not_verified(why: str) -> Problem:
    """The endpoint did not answer the challenge as its partner would."""
    return Problem(422, "webhook-not-verified", f"the endpoint did not answer the challenge: {why}")


def too_many_webhooks(most: int) -> Problem:
    """The partner has as many endpoints as there may be."""
    return Problem(409, "too-many-webhooks", f"you have {most} webhooks; remove one first")


def no_such_webhook(webhook_id: str) -> Problem:
    """Not an endpoint of the calling partner."""
    return Problem(404, "no-such-webhook", f"you have no webhook {webhook_id[:40]!r}")


class DraftClaimed(MatrixError):
    """Another device of the person holds the draft at this moment."""

    def __init__(self, until: int) -> None:
        message = "another of your devices is about to seal this draft"
        super().__init__(409, "ORG_PARAPH_DRAFT_CLAIMED", message, extra={"until": until})


class DraftNotClaimed(MatrixError):
    """A device may seal only what it holds at that moment."""

    def __init__(self, draft_id: str) -> None:
        message = f"this device has not claimed {draft_id}, or not within the last minute"
        super().__init__(409, "ORG_PARAPH_DRAFT_NOT_CLAIMED", message)


class DraftSettled(MatrixError):
    """The draft is sealed, declined, expired or withdrawn; nothing can be done with it any more."""

    def __init__(self, draft_id: str, status: str, event_id: str | None) -> None:
        extra = {"status": status, "event_id": event_id}
        super().__init__(409, "ORG_PARAPH_DRAFT_SETTLED", f"{draft_id} is {status}", extra=extra)


def bad_parameter(message: str) -> Problem:
    """A query parameter is missing or malformed."""
    return Problem(400, "bad-parameter", message)


def whole(request: Request) -> str:
    """The calling partner's slug, where it must call as a whole: a token for one grant concerns one person alone."""
    if request.partner.grant_id is not None:
        message = "this token is for one grant; this endpoint takes one of client_credentials"
        challenge = (b"www-authenticate", b'DPoP error="insufficient_scope"')
        raise Problem(403, "token-for-one-grant", message, headers=(challenge,))
    return request.partner.slug


def problems(handler: Callable[[Request], Awaitable[Reply]]) -> Callable[[Request], Awaitable[Reply]]:
    """The handler, with what shared services refuse told in this API's shape: `ORG_PARAPH_CONFLICT` as `conflict`."""

    async def run(request: Request) -> Reply:
        try:
            return await handler(request)
        except MatrixError as error:
            slug = slug_of(error.code, error.status)
            raise Problem(error.status, slug, error.message, extra=error.extra, headers=error.headers) from None

    return run
