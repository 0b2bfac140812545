"""A partner device's keys: one-time keys that people claim, and the key events that come back."""

import asyncio
from typing import Any

from paraph.server.consent.service import Consent
from paraph.server.devices.model import KeyCounts, Waiting
from paraph.server.devices.service import Devices
from paraph.server.inbox.errors import no_such_device
from paraph.server.inbox.opaque import Opaque, bad_state
from paraph.server.messenger.notifier import Notifier
from paraph.server.storage import Database, Transaction

CURSOR = "key-events cursor"


class PartnerQueues:
    """One-time keys and key events of partners' devices, in the same queues as people's."""

    def __init__(
        self, database: Database, devices: Devices, consent: Consent, notifier: Notifier, opaque: Opaque
    ) -> None:
        self._database = database
        self._devices = devices
        self._consent = consent
        self._notifier = notifier
        self._opaque = opaque

    def cursor(self, slug: str, device_id: str, position: int) -> str:
        """Where one device's key events go on, as the partner carries it."""
        return self._opaque.seal(CURSOR, slug, {"device_id": device_id, "position": f"{position:016x}"})

    def position(self, slug: str, device_id: str, text: str) -> int:
        """The position behind a cursor, 0 for none. Raises Problem `bad-state`."""
        if not text:
            return 0
        members = self._opaque.open(CURSOR, slug, text)
        if members["device_id"] != device_id:
            raise bad_state("this cursor belongs to another device")
        return int(members["position"], 16)

    async def upload(
        self, slug: str, device_id: str, one_time_keys: dict[str, Any], fallback_keys: dict[str, Any]
    ) -> KeyCounts:
        """Keep keys that the device signed; raises Problem or MatrixError."""

        def write(tx: Transaction) -> KeyCounts:
            signing_key = self._live(tx, slug, device_id)["keys"][f"ed25519:{device_id}"]
            user_id = self._consent.partners.user_id(slug)
            return self._devices.upload_keys(tx, user_id, device_id, signing_key, one_time_keys, fallback_keys)

        return await self._database.write(write)

    async def events(self, slug: str, device_id: str, since: int, limit: int, timeout_ms: int) -> list[Waiting]:
        """Key events after a position, waiting for some; those up to it are deleted. Raises Problem."""
        user_id = self._consent.partners.user_id(slug)
        await self._database.read(lambda tx: self._live(tx, slug, device_id))
        if since:
            await self._devices.acknowledge(user_id, device_id, since)
        until = asyncio.get_running_loop().time() + timeout_ms / 1000
        while True:
            left = until - asyncio.get_running_loop().time()
            # The waiter stands before the look, or an event that comes in between would not wake it.
            waiter = self._notifier.wait(user_id, max(left, 0))
            try:
                events = await self._database.read(
                    lambda tx: self._devices.collect(tx, user_id, device_id, since, limit)
                )
                if events or left <= 0 or self._notifier.stopped:
                    return events
                await waiter.done
            finally:
                waiter.cancel()

    def _live(self, tx: Transaction, slug: str, device_id: str) -> dict[str, Any]:
        keys = self._consent.partners.live_devices(tx, slug).get(device_id)
        if keys is None:
            raise no_such_device(device_id)
        return keys
