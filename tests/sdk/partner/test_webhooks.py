"""Webhooks at the partner's end: what is believed, and the whole way from an author's message to the partner's ear."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from paraph.protocol.base64 import b64url
from paraph.sdk import ProblemError, WebhookError, verify_webhook
from paraph.server.inbox.webhooks.signing import CHANGED, VERIFY, Signatures
from tests.sandbox.test_quickstart import printed
from tests.sdk.stage import stage
from tests.server.inbox.hooks import Call, hook

NOW = 1_760_000_000_000
SIGNED = Signatures(b"k" * 32, lambda: NOW)
JWKS = {"keys": [SIGNED.jwk]}


def test_what_the_platform_signs_is_believed() -> None:
    """With other keys and other signatures beside it, and header names in any case."""
    headers, body = SIGNED.message("msg_1", CHANGED)
    found = verify_webhook(headers, body, JWKS, now=NOW)
    assert (found.id, found.kind, found.ts, found.challenge) == ("msg_1", "changed", NOW, None)
    other = Signatures(b"o" * 32, lambda: NOW)
    many = {"keys": [{"kty": "RSA", "n": "x", "e": "y"}, "no key", other.jwk, SIGNED.jwk]}
    signatures = f"v1,aGVsbG8= v1a,!! {other.message('msg_1', CHANGED)[0]['webhook-signature']} "
    shouted = {name.title(): value for name, value in headers.items()}
    shouted["Webhook-Signature"] = signatures + headers["webhook-signature"]
    assert verify_webhook(shouted, body, many, now=NOW).id == "msg_1"
    headers, body = SIGNED.message("msg_2", VERIFY, challenge="c")
    assert verify_webhook(headers, body, JWKS, now=NOW).challenge == "c"


def test_a_message_is_signed_as_standard_webhooks_says() -> None:
    """Ed25519 over `id.timestamp.body`, standard base64, checked here by the bytes and no code of ours."""
    headers, body = SIGNED.message("msg_1", CHANGED)
    version, _, text = headers["webhook-signature"].partition(",")
    assert version == "v1a"
    key = Ed25519PrivateKey.from_private_bytes(b"k" * 32).public_key()
    key.verify(base64.b64decode(text), b"msg_1." + str(NOW // 1000).encode() + b"." + body)
    assert b64url(key.public_bytes_raw()) == SIGNED.jwk["x"]


def _signed(body: bytes, seconds: str = str(NOW // 1000), message_id: str = "msg_1") -> dict[str, str]:
    """Headers for a body that the platform would not send, under its own key."""
    key = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
    signature = base64.b64encode(key.sign(f"{message_id}.{seconds}.".encode() + body)).decode()
    return {"webhook-id": message_id, "webhook-timestamp": seconds, "webhook-signature": f"v1a,{signature}"}


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "msg_2"},
        {"webhook-timestamp": str(NOW // 1000 + 1)},
        {"webhook-timestamp": "soon"},
        {"webhook-timestamp": "-1"},
        {"webhook-signature": ""},
        {"webhook-signature": "v1a,"},
        {"webhook-signature": "v1," + "A" * 86 + "=="},
        {"webhook-signature": "v1a," + "A" * 86 + "=="},
        {"webhook-id": None},
        {"webhook-timestamp": None},
        {"webhook-signature": None},
    ],
)
def test_a_changed_header_is_refused(change: dict[str, str | None]) -> None:
    """Each is signed, and each must be there."""
    headers, body = SIGNED.message("msg_1", CHANGED)
    changed = {name: value for name, value in (headers | change).items() if value is not None}
    with pytest.raises(WebhookError):
        verify_webhook(changed, body, JWKS, now=NOW)


def test_other_bodies_keys_and_times_are_refused() -> None:
    """One byte more, another platform's key, no key, a call of long ago, one of the future."""
    headers, body = SIGNED.message("msg_1", CHANGED)
    for wrong in (body + b" ", body.replace(b"changed", b"chanted"), b""):
        with pytest.raises(WebhookError):
            verify_webhook(headers, wrong, JWKS, now=NOW)
    for jwks in ({"keys": []}, {}, {"keys": [Signatures(b"o" * 32, lambda: NOW).jwk]}):
        with pytest.raises(WebhookError):
            verify_webhook(headers, body, jwks, now=NOW)
    for now in (NOW + 300_001, NOW - 300_001):
        with pytest.raises(WebhookError):
            verify_webhook(headers, body, JWKS, now=now)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[]",
        b"changed",
        b"\xff",
        b'{"type":"deleted","timestamp":"x"}',
        b'{"type":"verify","timestamp":"x"}',
        b'{"type":"changed","timestamp":"x","challenge":"c"}',
        b'{"type":"changed","timestamp":"' + b"x" * 20_000 + b'"}',
    ],
)
def test_signed_nonsense_is_refused(body: bytes) -> None:
    """A signature makes no kind of message of what is none."""
    with pytest.raises(WebhookError):
        verify_webhook(_signed(body), body, JWKS, now=NOW)


