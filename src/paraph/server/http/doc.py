"""What an endpoint says of itself for the OpenAPI document: parameters, bodies, answers and the errors it may give.

A shape is a msgspec struct (or any type that msgspec has a schema for) or a JSON Schema. Bodies that are checked by the
protocol's own verifiers (signed documents) are described here and verified there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Shape = Any
"""A type that msgspec has a schema for, or a JSON Schema as a mapping."""
PATH_VARIABLES = {
    "room_id": "the room, percent-encoded",
    "event_id": "the event, percent-encoded",
    "device_id": "the device",
    "draft_id": "the draft",
    "grant_id": "the grant",
    "media_id": "the attachment",
    "webhook_id": "the webhook",
    "slug": "the word that names it",
}
"""What a `{name}` in a path stands for, in whichever path."""
JSON, FORM, HTML = "application/json", "application/x-www-form-urlencoded", "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the query, or a header field."""

    name: str
    shape: Shape
    meaning: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes back with one status; `shape` None: an empty body."""

    meaning: str
    shape: Shape | None = None
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    """Header fields of this answer alone, each with its meaning."""


@dataclass(frozen=True, slots=True)
class Doc:
    """One endpoint. What every endpoint of its access may answer besides (401, 429, 500 ...) is not repeated.

    `errors` are slugs of the registry of problem types (`problems.PROBLEMS`); `oauth_errors`, for endpoints under
    /oauth, OAuth error codes by status. `tag` is the section it stands in; `text` says what the summary cannot.
    """

    tag: str
    answers: Mapping[int, Answer]
    text: str = ""
    query: tuple[Parameter, ...] = ()
    headers: tuple[Parameter, ...] = ()
    body: Shape | None = None
    body_type: str = JSON
    errors: tuple[str, ...] = ()
    oauth_errors: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
