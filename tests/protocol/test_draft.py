"""The draft document: its bounds, its signature, what may stand inside, and how a message says through whom it came."""

from typing import Any

import pytest

from paraph.protocol.base64 import b64, b64url
from paraph.protocol.documents import parse, to_document
from paraph.protocol.draft import Draft, DraftBody, Via, read_via, verify_draft, via_hash
from paraph.protocol.entry import entry
from paraph.protocol.errors import DocumentError, EntryError, ProtocolError
from paraph.protocol.limits import DAY_MS, MAX_DRAFT_BODY, MAX_DRAFT_RECIPIENTS
from paraph.protocol.signing import SigningKey, sign

KEY, OTHER = SigningKey.from_seed(b"\x01" * 32), SigningKey.from_seed(b"\x02" * 32)
NOW = 1_760_000_000_000
DRAFT_ID = "dr_" + "A" * 22
GRANT_ID = "gr_" + "A" * 22
ADDRESS = "@app-marquee:example.org"


def olm(**changes: Any) -> dict[str, Any]:
    """The Olm content for one device."""
    ciphertext = {OTHER.public_key: {"type": 0, "body": b64(b"opaque")}}
    return {
        "algorithm": "m.olm.v1.curve25519-aes-sha2",
        "sender_key": KEY.public_key,
        "ciphertext": ciphertext,
    } | changes


def draft(**changes: Any) -> dict[str, Any]:
    """A signed draft."""
    document = {
        "type": "org.paraph.draft",
        "draft_id": DRAFT_ID,
        "grant_id": GRANT_ID,
        "partner": "marquee",
        "device_id": "P1",
        "created": NOW,
        "expires": NOW + 30 * DAY_MS,
        "recipients": [{"device_id": "D1", "content": olm()}],
    } | changes
    return sign(document, ADDRESS, "ed25519:P1", KEY.sign)


def inside(content: Any = None, **changes: Any) -> dict[str, Any]:
    """What stands inside."""
    content = {"msgtype": "m.text", "body": "Friday?"} if content is None else content
    return {"draft_id": DRAFT_ID, "room_id": "!room:example.org", "content": content} | changes


def test_a_draft_that_its_device_signed_is_one() -> None:
    """It comes back as it was, and tells each device what is for it."""
    found = verify_draft(draft(), server_name="example.org", ed25519=KEY.public_key)
    assert to_document(found) == draft()
    content = found.for_device("D1")
    assert content is not None
    assert to_document(content) == olm()
    assert found.for_device("D2") is None


@pytest.mark.parametrize(
    ("document", "key"),
    [
        (draft(), OTHER.public_key),
        ({**draft(), "expires": NOW + 1}, KEY.public_key),
        ({**draft(), "device_id": "P2"}, KEY.public_key),
        ({**draft(), "partner": "tempo"}, KEY.public_key),
        ({name: value for name, value in draft().items() if name != "signatures"}, KEY.public_key),
        ({**draft(), "unsigned": {}}, KEY.public_key),
    ],
)
def test_another_key_or_another_draft_is_refused(document: dict[str, Any], key: str) -> None:
    """The signature is of this device, over every member."""
    with pytest.raises(ProtocolError):
        verify_draft(document, server_name="example.org", ed25519=key)


@pytest.mark.parametrize(
    "changes",
    [
        {"draft_id": "dr_" + "A" * 21 + "B"},
        {"draft_id": GRANT_ID},
        {"expires": NOW},
        {"expires": NOW - 1},
        {"expires": NOW + 30 * DAY_MS + 1},
        {"recipients": []},
        {"recipients": [{"device_id": "D1", "content": olm()}] * 2},
        {"recipients": [{"device_id": f"D{n}", "content": olm()} for n in range(MAX_DRAFT_RECIPIENTS + 1)]},
        {"recipients": [{"device_id": "D1", "content": olm(algorithm="m.megolm.v1.aes-sha2")}]},
        {"recipients": [{"device_id": "D1", "content": olm(ciphertext={})}]},
        {
            "recipients": [
                {
                    "device_id": "D1",
                    "content": olm(ciphertext={key.public_key: {"type": 0, "body": "AAAA"} for key in (KEY, OTHER)}),
                }
            ]
        },
        {"recipients": [{"device_id": "D1", "content": olm(ciphertext={OTHER.public_key: {"type": 2, "body": "A"}})}]},
        {"room_id": "!room:example.org"},
        {"partner": "platform"},
    ],
)
def test_what_is_out_of_bounds_is_refused(changes: dict[str, Any]) -> None:
    """Ids, times, recipients and their contents each have their form; a room in clear is no member."""
    with pytest.raises(DocumentError):
        parse(Draft, draft(**changes))


