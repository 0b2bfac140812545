"""What the protocol's names mean, in plain words for people who do not know it."""

from collections.abc import Mapping
from typing import Any

KINDS = {
    "agreement": "Agreement",
    "agreement-ended": "End of an agreement",
    "partner-device": "Partner's device",
    "partner-device-ended": "End of a partner's device",
    "platform": "Build of the platform",
    "consent-template": "Consent text",
    "report": "Report",
    "notice": "Notice",
    "admin": "Act of the operator",
    "private": "Private record",
    "epoch": "Closing record",
}
"""Kinds of records, one of each."""

COUNTED = {
    "agreement": "Agreements with partners",
    "agreement-ended": "Ends of agreements",
    "partner-device": "Partners' devices",
    "partner-device-ended": "Ends of partners' devices",
    "platform": "Builds of the platform",
    "consent-template": "Consent texts",
    "report": "Reports",
    "notice": "Notices",
    "admin": "Acts of the operator",
}
"""Kinds of public records, many of each, in the order in which they are counted."""

FIELDS = {
    "act": "Act",
    "admin": "Act",
    "after": "After",
    "agreement_hash": "Hash of the agreement",
    "algorithms": "Algorithms",
    "api": "Hash of the table of endpoints",
    "before": "Before",
    "consideration": "What each side gives",
    "created": "Valid from",
    "device_id": "Device",
    "device_keys": "Keys of the device",
    "document": "Document",
    "ended": "Ended",
    "expires": "Valid until",
    "from": "In force from",
    "initiation_surfaces": "Where sending begins",
    "interfaces": "Interfaces",
    "keys": "Keys",
    "kind": "Kind",
    "limits": "Limits",
    "locale": "Language",
    "master_key": "Partner's master key",
    "max_duration_days": "Longest permission (days)",
    "max_retention_days": "Longest keeping (days)",
    "name": "Name",
    "notice_days": "Notice before an extension (days)",
    "openapi": "Hash of the API's description",
    "operator": "Operator",
    "operator_key": "Operator's key",
    "paragraphs": "Paragraphs",
    "partner": "Partner",
    "party": "Side",
    "phrases": "Phrases",
    "predecessor": "Hash of the version before",
    "purposes": "Purposes",
    "reason": "Reason",
    "receipt_key": "Key for receipts",
    "report": "Grid of reports",
    "role": "Role",
    "server_name": "Server name",
    "signatories": "Signatories",
    "signatures": "Signatures",
    "template": "Template",
    "text": "Text",
    "ties": "Ties between the two sides",
    "ts": "Recorded",
    "type": "Type of document",
    "until": "In force until",
    "user_id": "Address",
    "variants": "Variants",
    "verbs": "What the partner may be allowed",
    "version": "Version",
}

TIMES = frozenset({"created", "ended", "expires", "from", "time", "ts", "until", "deadline"})
"""Fields that hold a time in milliseconds since 1970."""

VERBS = {
    "metadata": "see which of a person's conversations there are and when messages are sent, not with whom",
    "read": "read messages that the person wrote",
    "read:attachments": "open files that the person attached",
    "write:draft": "leave drafts, which only the person can send",
    "delete:via-partner": "delete messages that were sent through the partner",
    "delete:authored": "delete any message that the person wrote",
    "friends": "see which of the person's friends have accepted to be listed",
}

STATES = {
    "in_force": "in force",
    "not_begun": "not in force yet",
    "replaced": "replaced by a later version",
    "expired": "ran out",
    "ended": "ended",
    "none": "no agreement",
    "live": "valid",
}
"""States of partners, agreements and devices."""


def field(name: str) -> str:
    """A field's name for people."""
    return FIELDS.get(name, name.replace("_", " "))


def path(name: str) -> str:
    """The way to a field inside fields (`report.variants`) for people."""
    return " › ".join(field(part) for part in name.split("."))


def title(kind: str, document: Mapping[str, Any]) -> str:
    """What a public record is, in a few words. A document of an unknown form is called by its kind."""
    version, device = document.get("version"), document.get("device_id")
    if kind == "agreement" and type(version) is int:
        return f"Agreement, version {version}"
    if kind == "agreement-ended" and type(version) is int:
        return f"End of the agreement, version {version}"
    if kind == "partner-device" and isinstance(keys := document.get("device_keys"), Mapping):
        return f"Device {keys.get('device_id')}"
    if kind == "partner-device-ended" and isinstance(device, str):
        return f"End of device {device}"
    if kind == "platform" and isinstance(version, str):
        return f"Build {version}"
    if kind == "consent-template" and isinstance(name := document.get("template"), str):
        return f"Consent text {name} ({document.get('locale')})"
    return KINDS.get(kind, kind)
