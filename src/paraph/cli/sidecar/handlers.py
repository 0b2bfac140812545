"""What the sidecar's addresses do: each one call of the SDK, rendered."""

from collections.abc import Callable
from typing import Any

import msgspec

from paraph.cli.sidecar.feed import Feed
from paraph.cli.sidecar.problems import Refused
from paraph.cli.sidecar.request import Request
from paraph.sdk import Due, Message, Partner, rendered_message

MAX_MESSAGES, MAX_WAIT = 500, 60

Json = dict[str, Any]


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class DraftBody(_Body, frozen=True):
    """POST /drafts: a text, or a whole message content; `expires` in milliseconds."""

    grant_id: str
    room_id: str
    body: str | None = None
    content: dict[str, Any] | None = None
    expires: int | None = None


class DeleteBody(_Body, frozen=True):
    """POST /deletes."""

    room_id: str
    event_id: str
    purpose: str | None = None
    reason: str | None = None


class AcknowledgeBody(_Body, frozen=True):
    """POST /acknowledgements."""

    state: str
    purpose: str | None = None


class ServedMessage(msgspec.Struct, frozen=True):
    """A message as it was served; of it only these members count."""

    room_id: str
    event_id: str
    sender: str
    ts: int
    type: str
    content: dict[str, Any]


class AttachmentBody(_Body, frozen=True):
    """POST /attachments: the message that carries the file, as it was served."""

    message: ServedMessage
    purpose: str | None = None


class Handlers:
    """One partner's calls. `purpose` is what a request is for that names none."""

    def __init__(self, partner: Partner, purpose: str | None, now: Callable[[], int]) -> None:
        self._partner = partner
        self._purpose = purpose
        self._now = now
        self._feeds: dict[str, Feed] = {}
        if purpose is not None:  # else nobody is there to be told what to delete
            partner.on_due(self._forget)

    async def _forget(self, due: Due) -> bool:
        """Tell the program what to delete; it has once it acknowledges that."""
        change = {"kind": "forget", **msgspec.to_builtins(due)}
        return self._partner.outbox(self.purpose(None)).ask(f"{due.grant_id}/{due.opened_before}", change)

    async def start(self) -> None:
        """Take the stream of the default purpose in from now on."""
        if self._purpose is not None:
            self.feed(self._purpose)

    async def stop(self) -> None:
        """End every stream, and close the partner's store."""
        for feed in self._feeds.values():
            await feed.stop()
        await self._partner.close()

    def feed(self, purpose: str) -> Feed:
        """The stream of a purpose, begun."""
        if purpose not in self._feeds:
            if len(self._feeds) >= 32:
                raise Refused("bad-request", "one run follows at most 32 purposes")
            self._feeds[purpose] = Feed(self._partner, purpose)
        self._feeds[purpose].start()
        return self._feeds[purpose]

    def purpose(self, given: str | None) -> str:
        """The purpose of a request. Raises Refused where none is named."""
        found = given or self._purpose
        if found is None:
            raise Refused("bad-request", "purpose is missing: every access names one granted purpose")
        return found

    # Looking

    async def health(self, _request: Request) -> Json:
        """Who this is, and how its streams fare."""
        streams = [{"purpose": purpose, **feed.rendered} for purpose, feed in self._feeds.items()]
        ok = all(stream["failed"] is None for stream in streams)
        partner = self._partner
        return {
            "status": "ok" if ok else "failing",
            "partner": partner.slug,
            "user_id": partner.user_id,
            "device_id": partner.device_id,
            "time": self._now(),
            "evidence": len(partner.evidence()),
            "streams": streams,
        }

    async def changes(self, request: Request) -> Json:
        """Changes behind a state, which acknowledges it."""
        feed = self.feed(self.purpose(request.optional("purpose")))
        limit = request.number("limit", 100, MAX_MESSAGES) or 1
        found, state = await feed.get(request.optional("since"), limit, request.number("wait", 0, MAX_WAIT))
        return {"changes": [change for _, change in found], "state": state}

    async def acknowledge(self, request: Request) -> None:
        """Let go of what was worked off, where it came as a stream."""
        body = request.json(AcknowledgeBody)
        self.feed(self.purpose(body.purpose)).acknowledge(body.state)

    async def grants(self, request: Request) -> Json:
        """The live grants that verify."""
        live = await self._partner.grants(request.optional("grant_id"))
        held = [self._partner.held_grant(grant_id) for grant_id in live]
        return {"grants": [_grant(msgspec.to_builtins(one)) for one in held if one is not None]}

    async def rooms(self, _request: Request) -> Json:
        """Rooms in which something may be read."""
        return {"rooms": msgspec.to_builtins(await self._partner.rooms())}

    async def messages(self, request: Request) -> Json:
        """Messages of a room."""
        await self._partner.poll()
        page = await self._partner.messages(
            request.text("room_id"),
            self.purpose(request.optional("purpose")),
            since=request.optional("since"),
            limit=request.number("limit", 100, MAX_MESSAGES) or 1,
        )
        found = [rendered_message(message) for message in page.messages]
        return {"messages": found, "pending": list(page.pending), "next": page.next}

    async def metadata(self, request: Request) -> Json:
        """When an author's conversations happen."""
        purpose = self.purpose(request.optional("purpose"))
        return {"rooms": msgspec.to_builtins(await self._partner.metadata(request.text("grant_id"), purpose))}

    async def friends(self, request: Request) -> Json:
        """Codes of an author's friends."""
        purpose = self.purpose(request.optional("purpose"))
        return {"friends": await self._partner.friends(request.text("grant_id"), purpose)}

    async def attachment(self, request: Request) -> bytes:
        """The file that a message carries."""
        body = request.json(AttachmentBody)
        message = Message(**{name: getattr(body.message, name) for name in ServedMessage.__struct_fields__})
        return await self._partner.download(message, self.purpose(body.purpose))

    async def evidence(self, _request: Request) -> Json:
        """What proves that the platform broke a promise."""
        return {"evidence": [msgspec.json.decode(file) for file in self._partner.evidence()]}

    # Writing

    async def leave(self, request: Request) -> Json:
        """Leave a draft."""
        body = request.json(DraftBody)
        if (body.body is None) == (body.content is None):
            raise Refused("bad-request", "a draft has either a body (a text) or a content")
        content = body.content if body.body is None else body.body
        draft_id = await self._partner.draft(body.grant_id, body.room_id, content or "", expires=body.expires)
        return {"draft_id": draft_id}

    async def draft(self, request: Request) -> Json:
        """What has become of a draft."""
        return _draft(msgspec.to_builtins(await self._partner.draft_status(request.params["draft_id"])))

    async def withdraw(self, request: Request) -> Json:
        """Take a draft back."""
        return _draft(msgspec.to_builtins(await self._partner.withdraw(request.params["draft_id"])))

    async def delete(self, request: Request) -> Json:
        """Delete a message in its author's name."""
        body = request.json(DeleteBody)
        purpose = self.purpose(body.purpose)
        entry = await self._partner.delete(body.room_id, body.event_id, purpose, reason=body.reason)
        return {"room_id": body.room_id, "event_id": body.event_id, "redaction_id": entry.body["redaction_id"]}


def _grant(held: Json) -> Json:
    """A grant without what is of no use outside."""
    shown = {name: value for name, value in held.items() if name != "key_hash"}
    shown["from"] = shown.pop("from_")
    return shown


def _draft(status: Json) -> Json:
    return {name: value for name, value in status.items() if name != "entries"}
