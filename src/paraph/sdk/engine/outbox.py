"""To-device messages that are sealed and not yet accepted by the server; they survive a restart."""

from collections.abc import Callable
from typing import Any

import msgspec

from paraph.sdk.engine.model import Json, KeyShare, Peer, SendToDevice
from paraph.sdk.keystore import Records

TABLE = "outbox"
# Devices in one message.
MAX_TO_DEVICE = 100


class OutboxRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message under its transaction id: to people's devices, or (with a grant id) to a partner's."""

    txn_id: str
    event_type: str = ""
    messages: dict[str, Any] = {}
    grant_id: str = ""
    shares: tuple[dict[str, Any], ...] = ()

    def request(self) -> SendToDevice | KeyShare:
        """The request that delivers it."""
        if self.grant_id:
            return KeyShare(self.txn_id, self.grant_id, self.shares)
        return SendToDevice(self.txn_id, self.event_type, self.messages)


class Outbox:
    """First in, first out; `random` gives the bytes of transaction ids."""

    def __init__(self, records: Records, random: Callable[[int], bytes]) -> None:
        self._records = records
        self._random = random

    def to_people(self, event_type: str, messages: Json) -> None:
        """Queue contents by user id and device id."""
        if messages:
            self._put(OutboxRecord(self._random(16).hex(), event_type=event_type, messages=messages))

    def to_partner(self, grant_id: str, shares: tuple[Json, ...]) -> None:
        """Queue key shares under a grant."""
        if shares:
            self._put(OutboxRecord(self._random(16).hex(), grant_id=grant_id, shares=shares))

    def requests(self) -> list[SendToDevice | KeyShare]:
        """Everything not yet delivered, oldest first."""
        return [record.request() for _, record in self._records.items(TABLE, OutboxRecord)]

    def done(self, txn_id: str) -> None:
        """The message was delivered, or never will be."""
        for name, record in self._records.items(TABLE, OutboxRecord):
            if record.txn_id == txn_id:
                self._records.delete(TABLE, name)

    def _put(self, record: OutboxRecord) -> None:
        number = (self._records.get("counter", TABLE, int) or 0) + 1
        self._records.put("counter", TABLE, number)
        self._records.put(TABLE, f"{number:016d}", record)


def key_share(peer: Peer, content: Json, session: Json | None) -> Json:
    """One item for a partner's device: the sealed content, and the session and first index that it opens, if any."""
    return {"device_id": peer.device_id, "content": content, "session": session}
