"""The one document that an evidence file is: `{"type": "org.paraph.evidence", "kind": ..., ...}` in canonical JSON."""

from collections.abc import Mapping
from typing import Any

from paraph.audit.errors import MalformedEvidence
from paraph.protocol.canonical import CanonicalJsonError, decode_canonical, encode

TYPE = "org.paraph.evidence"
MAX_EVIDENCE = 128 * 1024 * 1024
"""Bytes of one evidence file."""


def read(data: bytes) -> dict[str, Any]:
    """The document of an evidence file, of whatever kind. Raises MalformedEvidence."""
    if len(data) > MAX_EVIDENCE:
        raise MalformedEvidence("the file", f"at most {MAX_EVIDENCE} bytes", str(len(data)))
    try:
        document = decode_canonical(data)
    except CanonicalJsonError as error:
        raise MalformedEvidence("the file", "canonical JSON", str(error)) from error
    if not isinstance(document, dict) or document.get("type") != TYPE or "kind" not in document:
        raise MalformedEvidence("the file", f"an object of type {TYPE} with a kind", "something else")
    return document


def write(kind: str, members: Mapping[str, Any]) -> bytes:
    """The evidence file of a kind with these members."""
    return encode({"type": TYPE, "kind": kind, **members})