@pytest.mark.slow
async def test_a_partner_hears_of_a_message(tmp_path: Path) -> None:
    """It registers an endpoint, is called when the author writes, and reads on the record."""
    async with stage(tmp_path, webhook_targets="any", profile="test") as here, hook() as endpoint:
        await here.grant("read")
        loop, heard = asyncio.get_running_loop(), list[str]()

        page_of: dict[str, Any] = {}
        exec(printed("webhook.py"), page_of)  # the quickstart's way

        async def read() -> None:
            heard.append("read")

        def answer(call: Call) -> tuple[int, bytes]:
            receiving = page_of["called"](here.partner, endpoint.url, call.headers, call.body, read)
            answered: tuple[int, bytes] = asyncio.run_coroutine_threadsafe(receiving, loop).result(10)
            return answered

        endpoint.answering = answer
        made = await here.partner.webhooks.add(endpoint.url)
        assert [shown["status"] for shown in await here.partner.webhooks.all()] == ["active"]
        await here.author.send_text(here.room_id, "a message")
        await endpoint.next(2)
        assert heard == ["read"]
        await here.partner.poll()
        page = await here.partner.messages(here.room_id, "recommendations")
        assert [message.body for message in page.messages] == ["a message"]
        assert await page_of["called"](here.partner, endpoint.url, {}, b"{}", read) == (400, b"")
        forged = _signed(b'{"type":"changed","timestamp":"x"}', str(here.now() // 1000))
        with pytest.raises(WebhookError):
            await here.partner.webhooks.receive(endpoint.url, forged, b'{"type":"changed","timestamp":"x"}')
        await here.partner.webhooks.remove(made["webhook_id"])
        assert await here.partner.webhooks.all() == []


@pytest.mark.slow
async def test_an_endpoint_that_is_not_the_partners_is_refused(tmp_path: Path) -> None:
    """Whoever only echoes proves nothing; the platform says why."""
    async with stage(tmp_path, webhook_targets="any", profile="test") as here, hook() as endpoint:
        endpoint.answering = lambda call: (200, json.dumps({"challenge": call.said["challenge"]}).encode())
        with pytest.raises(ProblemError) as error:
            await here.partner.webhooks.add(endpoint.url)
        assert error.value.kind.endswith("webhook-not-verified")


async def test_bad_calls_do_not_make_the_partner_ask_for_keys_each_time() -> None:
    """Once a minute at most."""
    from paraph.sdk import Partner, Transport

    asked: list[str] = []

    def platform(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(200, json=JWKS)

    clock = [NOW]
    transport = Transport("http://test", client=httpx.AsyncClient(transport=httpx.MockTransport(platform)))
    partner = Partner.create("http://test", "marquee", "example.org", transport=transport, now=lambda: clock[0])
    bad: dict[str, Any] = dict(SIGNED.message("msg_1", CHANGED)[0], **{"webhook-id": "msg_2"})
    for _ in range(5):
        with pytest.raises(WebhookError):
            await partner.webhooks.receive("https://x", bad, SIGNED.message("msg_1", CHANGED)[1])
    assert asked == ["/oauth/jwks"]
    clock[0] += 60_000
    with pytest.raises(WebhookError):
        await partner.webhooks.receive("https://x", bad, SIGNED.message("msg_1", CHANGED)[1])
    assert len(asked) == 2
    headers, body = SIGNED.message("msg_1", CHANGED)
    assert (await partner.webhooks.receive("https://x", headers, body))[1] == b"{}"
