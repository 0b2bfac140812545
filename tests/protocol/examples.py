"""Signed documents for the tests: one operator, one partner, one person with one device."""

from dataclasses import dataclass, field
from typing import Any

from paraph.protocol import consent
from paraph.protocol.agreement import Agreement
from paraph.protocol.base64 import b64url
from paraph.protocol.documents import parse, to_document
from paraph.protocol.enrolment import key_hash
from paraph.protocol.grant import Amendment, Grant
from paraph.protocol.limits import DAY_MS
from paraph.protocol.signing import SigningKey, document_hash, sign

SERVER = "example.org"
AUTHOR = f"@author:{SERVER}"
DEVICE = "AUTHORDEV"
SLUG = "film-club"
ADDRESS = f"@app-{SLUG}:{SERVER}"
NOW = 1_750_000_000_000
ROOMS = (f"!first:{SERVER}", f"!second:{SERVER}", f"!third:{SERVER}")
GRANT_ID = "gr_" + b64url(bytes(range(16)))
LOG_KEY = bytes(range(32))


def key(number: int) -> SigningKey:
    """A signing key that is the same in every run."""
    return SigningKey.from_seed(bytes([number]) * 32)


@dataclass(frozen=True)
class Keys:
    """Who signs in the examples."""

    operator: SigningKey = field(default_factory=lambda: key(1))
    partner: SigningKey = field(default_factory=lambda: key(2))
    partner_device: SigningKey = field(default_factory=lambda: key(3))
    master: SigningKey = field(default_factory=lambda: key(4))
    self_signing: SigningKey = field(default_factory=lambda: key(5))
    device: SigningKey = field(default_factory=lambda: key(6))
    stranger: SigningKey = field(default_factory=lambda: key(7))


KEYS = Keys()
KNOWN = {"server_name": SERVER, "operator_key": KEYS.operator.public_key, "master_key": KEYS.partner.public_key}


def by_operator(document: dict[str, Any]) -> dict[str, Any]:
    """Signed by the operator."""
    return sign(document, SERVER, "ed25519:operator", KEYS.operator.sign)


def by_partner(document: dict[str, Any]) -> dict[str, Any]:
    """Signed by the partner's master key."""
    return sign(document, ADDRESS, KEYS.partner.key_id, KEYS.partner.sign)


def by_device(document: dict[str, Any]) -> dict[str, Any]:
    """Signed by the author's device."""
    return sign(document, AUTHOR, f"ed25519:{DEVICE}", KEYS.device.sign)


def agreement(**changes: Any) -> dict[str, Any]:
    """An agreement that allows reading for recommendations, signed by both sides."""
    document = {
        "type": "org.paraph.agreement",
        "partner": SLUG,
        "name": "Film Club",
        "version": 1,
        "predecessor": None,
        "master_key": KEYS.partner.public_key,
        "operator_key": KEYS.operator.public_key,
        "signatories": [
            {"party": "operator", "name": "The operator", "role": "Managing director"},
            {"party": "partner", "name": "The partner", "role": "Managing director"},
        ],
        "consideration": {"operator": "Access for grantors.", "partner": "A yearly fee."},
        "ties": [],
        "purposes": ["recommendations", "statistics"],
        "verbs": ["metadata", "read"],
        "max_duration_days": 90,
        "max_retention_days": 30,
        "report": {"interfaces": ["inbox"], "initiation_surfaces": ["search"], "variants": ["one"]},
        "limits": {"requests_per_minute": 600},
        "from": NOW - 100 * DAY_MS,
        "until": NOW + 200 * DAY_MS,
        "notice_days": 30,
        "reason": None,
        **changes,
    }
    return by_partner(by_operator(document))


def agreement_ended(**changes: Any) -> dict[str, Any]:
    """The end of `agreement()`, unsigned."""
    return {
        "type": "org.paraph.agreement_ended",
        "partner": SLUG,
        "version": 1,
        "agreement_hash": document_hash(agreement()),
        "ended": NOW,
        "reason": "By common consent.",
        **changes,
    }


def device_keys(user_id: str, device_id: str, signer: SigningKey) -> dict[str, Any]:
    """Matrix device keys with the device's own signature."""
    document = {
        "user_id": user_id,
        "device_id": device_id,
        "algorithms": ["m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"],
        "keys": {f"curve25519:{device_id}": key(9).public_key, f"ed25519:{device_id}": signer.public_key},
    }
    return sign(document, user_id, f"ed25519:{device_id}", signer.sign)


