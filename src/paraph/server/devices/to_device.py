"""Messages from device to device: each reaches every device it names exactly once.

A message waits at a position of the server's one order until a sync token at or beyond it comes back. A sync shows
what lies after its own token, so a message is neither shown again after it was acknowledged nor lost before.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from paraph.protocol.canonical import encode
from paraph.protocol.identifiers import is_partner
from paraph.server.accounts.recent import Recent
from paraph.server.devices import queue_store, store
from paraph.server.devices.errors import invalid, named, queue_full
from paraph.server.devices.lists import Notify
from paraph.server.devices.model import QueueEnds, Waiting
from paraph.server.http import MatrixError, PersonPrincipal
from paraph.server.storage import Announcement, Database, Transaction

MAX_CONTENT_BYTES = 65_536
MAX_NAME = 255
MAX_TARGETS = 2_000
MAX_WAITING = 10_000
MAX_WAITING_BYTES = 32 << 20
MAX_WAITING_FROM_ONE = 2_000
"""Of the messages that wait for a device: one sender cannot fill the queue for everybody else."""
REMEMBER_TRANSACTIONS_MS = 7 * 86_400_000
MAX_REMEMBERED = 100_000
_QUEUED = "devices.queued"
_queued = msgspec.json.Decoder(tuple[int, list[tuple[str, str]]])

Messages = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""User id -> device id or `*` -> content."""


class ToDevice:
    """The queues of people's and partners' devices."""

    def __init__(self, database: Database, clock: Callable[[], int], notify: Notify) -> None:
        self._database = database
        self._clock = clock
        self._notify = notify
        # May lag behind what other processes delivered, never behind what they queued: at worst a look in vain.
        self._ends: Recent[tuple[str, str], QueueEnds] = Recent(MAX_REMEMBERED)
        database.listen(_QUEUED, self._arrived)

    async def send(self, person: PersonPrincipal, event_type: str, txn_id: str, messages: Messages) -> None:
        """Queue a person's messages, once per transaction id and type of her device.

        Raises M_FORBIDDEN for a partner's address, M_INVALID_PARAM, M_TOO_LARGE; then nothing is queued. Devices and
        people that do not exist are passed over, as the specification says, and so is a device whose queue is full:
        one phone that is never switched on again must not keep a whole room from being written to.
        """
        for what, text in (("the event type", event_type), ("the transaction id", txn_id)):
            if not 0 < len(text) <= MAX_NAME or not text.isprintable():
                raise invalid(f"{what} must have 1 to {MAX_NAME} printable characters")
        if any(is_partner(user_id) for user_id in messages):
            raise MatrixError(
                403, "M_FORBIDDEN", "keys for partners go through /_paraph/v1/grants/{grant_id}/key-shares"
            )
        now = self._clock()

        def write(tx: Transaction) -> None:
            if queue_store.add_transaction(tx, person.user_id, person.device_id, event_type, txn_id, now):
                queue_store.forget_transactions(tx, now - REMEMBER_TRANSACTIONS_MS)
                self.queue(tx, person.user_id, event_type, messages, sender_device=person.device_id)

        await self._database.write(write)

    def queue(
        self,
        tx: Transaction,
        sender: str,
        event_type: str,
        messages: Messages,
        *,
        sender_device: str | None = None,
    ) -> None:
        """Queue messages within a write. Raises as `send`, without its rule about partners.

        For a partner's address the caller vouches for the device ids, `*` is refused, and a full queue raises
        M_LIMIT_EXCEEDED: a key that is recorded as shared must be on its way.
        """
        if sum(len(devices) for devices in messages.values()) > MAX_TARGETS:
            raise invalid(f"expected at most {MAX_TARGETS} devices in one request")
        position, reached = tx.next_position(), []
        for user_id, contents in messages.items():
            for device_id, text in self._resolve(tx, user_id, contents).items():
                if not self._has_room(tx, user_id, device_id, sender, len(text)):
                    if is_partner(user_id):
                        raise queue_full(user_id, device_id)
                    continue
                content = msgspec.Raw(text)
                message = Waiting(position, sender, sender_device, event_type, content)
                queue_store.add(tx, user_id, device_id, message)
                reached.append((user_id, device_id))
        if reached:
            tx.announce(_QUEUED, msgspec.json.encode((position, reached)).decode())

    def _resolve(self, tx: Transaction, user_id: str, contents: Mapping[str, Mapping[str, Any]]) -> dict[str, bytes]:
        """Device id -> content, with `*` spread over the devices that are not named themselves."""
        texts = {device_id: _encoded(content) for device_id, content in contents.items()}
        if is_partner(user_id):
            if "*" in texts:
                raise invalid("expected a partner's devices by name")
            return texts
        star = texts.get("*")
        known = store.device_ids(tx, user_id)
        spread = dict.fromkeys(known, star) if star is not None else {}
        named_here = {device_id: texts[device_id] for device_id in known if device_id in texts}
        return {device_id: text for device_id, text in (spread | named_here).items() if text is not None}

    def _has_room(self, tx: Transaction, user_id: str, device_id: str, sender: str, size: int) -> bool:
        waiting, size_waiting, from_sender = queue_store.load(tx, user_id, device_id, sender)
        fits = waiting < MAX_WAITING and size_waiting + size <= MAX_WAITING_BYTES
        return fits and from_sender < MAX_WAITING_FROM_ONE

    def _arrived(self, announcement: Announcement) -> None:
        """Messages are durable, queued by this process or by another."""
        position, reached = _queued.decode(announcement.payload)
        for device in reached:
            ends = self._ends.get(device)
            if ends is not None:  # otherwise the next look reads it
                oldest = position if ends.oldest is None else ends.oldest
                self._ends.put(device, QueueEnds(oldest, max(position, ends.newest or 0)))
        self._notify({user_id for user_id, _ in reached}, position)

    def waiting(
        self, tx: Transaction, user_id: str, device_id: str, since: int, upto: int, limit: int | None = None
    ) -> list[Waiting]:
        """The messages in (since, upto], oldest first; all of them unless `limit` is given.

        Costs no query while nothing new waits. Only while reading what is durable.
        """
        newest = self._known_ends(tx, user_id, device_id).newest
        if newest is None or newest <= since:
            return []
        return queue_store.part(tx, user_id, device_id, since, upto, MAX_WAITING if limit is None else limit)

    def _known_ends(self, tx: Transaction, user_id: str, device_id: str) -> QueueEnds:
        ends = self._ends.get((user_id, device_id))
        if ends is None:
            ends = queue_store.ends(tx, user_id, device_id)
            self._ends.put((user_id, device_id), ends)
        return ends

    async def acknowledge(self, user_id: str, device_id: str, upto: int) -> None:
        """Forget the messages up to a position, because its device has them; writes only if there are any."""
        ends = await self._database.read(lambda tx: self._known_ends(tx, user_id, device_id))
        if ends.oldest is None or ends.oldest > upto:
            return

        def write(tx: Transaction) -> None:
            queue_store.shorten(tx, user_id, device_id, upto)
            self.forget(tx, user_id, device_id)

        await self._database.write(write)

    def forget(self, tx: Transaction, user_id: str, device_id: str) -> None:
        """Look at the queue again once this write is durable."""
        tx.after_commit(lambda: self._ends.forget((user_id, device_id)))


def _encoded(content: Mapping[str, Any]) -> bytes:
    with named("content"):
        text = encode(dict(content))
    if len(text) > MAX_CONTENT_BYTES:
        raise MatrixError(413, "M_TOO_LARGE", f"content of {len(text)} bytes, expected at most {MAX_CONTENT_BYTES}")
    return text
