"""Attachments, metadata and friends over HTTP (docs/protocol.md section 8), and who is listed (section 6)."""

import msgspec

from paraph.protocol.base64 import b64url
from paraph.server.http import Access, Endpoint, Reply, Request
from paraph.server.http.told_limits import grant_in_query
from paraph.server.inbox.attachments.service import Attachments
from paraph.server.inbox.errors import bad_parameter, problems
from paraph.server.inbox.people.service import MAX_FRIENDS, MAX_ROOMS, Asked, People

INBOX = "/inbox/v1"
LISTING = "/_paraph/v1/friends-listing"
ACCESS = b"paraph-access"
"""Header of an attachment: base64url of the JSON of its access entry with the receipt."""


class ListingBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PUT /friends-listing."""

    listed: bool


def endpoints(attachments: Attachments, people: People) -> list[Endpoint]:
    """What partners look at besides messages."""
    handlers, partner, person = Handlers(attachments, people), Access.PARTNER, Access.PERSON
    return [
        Endpoint(
            "GET",
            f"{INBOX}/media/{{media_id}}",
            partner,
            problems(handlers.media),
            "An encrypted attachment by a granting author, the access recorded first",
        ),
        Endpoint(
            "GET",
            f"{INBOX}/metadata",
            partner,
            problems(handlers.metadata),
            "When an author's conversations happen, and codes of who is in them; recorded first",
            grant=grant_in_query,
        ),
        Endpoint(
            "GET",
            f"{INBOX}/friends",
            partner,
            problems(handlers.friends),
            "Codes of an author's friends who accepted to be listed; recorded first",
            grant=grant_in_query,
        ),
        Endpoint("GET", LISTING, person, handlers.listing, "Whether the caller lets herself be listed as a friend"),
        Endpoint("PUT", LISTING, person, handlers.list_me, "Let oneself be listed as a friend, or not"),
    ]


class Handlers:
    """Parse, ask the services, render."""

    def __init__(self, attachments: Attachments, people: People) -> None:
        self._attachments = attachments
        self._people = people

    async def media(self, request: Request) -> Reply:
        """An attachment."""
        found = await self._attachments.fetch(request.partner, request.params["media_id"], _purpose(request))
        headers = (
            (ACCESS, b64url(msgspec.json.encode(found.access)).encode("ascii")),
            (b"content-disposition", b"attachment"),
        )
        return Reply(200, b"", b"application/octet-stream", headers, found.content)

    async def metadata(self, request: Request) -> Reply:
        """Conversations."""
        return Reply.json(await self._people.metadata(_asked(request, MAX_ROOMS)))

    async def friends(self, request: Request) -> Reply:
        """Friends."""
        return Reply.json(await self._people.friends(_asked(request, MAX_FRIENDS)))

    async def listing(self, request: Request) -> Reply:
        """Whether the caller is listed."""
        return Reply.json({"listed": await self._people.is_listed(request.person.user_id)})

    async def list_me(self, request: Request) -> Reply:
        """Be listed, or not."""
        listed = request.json(ListingBody).listed
        await self._people.list_me(request.person.user_id, listed=listed)
        return Reply.json({"listed": listed})


def _asked(request: Request, most: int) -> Asked:
    query, limit = request.query(), request.query_int("limit", most, 1, most)
    return Asked(request.partner, query.get("grant_id"), _purpose(request), query.get("since", ""), limit)


def _purpose(request: Request) -> str:
    purpose = request.query().get("purpose")
    if not purpose:
        raise bad_parameter("purpose is missing: every access names one granted purpose")
    return purpose
