"""Drafts and deletes over HTTP: the partner's side (docs/protocol.md section 8) and the author's (section 6)."""

from typing import Annotated, Any

import msgspec

from paraph.server.http import Access, Endpoint, Reply, Request
from paraph.server.http.told_limits import grant_in_body
from paraph.server.inbox.deletes import Deletes, Wanted
from paraph.server.inbox.disposals.service import Disposals
from paraph.server.inbox.drafts import Drafts
from paraph.server.inbox.errors import problems

INBOX = "/inbox/v1"
PEOPLE = "/_paraph/v1"
MAX_DOCUMENT = 128 * 1024
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class DraftBody(_Body, frozen=True):
    """POST /drafts."""

    draft: dict[str, Any]


class ClaimKeysBody(_Body, frozen=True):
    """POST /claim-keys."""

    grant_id: str
    devices: list[str]


class DeclineBody(_Body, frozen=True):
    """POST /drafts/{draft_id}/decline."""

    reason: Reason | None = None


class DeleteBody(_Body, frozen=True):
    """POST /rooms/{room_id}/messages/{event_id}/delete."""

    purpose: str
    reason: Reason | None = None


class DisposalBody(_Body, frozen=True):
    """POST /disposals."""

    disposal: dict[str, Any]


def endpoints(drafts: Drafts, deletes: Deletes, disposals: Disposals) -> list[Endpoint]:
    """What partners write with, and what authors answer."""
    handlers, partner, person = Handlers(drafts, deletes, disposals), Access.PARTNER, Access.PERSON
    draft, hers = f"{INBOX}/drafts/{{draft_id}}", f"{PEOPLE}/drafts/{{draft_id}}"
    message = f"{INBOX}/rooms/{{room_id}}/messages/{{event_id}}"
    return [
        Endpoint(
            "POST",
            f"{INBOX}/drafts",
            partner,
            problems(handlers.post),
            "Leave a draft",
            max_body=MAX_DOCUMENT,
            grant=grant_in_body("draft", "grant_id"),
        ),
        Endpoint("GET", draft, partner, problems(handlers.told), "What has become of a draft"),
        Endpoint("DELETE", draft, partner, problems(handlers.withdraw), "Take an open draft back"),
        Endpoint(
            "POST",
            f"{INBOX}/claim-keys",
            partner,
            problems(handlers.claim_keys),
            "One-time keys of an author's devices, to seal drafts for them",
            "keys",
            grant=grant_in_body("grant_id"),
        ),
        Endpoint(
            "POST", f"{message}/delete", partner, problems(handlers.delete), "Delete an author's message in her name"
        ),
        Endpoint(
            "POST",
            f"{INBOX}/disposals",
            partner,
            problems(handlers.dispose),
            "Confirm that what was opened under a grant is deleted",
            grant=grant_in_body("disposal", "grant_id"),
        ),
        Endpoint("GET", f"{PEOPLE}/drafts", person, handlers.listed, "The caller's open drafts"),
        Endpoint("POST", f"{hers}/claim", person, handlers.claim, "Hold a draft for a minute, to seal it"),
        Endpoint("POST", f"{hers}/decline", person, handlers.decline, "Decline a draft, for good"),
    ]


class Handlers:
    """Parse, ask the services, render."""

    def __init__(self, drafts: Drafts, deletes: Deletes, disposals: Disposals) -> None:
        self._disposals = disposals
        self._drafts = drafts
        self._deletes = deletes

    async def post(self, request: Request) -> Reply:
        """Leave a draft."""
        return Reply.json(await self._drafts.post(request.partner, request.json(DraftBody).draft))

    async def told(self, request: Request) -> Reply:
        """What has become of a draft."""
        return Reply.json(await self._drafts.told(request.partner, request.params["draft_id"]))

    async def withdraw(self, request: Request) -> Reply:
        """Take a draft back."""
        return Reply.json(await self._drafts.withdraw(request.partner, request.params["draft_id"]))

    async def claim_keys(self, request: Request) -> Reply:
        """One-time keys of an author's devices."""
        body = request.json(ClaimKeysBody)
        keys = await self._drafts.claim_keys(request.partner, body.grant_id, body.devices)
        return Reply.json({"one_time_keys": keys})

    async def delete(self, request: Request) -> Reply:
        """Delete a message."""
        body, params = request.json(DeleteBody), request.params
        wanted = Wanted(params["room_id"], params["event_id"], body.purpose, body.reason)
        return Reply.json(await self._deletes.delete(request.partner, wanted))

    async def dispose(self, request: Request) -> Reply:
        """Record a confirmation."""
        return Reply.json(await self._disposals.post(request.partner, request.json(DisposalBody).disposal))

    async def listed(self, request: Request) -> Reply:
        """The caller's open drafts."""
        return Reply.json({"drafts": await self._drafts.listed(request.person)})

    async def claim(self, request: Request) -> Reply:
        """Hold a draft."""
        return Reply.json(await self._drafts.claim(request.person, request.params["draft_id"]))

    async def decline(self, request: Request) -> Reply:
        """Decline a draft."""
        reason = request.json(DeclineBody).reason
        return Reply.json(await self._drafts.decline(request.person, request.params["draft_id"], reason))
