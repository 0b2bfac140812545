"""Registering endpoints. One is taken only after it has answered a challenge with a signature by its partner's key."""

import hmac
import secrets
from collections.abc import Callable
from typing import Any

import msgspec

from paraph.server.consent import partner_store
from paraph.server.consent.oauth import assertion
from paraph.server.consent.oauth.jose import BadToken
from paraph.server.inbox.errors import bad_webhook_url, no_such_webhook, not_verified, too_many_webhooks
from paraph.server.inbox.feed import store as feed_store
from paraph.server.inbox.webhooks import store
from paraph.server.inbox.webhooks.signing import VERIFY, Signatures
from paraph.server.inbox.webhooks.store import Webhook
from paraph.server.outgoing.sender import Answer, Sender, Unreachable
from paraph.server.outgoing.target import BadTarget
from paraph.server.storage import Database, Transaction

MAX_WEBHOOKS = 5
"""Endpoints of one partner."""


class _Echo(msgspec.Struct, frozen=True):
    challenge: str


class Webhooks:
    """The endpoints of partners."""

    def __init__(
        self, database: Database, sender: Sender, signatures: Callable[[], Signatures], clock: Callable[[], int]
    ) -> None:
        """`signatures` are asked for once the shared key has been read; `clock` gives milliseconds."""
        self._database = database
        self._sender = sender
        self._signatures = signatures
        self._clock = clock

    async def register(self, slug: str, url: str) -> dict[str, Any]:
        """Take in an endpoint; one of the same address begins anew. Raises Problem."""
        await self._database.read(lambda tx: self._check_number(tx, slug, url))
        await self._verify(slug, url)

        def write(tx: Transaction) -> Webhook:
            self._check_number(tx, slug, url)
            told = feed_store.newest(tx, slug)
            store.put(tx, f"wh_{secrets.token_urlsafe(16)}", slug, url, self._clock(), told)
            return next(hook for hook in store.of(tx, slug) if hook.url == url)

        return rendered(await self._database.write(write))

    async def listed(self, slug: str) -> list[dict[str, Any]]:
        """A partner's endpoints."""
        return [rendered(hook) for hook in await self._database.read(lambda tx: store.of(tx, slug))]

    async def remove(self, slug: str, webhook_id: str) -> None:
        """Forget an endpoint. Raises Problem."""
        if not await self._database.write(lambda tx: store.remove(tx, slug, webhook_id)):
            raise no_such_webhook(webhook_id)

    def _check_number(self, tx: Transaction, slug: str, url: str) -> None:
        others = [hook for hook in store.of(tx, slug) if hook.url != url]
        if len(others) >= MAX_WEBHOOKS:
            raise too_many_webhooks(MAX_WEBHOOKS)

    async def _verify(self, slug: str, url: str) -> None:
        """Have the endpoint sign a challenge. Raises Problem."""
        challenge = secrets.token_urlsafe(32)
        headers, body = self._signatures().message(f"msg_{secrets.token_urlsafe(16)}", VERIFY, challenge=challenge)
        try:
            answer = await self._sender.post(url, headers, body)
        except BadTarget as error:
            raise bad_webhook_url(str(error)) from None
        except Unreachable as error:
            raise not_verified(str(error)) from None
        partner = await self._database.read(lambda tx: partner_store.partner(tx, slug))
        try:
            echo = _echo(answer)
            jwk = {} if partner is None else partner.client_jwk
            found = assertion.verify(echo, jwk, slug=slug, issuer=url, now=self._clock())
        except BadToken as error:
            raise not_verified(str(error)) from None
        if not hmac.compare_digest(found.jti.encode(), challenge.encode()):
            raise not_verified("the answer is to another challenge")


def rendered(hook: Webhook) -> dict[str, Any]:
    """An endpoint as its partner sees it."""
    failing = hook.failures > 0 and hook.disabled is None
    return {
        "webhook_id": hook.webhook_id,
        "url": hook.url,
        "created": hook.created,
        "status": hook.disabled or ("failing" if failing else "active"),
        "failures": hook.failures,
        "next_attempt": hook.next_attempt if failing else None,
    }


def _echo(answer: Answer) -> str:
    """The signed echo in an endpoint's answer. Raises BadToken."""
    if answer.status != 200:
        raise BadToken(f"the endpoint answered {answer.status}, not 200")
    try:
        echo = msgspec.json.decode(answer.body, type=_Echo).challenge
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadToken("the endpoint did not answer {challenge: ..} in JSON") from None
    if len(echo) > assertion.MAX_ASSERTION_BYTES:
        raise BadToken("the echo is too long")
    return echo
