"""Which messages an encrypted room takes in clear: what annotates a message, and what two devices say to verify each
other (docs/adr/0026). The latter is known by its types and fields, so that no client sends words this way by mistake.
"""

from typing import Any

from paraph.server.messenger.errors import forbidden
from paraph.server.messenger.model import ENCRYPTED, REACTION, REDACTION
from paraph.server.messenger.room import Room

REQUEST = "m.key.verification.request"
_STEPS = {
    "ready": {"from_device", "methods"},
    "start": {
        "from_device",
        "method",
        "key_agreement_protocols",
        "hashes",
        "message_authentication_codes",
        "short_authentication_string",
        "secret",
    },
    "accept": {
        "method",
        "key_agreement_protocol",
        "hash",
        "message_authentication_code",
        "short_authentication_string",
        "commitment",
    },
    "key": {"key"},
    "mac": {"mac", "keys"},
    "done": set(),
    "cancel": {"code", "reason"},
}
"""The fields of each message (Matrix, "Key verification framework")."""
_FIELDS = {f"m.key.verification.{kind}": fields | {"m.relates_to"} for kind, fields in _STEPS.items()}
_REQUEST_FIELDS = {"msgtype", "body", "format", "formatted_body", "from_device", "methods", "to"}
MAX_WORDS = 1000
"""Characters of the free text in a request (told to clients that cannot verify) or a cancellation."""


def check(room: Room, event_type: str, content: dict[str, Any], require_encryption: bool) -> None:
    """Whether this message event may be sent here unencrypted, or at all; raises M_FORBIDDEN."""
    if event_type == ENCRYPTED or not require_encryption or event_type in (REACTION, REDACTION):
        return
    if _verifies(event_type, content):
        return
    where = "in an encrypted room" if room.encrypted else "on this server"
    raise forbidden(f"{event_type} would be readable by the server; {where} messages are sent as {ENCRYPTED}")


def _verifies(event_type: str, content: dict[str, Any]) -> bool:
    fields = _FIELDS.get(event_type)
    if event_type == "m.room.message" and content.get("msgtype") == REQUEST and isinstance(content.get("to"), str):
        fields = _REQUEST_FIELDS
    if fields is None or not content.keys() <= fields:
        return False
    words = (content.get(name) for name in ("body", "formatted_body", "reason"))
    return all(word is None or (isinstance(word, str) and len(word) <= MAX_WORDS) for word in words)
