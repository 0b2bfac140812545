"""A partner's own device on the platform: its public record, its end, and the one-time keys that people claim."""

from collections.abc import Callable, Mapping
from typing import Any

from paraph.protocol.limits import DAY_MS
from paraph.sdk.engine import DeviceEngine
from paraph.sdk.engine.model import KeysUpload
from paraph.sdk.errors import TrustError
from paraph.sdk.keystore import Records
from paraph.sdk.partner.auth import PartnerAuth
from paraph.sdk.transport import path


class OwnDevice:
    """One device of a partner. `sign` puts the master key's signature on a document; `now()` gives milliseconds."""

    def __init__(
        self,
        auth: PartnerAuth,
        records: Records,
        engine: DeviceEngine,
        slug: str,
        sign: Callable[[Mapping[str, Any]], dict[str, Any]],
        now: Callable[[], int],
    ) -> None:
        self._auth = auth
        self._records = records
        self._engine = engine
        self._slug = slug
        self._sign = sign
        self._now = now

    async def publish(self, days: int) -> dict[str, Any]:
        """See `Partner.publish_device`."""
        now = self._now()
        document = {
            "type": "org.paraph.partner_device",
            "partner": self._slug,
            "device_keys": self._engine.account.device_keys(),
            "created": now,
            "expires": now + days * DAY_MS,
        }
        device = self._sign(document)
        answer = await self._auth.call("POST", "/inbox/v1/devices", {"device": device})
        record = answer.get("record")
        if not isinstance(record, dict) or record.get("document") != device:
            raise TrustError("the platform recorded another device than the one published")
        await self.upkeep()
        return record

    async def end(self, reason: str | None) -> dict[str, Any]:
        """See `Partner.end_device`."""
        document = {
            "type": "org.paraph.partner_device_ended",
            "partner": self._slug,
            "device_id": self._engine.device_id,
            "ended": self._now(),
            "reason": reason,
        }
        url = path("/inbox/v1/devices/{}/end", self._engine.device_id)
        answer = await self._auth.call("POST", url, {"ending": self._sign(document)})
        return dict(answer["record"])

    async def upkeep(self) -> None:
        """See `Partner.upkeep`."""
        upload = self._engine.account.upload() or KeysUpload(None, {}, {})
        answer = await self._put_keys(upload)
        with self._records.step():
            self._engine.answer(upload, answer, self._now())
            unused = answer.get("unused_fallback_key_types")
            self._engine.account.top_up(None, tuple(unused) if isinstance(unused, list) else None)
        more = self._engine.account.upload()
        if more is not None:
            answer = await self._put_keys(more)
            with self._records.step():
                self._engine.answer(more, answer, self._now())

    async def _put_keys(self, upload: KeysUpload) -> dict[str, Any]:
        body = {
            "device_id": self._engine.device_id,
            "one_time_keys": upload.one_time_keys,
            "fallback_keys": upload.fallback_keys,
        }
        return await self._auth.call("POST", "/inbox/v1/device-keys", body, idempotent=True)