def partner_device(**changes: Any) -> dict[str, Any]:
    """A device of the partner, signed by itself and the partner's master key."""
    return by_partner(
        {
            "type": "org.paraph.partner_device",
            "partner": SLUG,
            "device_keys": device_keys(ADDRESS, "PARTNERDEV", KEYS.partner_device),
            "created": NOW,
            "expires": NOW + 30 * DAY_MS,
            **changes,
        }
    )


def partner_device_ended(**changes: Any) -> dict[str, Any]:
    """The end of `partner_device()`, unsigned."""
    return {
        "type": "org.paraph.partner_device_ended",
        "partner": SLUG,
        "device_id": "PARTNERDEV",
        "ended": NOW,
        "reason": None,
        **changes,
    }


def chain() -> dict[str, Any]:
    """The author's device, vouched for by the self-signing key, vouched for by the master key."""
    public = KEYS.self_signing.public_key
    self_signing = {"user_id": AUTHOR, "usage": ["self_signing"], "keys": {f"ed25519:{public}": public}}
    device = device_keys(AUTHOR, DEVICE, KEYS.device)
    return {
        "device_keys": sign(device, AUTHOR, KEYS.self_signing.key_id, KEYS.self_signing.sign),
        "self_signing_key": sign(self_signing, AUTHOR, KEYS.master.key_id, KEYS.master.sign),
    }


def enrolment(**changes: Any) -> dict[str, Any]:
    """The author's device enrols, signed under her master key and by the device."""
    document = {
        "type": "org.paraph.enrolment",
        "user_id": AUTHOR,
        "device_id": DEVICE,
        "master_key": KEYS.master.public_key,
        "curve25519": key(9).public_key,
        "ed25519": KEYS.device.public_key,
        "log_key_hash": key_hash(LOG_KEY),
        "created": NOW,
        **changes,
    }
    return by_device(sign(document, AUTHOR, KEYS.master.key_id, KEYS.master.sign))


def grant(**changes: Any) -> dict[str, Any]:
    """A grant under `agreement()` with the consent text's hash, signed by the author's device."""
    document = {
        "type": "org.paraph.grant",
        "grant_id": GRANT_ID,
        "person": AUTHOR,
        "device_id": DEVICE,
        "master_key": KEYS.master.public_key,
        "partner": SLUG,
        "agreement": {"version": 1, "hash": document_hash(agreement())},
        "verbs": ["read"],
        "rooms": list(ROOMS),
        "purposes": ["recommendations"],
        "from": NOW,
        "until": NOW + 60 * DAY_MS,
        "history": None,
        "retention_days": 14,
        "grant_key_hash": key_hash(bytes(32)),
        **changes,
    }
    if "consent" not in document:
        text = consent.render(consent.TEMPLATE, document, parse(Agreement, agreement()))
        document["consent"] = {
            "template": consent.TEMPLATE.template,
            "locale": consent.TEMPLATE.locale,
            "text_hash": consent.text_hash(text),
        }
    return by_device(document)


def amendment(change: dict[str, Any], previous: str | None = None, **changes: Any) -> dict[str, Any]:
    """An amendment of `grant()`, signed by the author's device."""
    return by_device(
        {
            "type": "org.paraph.amendment",
            "grant_id": GRANT_ID,
            "person": AUTHOR,
            "device_id": DEVICE,
            "previous": previous or document_hash(grant()),
            "change": change,
            "created": NOW + 1,
            **changes,
        }
    )


def amended(change: dict[str, Any], previous: Grant | Amendment | None = None, **changes: Any) -> Amendment:
    """An amendment of `grant()` as a struct."""
    return parse(Amendment, amendment(change, None if previous is None else previous.hash, **changes))


def revocation(**changes: Any) -> dict[str, Any]:
    """The end of `grant()`."""
    return {
        "type": "org.paraph.revocation",
        "grant_id": GRANT_ID,
        "person": AUTHOR,
        "reason": None,
        "created": NOW + 2,
        **changes,
    }


def random_id(number: int) -> str:
    """A random id that is the same in every run."""
    return b64url(bytes([number]) * 32)


def consent_template() -> dict[str, Any]:
    """The template's public document."""
    return to_document(consent.TEMPLATE)
