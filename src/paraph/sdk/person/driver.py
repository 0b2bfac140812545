"""Sends what a device engine asks for, and brings the answers back: the engine's only way to the network."""

import asyncio
import logging
from collections.abc import Callable, Iterable

from paraph.sdk.engine import DeviceEngine
from paraph.sdk.engine.model import (
    SIGNED_CURVE25519,
    DeviceSigningUpload,
    Json,
    KeysClaim,
    KeyShare,
    KeysQuery,
    KeysUpload,
    Peer,
    Request,
    SendToDevice,
    SignaturesUpload,
)
from paraph.sdk.errors import MatrixError
from paraph.sdk.keystore import Records
from paraph.sdk.transport import CLIENT, PARAPH, Transport, path

log = logging.getLogger(__name__)

MAX_ROUNDS = 50
CLAIM_TIMEOUT_MS = 10_000
# What may pass by itself: the message is kept and sent again later.
PASSING = frozenset({401, 429})


class Driver:
    """One engine on one server. `now()` gives milliseconds since 1970."""

    def __init__(self, transport: Transport, records: Records, engine: DeviceEngine, now: Callable[[], int]) -> None:
        self._transport = transport
        self._records = records
        self._engine = engine
        self._now = now
        self._draining = asyncio.Lock()
        self.refused_shares = 0

    async def drain(self) -> None:
        """Send everything the engine wants sent, until it wants nothing more. Raises MatrixError, TransportError."""
        async with self._draining:
            for _ in range(MAX_ROUNDS):
                requests = self._engine.outgoing()
                if not requests:
                    return
                for request in requests:
                    await self._deliver(request)
        log.warning("the device engine still had requests after %d rounds", MAX_ROUNDS)

    async def claim(self, peers: Iterable[Peer]) -> None:
        """Begin Olm sessions with those of `peers` that have none."""
        request = self._engine.claim(peers, self._now())
        if request is not None:
            await self._deliver(request)

    async def _deliver(self, request: Request) -> None:
        try:
            answer = await self._post(request)
        except MatrixError as error:
            if not isinstance(request, SendToDevice | KeyShare) or error.status >= 500 or error.status in PASSING:
                raise
            log.warning("a to-device message is refused for good: %s", error)
            self.refused_shares += isinstance(request, KeyShare)
            with self._records.step():
                self._engine.abandon(request)
            return
        with self._records.step():
            self._engine.answer(request, answer, self._now())

    async def _post(self, request: Request) -> Json:
        match request:
            case KeysUpload():
                body = {"one_time_keys": request.one_time_keys, "fallback_keys": request.fallback_keys}
                if request.device_keys is not None:
                    body["device_keys"] = request.device_keys
                return await self._transport.json("POST", CLIENT + "/keys/upload", body, idempotent=True)
            case KeysQuery():
                body = {"device_keys": {user: [] for user in request.users}}
                return await self._transport.json("POST", CLIENT + "/keys/query", body, idempotent=True)
            case KeysClaim():
                return await self._transport.json("POST", CLIENT + "/keys/claim", _claim_body(request))
            case DeviceSigningUpload():
                body = {
                    "master_key": request.master_key,
                    "self_signing_key": request.self_signing_key,
                    "user_signing_key": request.user_signing_key,
                }
                return await self._transport.json("POST", CLIENT + "/keys/device_signing/upload", body, idempotent=True)
            case SignaturesUpload():
                url = CLIENT + "/keys/signatures/upload"
                return await self._transport.json("POST", url, request.signatures, idempotent=True)
            case SendToDevice():
                url = path(CLIENT + "/sendToDevice/{}/{}", request.event_type, request.txn_id)
                return await self._transport.json("PUT", url, {"messages": request.messages})
            case KeyShare():
                url = path(PARAPH + "/grants/{}/key-shares/{}", request.grant_id, request.txn_id)
                return await self._transport.json("PUT", url, {"shares": list(request.shares)})


def _claim_body(request: KeysClaim) -> Json:
    wanted: dict[str, dict[str, str]] = {}
    for peer in request.peers:
        wanted.setdefault(peer.user_id, {})[peer.device_id] = SIGNED_CURVE25519
    return {"one_time_keys": wanted, "timeout": CLAIM_TIMEOUT_MS}
