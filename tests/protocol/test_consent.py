"""The consent text."""

import hashlib
from typing import Any

import msgspec
import pytest

from paraph.protocol import consent
from paraph.protocol.agreement import Agreement
from paraph.protocol.base64 import b64url
from paraph.protocol.documents import parse
from paraph.protocol.errors import DocumentError
from paraph.protocol.fields import VERBS
from paraph.protocol.grant import Grant
from paraph.protocol.limits import DAY_MS
from tests.protocol import examples
from tests.protocol.examples import AUTHOR, DEVICE, NOW, ROOMS, SLUG

AGREEMENT = parse(Agreement, examples.agreement())


def text(**changes: Any) -> str:
    """The text of the example grant, changed."""
    return consent.render(consent.TEMPLATE, {**examples.grant(), **changes}, AGREEMENT)


def test_the_text_says_all_that_the_grant_says() -> None:
    """Who, what, where, what for, from when until when, how long kept: each stands in the text."""
    shown = text()
    for part in (
        "Film Club",
        SLUG,
        AUTHOR,
        DEVICE,
        *ROOMS,
        "read the messages that you write",
        "- recommendations",
        "2025-06-15 15:06 UTC",
        "2025-08-14 15:06 UTC",
        "14 days",
        "version 1",
        AGREEMENT.hash,
        "What cannot be taken back",
        "Messages from before this permission are not included.",
        "Advertising is not among these purposes.",
    ):
        assert part in shown
    assert "$" not in shown.replace("$opaque", "")


@pytest.mark.parametrize(
    "changes",
    [
        {"person": "@other:example.org"},
        {"device_id": "OTHERDEV"},
        {"partner": "other"},
        {"verbs": ["metadata"]},
        {"verbs": ["read", "metadata"]},
        {"rooms": "all"},
        {"rooms": [ROOMS[0]]},
        {"purposes": ["statistics"]},
        {"purposes": ["recommendations", "advertising"]},
        {"from": NOW + DAY_MS},
        {"until": NOW + DAY_MS},
        {"history": NOW - DAY_MS},
        {"retention_days": 0},
        {"retention_days": 13},
        {"agreement": {"version": 2, "hash": AGREEMENT.hash}},
        {"agreement": {"version": 1, "hash": "A" * 43}},
    ],
)
def test_another_grant_has_another_text(changes: dict[str, Any]) -> None:
    """Nothing that a grant allows can change without changing the text."""
    assert text(**changes) != text()


def test_advertising_is_named() -> None:
    """Where advertising is among the purposes, the text says so in words."""
    assert "Advertising is among these purposes." in text(purposes=["advertising"])


def test_every_verb_has_its_sentence() -> None:
    """The template knows each verb and no other, and the order in the grant does not matter."""
    assert set(consent.TEMPLATE.verbs) == set(VERBS)
    for verb in VERBS:
        sentence = consent.TEMPLATE.verbs[verb].replace("$name", "Film Club")
        assert f"- {sentence}" in text(verbs=[verb])
    assert text(verbs=list(VERBS)) == text(verbs=list(reversed(VERBS)))


def test_the_hash_can_be_recomputed() -> None:
    """Grant, agreement and template give the text whose hash the grant names; another hash is refused."""
    grant = parse(Grant, examples.grant())
    shown = consent.check_consent(grant, AGREEMENT)
    assert shown == text()
    assert grant.consent.text_hash == b64url(hashlib.sha256(shown.encode()).digest())
    for wrong in ({"text_hash": "A" * 43}, {"template": "other"}, {"locale": "fr"}):
        changed = parse(Grant, examples.grant(consent={**examples.grant()["consent"], **wrong}))
        with pytest.raises(DocumentError):
            consent.check_consent(changed, AGREEMENT)
    wider = parse(Grant, examples.grant(consent=examples.grant()["consent"], verbs=["read", "friends"]))
    with pytest.raises(DocumentError):
        consent.check_consent(wider, AGREEMENT)


def test_a_text_can_be_rendered_before_there_is_a_signature() -> None:
    """The members that come after the text are not needed for it."""
    draft = {
        name: value
        for name, value in examples.grant().items()
        if name not in ("consent", "signatures", "grant_key_hash", "type", "grant_id", "master_key")
    }
    assert consent.render(consent.TEMPLATE, draft, AGREEMENT) == text()


@pytest.mark.parametrize("member", ["person", "verbs", "rooms", "from", "history", "agreement"])
def test_a_missing_or_foreign_value_is_refused(member: str) -> None:
    """No text is shown with a gap in it."""
    for document in (
        {name: value for name, value in examples.grant().items() if name != member},
        {**examples.grant(), "verbs": ["unknown"]},
        {**examples.grant(), "until": 2**53 - 1},
    ):
        with pytest.raises(DocumentError):
            consent.render(consent.TEMPLATE, document, AGREEMENT)


def test_values_are_not_read_as_template() -> None:
    """A room or name with a placeholder in it stands in the text as it is."""
    named = msgspec.structs.replace(AGREEMENT, name="$person $$")
    shown = consent.render(consent.TEMPLATE, {**examples.grant(), "rooms": ["!$until:x.example"]}, named)
    assert "Permission for $person $$ (" in shown
    assert "- !$until:x.example" in shown


def test_the_template_is_a_public_document() -> None:
    """The template is published as it is used, so a stranger renders the same text from the record."""
    published = parse(consent.ConsentTemplate, examples.consent_template())
    assert published == consent.TEMPLATE == consent.find_template("paraph-grant-1", "en")
    assert consent.render(published, examples.grant(), AGREEMENT) == text()
