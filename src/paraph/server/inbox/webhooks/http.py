"""Webhooks over HTTP (docs/protocol.md section 8)."""

import msgspec

from paraph.server.http import Access, Endpoint, Reply, Request
from paraph.server.inbox.errors import problems, whole
from paraph.server.inbox.webhooks.service import Webhooks

API = "/inbox/v1/webhooks"


class WebhookBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /webhooks."""

    url: str


def endpoints(webhooks: Webhooks) -> list[Endpoint]:
    """The endpoints about endpoints."""
    handlers, partner, limit = Handlers(webhooks), Access.PARTNER, "webhooks"
    one = f"{API}/{{webhook_id}}"
    return [
        Endpoint(
            "POST", API, partner, problems(handlers.add), "Have an endpoint told of changes, once verified", limit
        ),
        Endpoint("GET", API, partner, problems(handlers.listed), "The endpoints that are told of changes"),
        Endpoint("DELETE", one, partner, problems(handlers.remove), "Tell an endpoint nothing any more"),
    ]


class Handlers:
    """Parse, ask the service, render."""

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    async def add(self, request: Request) -> Reply:
        """Register an endpoint."""
        slug, body = whole(request), request.json(WebhookBody)
        return Reply.json({"webhook": await self._webhooks.register(slug, body.url)})

    async def listed(self, request: Request) -> Reply:
        """The partner's endpoints."""
        return Reply.json({"webhooks": await self._webhooks.listed(whole(request))})

    async def remove(self, request: Request) -> Reply:
        """Forget an endpoint."""
        await self._webhooks.remove(whole(request), request.params["webhook_id"])
        return Reply(204, b"")
