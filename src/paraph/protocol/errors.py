"""Errors of the protocol: every one says what was expected and what came instead."""


class ProtocolError(Exception):
    """A value, document, signature or leaf does not follow the protocol."""


class CanonicalJsonError(ProtocolError):
    """A value has no canonical JSON form, or a text is not the JSON that the protocol admits."""


class Base64Error(ProtocolError):
    """A text is not the one base64 form of its bytes, or holds the wrong number of bytes."""


class IdentifierError(ProtocolError):
    """A user, room, event, device, grant or partner identifier is malformed."""


class SignatureError(ProtocolError):
    """A signature is missing, malformed or does not match the document and key."""


class ChainError(SignatureError):
    """A device's key is not vouched for by the person's master key."""


class DocumentError(ProtocolError):
    """A document lacks a member, has one too many, or has one outside its bounds."""


class ScopeError(ProtocolError):
    """A grant or amendment asks for what its agreement or its grant does not allow."""


class EntryError(ProtocolError):
    """A ledger entry, label or opening is malformed."""


class LeafError(ProtocolError):
    """A log leaf is malformed or not in its one canonical form."""
