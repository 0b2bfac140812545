"""What all signed documents share: strict parsing, and the way back to JSON.

A document is verified as the JSON it came as and used as a frozen struct. Both are the same thing: unknown
members are refused and no member has a default, so `to_document(parse(T, d)) == d`.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from paraph.protocol import canonical
from paraph.protocol.errors import DocumentError
from paraph.protocol.fields import Signatures
from paraph.protocol.limits import MAX_DOCUMENT_BYTES
from paraph.protocol.signing import document_hash


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An object inside a document."""


class Document(Part, frozen=True, forbid_unknown_fields=True, kw_only=True, rename={"from_": "from"}):
    """An object that carries `type` and, mostly, `signatures`; `from` is `from_` in Python."""

    signatures: Signatures | msgspec.UnsetType = msgspec.UNSET

    @property
    def hash(self) -> str:
        """The document hash: base64url(SHA-256(canonical JSON without `signatures`))."""
        return document_hash(to_document(self))


PartT = TypeVar("PartT", bound=Part)


def parse(kind: type[PartT], document: Mapping[str, Any] | bytes) -> PartT:
    """Parse JSON text or a JSON object as one kind of document, with every bound checked.

    No signature is checked here. Raises DocumentError for a missing, unknown or out-of-bounds member and for
    more than 65,000 bytes; CanonicalJsonError for what is not strict JSON.
    """
    if isinstance(document, bytes):
        if len(document) > MAX_DOCUMENT_BYTES:
            raise _too_large(len(document))
        document = canonical.decode(document)
    if not isinstance(document, Mapping):
        raise DocumentError(f"expected a JSON object, found {type(document).__name__}")
    members = dict(document)
    size = len(canonical.encode(members))
    if size > MAX_DOCUMENT_BYTES:
        raise _too_large(size)
    try:
        return msgspec.convert(members, kind)
    except msgspec.ValidationError as error:
        raise DocumentError(f"{kind.__name__}: {error}") from error


def to_document(part: Part) -> dict[str, Any]:
    """The JSON object of a document or part; a fresh copy, lists as lists."""
    document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(part))
    return document


def _too_large(size: int) -> DocumentError:
    return DocumentError(f"expected at most {MAX_DOCUMENT_BYTES} bytes, found {size}")
