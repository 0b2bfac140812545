"""The text a person agrees to, rendered from public parts alone, so that anyone can recompute its hash.

A template is a public record (`consent-template`); with the grant and its agreement it gives the text byte for
byte. Rendering replaces `$names` and lines up lists; it knows no other rule.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from string import Template
from typing import Annotated, Any, Literal

from msgspec import Meta

from paraph.protocol.agreement import Agreement
from paraph.protocol.base64 import b64url
from paraph.protocol.documents import Document, to_document
from paraph.protocol.errors import DocumentError
from paraph.protocol.fields import ADVERTISING, VERBS, Label, Locale, Text
from paraph.protocol.grant import Grant

_Paragraphs = Annotated[tuple[Text, ...], Meta(min_length=1, max_length=64)]
_Phrases = Annotated[dict[str, Text], Meta(max_length=64)]


class ConsentTemplate(Document, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`org.paraph.consent_template`: paragraphs with `$names`, a sentence for each verb, and the phrases between."""

    type: Literal["org.paraph.consent_template"]
    template: Label
    locale: Locale
    paragraphs: _Paragraphs
    verbs: _Phrases
    phrases: _Phrases


TEMPLATE = ConsentTemplate(
    type="org.paraph.consent_template",
    template="paraph-grant-1",
    locale="en",
    paragraphs=(
        "Permission for $name ($partner)",
        "You, $person, allow $name to do the following. You sign this with your device $device.",
        "What $name may do:\n$verbs",
        "Where:\n$rooms",
        "What for:\n$purposes\n$advertising",
        "From $from until $until. It then ends by itself.",
        "$history",
        "$retention",
        "Whose words: messages that you write yourself, on those of your devices that are enrolled with Paraph. "
        "What others write to you is theirs and is not opened by this permission; but where you quote or forward "
        "others' words in a message of your own, $name reads them there.",
        "Who sees it: the people in these conversations see that $name may read your words there, and until when. "
        "Each access through the platform is recorded, and you can list all of them.",
        "You can pause, narrow or end this permission at any time, without giving a reason. From then on the "
        "platform hands out no more than you still allow, and your devices use new keys before your next message.",
        "What cannot be taken back: $name can keep and copy what it has been able to open before the end. The "
        "purposes and the time of keeping are promises by $name; no technique enforces them. Nobody can prove what "
        "happens outside the platform. Whether or not you agree, the platform itself sees who talks with whom and "
        "when.",
        "This permission lies within agreement version $version between the platform and $name, which is public "
        "(hash $agreement_hash). When that agreement ends, this permission ends.",
    ),
    verbs={
        "metadata": "see which of these conversations there are and when messages are sent in them; it is not told "
        "who the others are, only a code for each",
        "read": "read the messages that you write in them",
        "read:attachments": "open the files that you attach to your messages",
        "write:draft": "leave drafts for you; nothing is sent unless one of your devices sends it",
        "delete:via-partner": "delete messages of yours that were sent through $name",
        "delete:authored": "delete any message that you wrote in these conversations",
        "friends": "see which of your friends have accepted to be listed, as a code for each",
    },
    phrases={
        "item": "- $item",
        "all_rooms": "- all your conversations, also those that begin later",
        "advertising_granted": "Advertising is among these purposes.",
        "advertising_withheld": "Advertising is not among these purposes.",
        "history_none": "Messages from before this permission are not included.",
        "history_since": "Your earlier messages are included, back to $since.",
        "retention_none": "$name promises to keep nothing of what it opens.",
        "retention_days": "$name promises to delete what it opened at the latest $days days after opening it.",
    },
)
"""The English text for a grant; a changed wording is a new template under a new name."""

_TEMPLATES = {(TEMPLATE.template, TEMPLATE.locale): TEMPLATE}


def find_template(template: str, locale: str) -> ConsentTemplate:
    """The template of this name and language; raises DocumentError if there is none."""
    try:
        return _TEMPLATES[template, locale]
    except KeyError:
        raise DocumentError(f"expected a known consent template, found {template!r} in {locale!r}") from None


def render(template: ConsentTemplate, grant: Mapping[str, Any], agreement: Agreement) -> str:
    """The text of a grant, lines ended by line feeds, paragraphs apart by an empty line, no line feed at the end.

    `grant` is the JSON object of the grant, signed or not; `consent` and `grant_key_hash`, which are made after
    the text was shown, need not be there. Raises DocumentError for a member the text needs and does not find.
    """
    try:
        values = _values(template, grant, agreement)
        paragraphs = [Template(paragraph).substitute(values) for paragraph in template.paragraphs]
    except (KeyError, TypeError, ValueError, OverflowError, OSError) as error:
        raise DocumentError(f"no consent text: {type(error).__name__} {error}") from error
    return "\n\n".join(paragraphs)


def text_hash(text: str) -> str:
    """base64url(SHA-256(UTF-8 of the text)), as a grant's `consent.text_hash` states it."""
    return b64url(hashlib.sha256(text.encode("utf-8")).digest())


def check_consent(grant: Grant, agreement: Agreement) -> str:
    """Recompute the text that a grant says was shown, and give it; raises DocumentError if its hash differs."""
    template = find_template(grant.consent.template, grant.consent.locale)
    text = render(template, to_document(grant), agreement)
    if text_hash(text) != grant.consent.text_hash:
        raise DocumentError(f"expected a grant with the text hash {text_hash(text)}, found {grant.consent.text_hash}")
    return text


def _values(template: ConsentTemplate, grant: Mapping[str, Any], agreement: Agreement) -> dict[str, str]:
    phrases, name = template.phrases, agreement.name
    advertising = "advertising_granted" if ADVERTISING in grant["purposes"] else "advertising_withheld"
    verbs = [template.verbs[verb] for verb in sorted(grant["verbs"], key=VERBS.index)]
    return {
        "name": name,
        "partner": grant["partner"],
        "person": grant["person"],
        "device": grant["device_id"],
        "verbs": _lines(phrases, [Template(verb).substitute(name=name) for verb in verbs]),
        "rooms": phrases["all_rooms"] if grant["rooms"] == "all" else _lines(phrases, sorted(grant["rooms"])),
        "purposes": _lines(phrases, sorted(grant["purposes"])),
        "advertising": phrases[advertising],
        "from": _date(grant["from"]),
        "until": _date(grant["until"]),
        "history": _history(phrases, grant["history"]),
        "retention": _retention(phrases, grant["retention_days"], name),
        "version": str(grant["agreement"]["version"]),
        "agreement_hash": grant["agreement"]["hash"],
    }


def _lines(phrases: Mapping[str, str], items: Sequence[str]) -> str:
    return "\n".join(Template(phrases["item"]).substitute(item=item) for item in items)


def _history(phrases: Mapping[str, str], history: int | None) -> str:
    if history is None:
        return phrases["history_none"]
    return Template(phrases["history_since"]).substitute(since=_date(history))


def _retention(phrases: Mapping[str, str], days: int, name: str) -> str:
    phrase = phrases["retention_days" if days else "retention_none"]
    return Template(phrase).substitute(name=name, days=days)


def _date(time: int) -> str:
    """A time in milliseconds as a person reads it: to the minute, in UTC."""
    return datetime.fromtimestamp(time // 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
