"""The sidecar's addresses, in one table: what serves them, and what its OpenAPI document is made of."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from paraph.cli.sidecar.handlers import (
    MAX_MESSAGES,
    MAX_WAIT,
    AcknowledgeBody,
    AttachmentBody,
    DeleteBody,
    DraftBody,
    Handlers,
)
from paraph.cli.sidecar.problems import KINDS
from paraph.cli.sidecar.request import Request

Json = dict[str, Any]
BYTES = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Route:
    """An address. `query` has its parameters, with what each means; `gives` the members of its answer."""

    method: str
    path: str
    handler: Callable[[Request], Awaitable[Any]]
    summary: str
    query: dict[str, str]
    body: type[msgspec.Struct] | None
    gives: str


PURPOSE = {"purpose": "what the read is for; by default what the run was started with"}


def routes(on: Handlers) -> list[Route]:
    """Every address but `/openapi.json`."""
    since = {
        "since": "the state of an earlier answer: everything up to it is acknowledged, and kept no more",
        "limit": f"at most so many, 1 to {MAX_MESSAGES} (100)",
        "wait": f"seconds to wait for some, 0 to {MAX_WAIT} (0)",
    }
    page = {"since": "`next` of an earlier answer", "limit": f"at most so many, 1 to {MAX_MESSAGES} (100)"}
    room = {"room_id!": "the room"}
    grant = {"grant_id!": "the grant"}
    return [
        Route("GET", "/health", on.health, "Who this is, and how it fares", {}, None, "status, partner, streams"),
        Route(
            "GET",
            "/changes",
            on.changes,
            "Everything new, as JSON, JSON Lines or server-sent events",
            since | PURPOSE,
            None,
            "changes, state",
        ),
        Route(
            "POST", "/acknowledgements", on.acknowledge, "Acknowledge changes up to a state", {}, AcknowledgeBody, ""
        ),
        Route("GET", "/grants", on.grants, "Live grants that verify", {"grant_id": "this one alone"}, None, "grants"),
        Route("GET", "/rooms", on.rooms, "Rooms in which something may be read", {}, None, "rooms"),
        Route(
            "GET",
            "/messages",
            on.messages,
            "Messages of a room, opened as far as keys were given",
            room | page | PURPOSE,
            None,
            "messages, pending, next",
        ),
        Route("GET", "/metadata", on.metadata, "When an author's conversations happen", grant | PURPOSE, None, "rooms"),
        Route("GET", "/friends", on.friends, "Codes of an author's friends", grant | PURPOSE, None, "friends"),
        Route("POST", "/attachments", on.attachment, "The file of a message, opened", {}, AttachmentBody, BYTES),
        Route("POST", "/drafts", on.leave, "Leave a draft for an author", {}, DraftBody, "draft_id"),
        Route("GET", "/drafts/{draft_id}", on.draft, "What has become of a draft", {}, None, "draft_id, status"),
        Route("DELETE", "/drafts/{draft_id}", on.withdraw, "Take a draft back", {}, None, "draft_id, status"),
        Route(
            "POST",
            "/deletes",
            on.delete,
            "Delete a message in its author's name",
            {},
            DeleteBody,
            "room_id, event_id, redaction_id",
        ),
        Route("GET", "/evidence", on.evidence, "What proves that the platform broke a promise", {}, None, "evidence"),
    ]


def openapi(listed: list[Route], version: str) -> Json:
    """The OpenAPI 3.1 document of these addresses."""
    bodies = [route.body for route in listed if route.body is not None]
    _, schemas = msgspec.json.schema_components(bodies, ref_template="#/components/schemas/{name}")
    paths: dict[str, Json] = {}
    for route in listed:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    members = {"type": "string"}, {"type": "integer"}
    problem = {
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {name: members[name == "status"] for name in ("type", "title", "status", "detail", "platform")},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Paraph partner sidecar", "version": version, "description": ABOUT},
        "paths": paths,
        "components": {
            "schemas": {**schemas, "Problem": problem},
            "securitySchemes": {"run": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"run": []}],
    }


ABOUT = "A partner's device on this machine: what it opened, as JSON. Errors are problem details: " + " ".join(
    f"`urn:paraph:sidecar:{slug}` ({status}): {meaning}" for slug, (status, meaning) in KINDS.items()
)


def _operation(route: Route) -> Json:
    named = [(name.removesuffix("!"), "query", name.endswith("!"), text) for name, text in route.query.items()]
    if "{draft_id}" in route.path:
        named.append(("draft_id", "path", True, "the draft"))
    errors = {"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    made: Json = {
        "summary": route.summary,
        "parameters": [
            {"name": name, "in": place, "required": required, "description": text, "schema": {"type": "string"}}
            for name, place, required, text in named
        ],
        "responses": {**_answer(route), "default": {"description": "Not done, and why", **errors}},
    }
    if route.body is not None:
        reference = {"$ref": f"#/components/schemas/{route.body.__name__}"}
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": reference}}}
    return made


def _answer(route: Route) -> Json:
    if not route.gives:
        return {"204": {"description": "Done"}}
    if route.gives == BYTES:
        return {"200": {"description": "The bytes", "content": {BYTES: {}}}}
    required = route.gives.split(", ")
    schema = {"type": "object", "required": required, "properties": {name: {} for name in required}}
    content: Json = {"application/json": {"schema": schema}}
    if route.path == "/changes":
        content |= {"application/jsonl": {}, "text/event-stream": {}}
    return {"200": {"description": "Done", "content": content}}