@pytest.mark.parametrize(
    "content",
    [
        {"msgtype": "m.text", "body": "x"},
        {"msgtype": "m.emote", "body": "waves\nand waves"},
        {"msgtype": "m.notice", "body": "x" * MAX_DRAFT_BODY},
        {"msgtype": "m.text", "body": "x", "m.relates_to": {"m.in_reply_to": {"event_id": "$x"}}},
    ],
)
def test_what_a_draft_can_say(content: dict[str, Any]) -> None:
    """Words, perhaps as a reply; they come out as they went in."""
    assert to_document(parse(DraftBody, inside(content))) == inside(content)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"msgtype": "m.text", "body": ""},
        {"msgtype": "m.text", "body": "x" * (MAX_DRAFT_BODY + 1)},
        {"msgtype": "m.file", "body": "x", "url": "mxc://x/y"},
        {"msgtype": "m.text", "body": "x", "format": "org.matrix.custom.html", "formatted_body": "y"},
        {"msgtype": "m.text", "body": "x", "m.relates_to": {"rel_type": "m.replace", "event_id": "$x"}},
        {"msgtype": "m.text", "body": "x", "m.relates_to": {}},
        {"msgtype": "m.text", "body": "x", "m.new_content": {"msgtype": "m.text", "body": "y"}},
        {"msgtype": "m.text", "body": "x", "org.paraph.via": {"hash": "x"}},
    ],
)
def test_what_a_draft_cannot_say(content: dict[str, Any]) -> None:
    """Nothing that others would be shown instead of what the author read."""
    with pytest.raises(DocumentError):
        parse(DraftBody, inside(content))


def test_through_whom_a_message_came() -> None:
    """The hash is of exactly partner and draft; what is malformed is refused and not passed over."""
    via = {"partner": "marquee", "draft_id": DRAFT_ID}
    assert read_via({}) is None
    assert read_via({"org.paraph.via": via}) == Via(partner="marquee", draft_id=DRAFT_ID)
    assert via_hash(via) == "w7Z2yVoYdPPHeVdU7JDnLrYXbr3U19p7qw0AH6ddJfc"
    assert via_hash(via) == via_hash(dict(reversed(via.items())))
    assert via_hash({**via, "partner": "tempo"}) != via_hash(via)
    malformed: list[Any] = [None, "marquee", [], {}, {**via, "more": 1}, {**via, "draft_id": GRANT_ID}]
    for wrong in malformed:
        with pytest.raises(DocumentError):
            read_via({"org.paraph.via": wrong})


def test_entries_about_drafts_and_deletes_have_their_members() -> None:
    """No more and no fewer."""
    body = {"grant_id": GRANT_ID, "draft_id": DRAFT_ID, "status": "queued", "room_id": None, "event_id": None}
    assert entry("draft", "@author:example.org", "marquee", NOW, body)["body"] == body
    names = ("grant_id", "purpose", "verb", "room_id", "event_id", "redaction_id", "reason")
    deleted = dict.fromkeys(names, "x")
    assert entry("delete", "@author:example.org", "marquee", NOW, deleted)["body"] == deleted
    for kind, wrong in (("draft", {**body, "reason": "x"}), ("draft", {}), ("delete", body)):
        with pytest.raises(EntryError):
            entry(kind, "@author:example.org", "marquee", NOW, wrong)


def test_the_ids_are_of_sixteen_bytes() -> None:
    """22 characters of base64url, with nothing left over."""
    for n in range(4):
        parse(DraftBody, inside(draft_id="dr_" + b64url(bytes([n]) * 16)))
