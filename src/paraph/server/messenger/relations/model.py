"""What `m.relates_to` in an event's content says (Client-Server API, "Forming relationships between events")."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

RELATES_TO = "m.relates_to"
ANNOTATION = "m.annotation"
REFERENCE = "m.reference"
REPLACE = "m.replace"
THREAD = "m.thread"
MAX_NAME_BYTES = 255
MAX_HOPS = 3
"""Relations followed from an event to the root of its thread, and levels that `recurse` goes down."""


@dataclass(frozen=True, slots=True)
class Relation:
    """One event's relation to another; `key` is an annotation's."""

    rel_type: str
    target_id: str
    key: str | None = None


def relation_of(content: Mapping[str, Any]) -> Relation | None:
    """The relation that this content states, or None: none, or one that has not the shape of one."""
    said = content.get(RELATES_TO)
    if not isinstance(said, dict):
        return None
    rel_type, target_id, key = said.get("rel_type"), said.get("event_id"), said.get("key")
    if not (isinstance(rel_type, str) and isinstance(target_id, str) and _is_name(rel_type) and _is_name(target_id)):
        return None
    return Relation(rel_type, target_id, _short(key) if isinstance(key, str) else None)


def _is_name(value: str) -> bool:
    return 0 < len(value.encode("utf-8", "surrogatepass")) <= MAX_NAME_BYTES


def _short(key: str) -> str:
    """The key itself, or its hash where an index could not hold it."""
    data = key.encode("utf-8", "surrogatepass")
    return key if len(data) <= MAX_NAME_BYTES else hashlib.sha256(data).hexdigest()
