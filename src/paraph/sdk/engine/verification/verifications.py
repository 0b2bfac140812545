"""All verifications of one device: which message belongs to which, what goes out, and what no longer counts.

They live in memory: a device that restarts has none, and the other side's runs out. Requests that nobody here answers
are bounded in number, and what is over is remembered for a while, so that no message begins it again.
"""

from collections import deque
from collections.abc import Callable, Sequence

from paraph.sdk.engine.model import RELATION, Json
from paraph.sdk.engine.outbox import Outbox
from paraph.sdk.engine.verification.flow import Flow, TheirSide
from paraph.sdk.engine.verification.model import (
    AHEAD_MS,
    LIFETIME_MS,
    PREFIX,
    REFERENCE,
    REQUEST,
    SAS,
    CancelCode,
    Phase,
    RoomNote,
    Side,
)

MAX_OPEN = 50
MAX_OPEN_EACH = 5
MAX_NAME = 255
REMEMBERED = 1000
MAX_ROOM_NOTES = 100


class Verifications:
    """`verified(flow)` is called for each that ends well, in the step that ended it."""

    def __init__(
        self,
        user_id: str,
        device_id: str,
        outbox: Outbox,
        random: Callable[[int], bytes],
        ours: Callable[[], Side],
        theirs: TheirSide,
        verified: Callable[[Flow], None],
    ) -> None:
        self._user_id, self._device_id = user_id, device_id
        self._outbox = outbox
        self._random = random
        self._ours, self._theirs, self._verified = ours, theirs, verified
        self._flows: dict[str, Flow] = {}
        self._past: deque[str] = deque(maxlen=REMEMBERED)
        self._room_notes: deque[RoomNote] = deque(maxlen=MAX_ROOM_NOTES)

    def open(self) -> list[Flow]:
        """Those that are under way, oldest first."""
        return list(self._flows.values())

    # What this device's person does

    def request(self, user_id: str, devices: Sequence[str], now: int) -> Flow:
        """Ask these devices of a person (by to-device messages)."""
        txn_id = self._random(16).hex()
        flow = self._flow(txn_id, user_id, None, incoming=False, created=now, asked=tuple(devices))
        content = {
            "from_device": self._device_id,
            "methods": [SAS],
            "timestamp": now,
            "transaction_id": txn_id,
        }
        self._outbox.to_people(REQUEST, {user_id: dict.fromkeys(devices, content)})
        return self._keep(flow)

    def room_request(self, user_id: str) -> Json:
        """The `m.room.message` that asks a person in a room; `requested_in_room` once it was sent."""
        body = f"{self._user_id} asks to verify your identity; this client shows no way to do that here."
        return {
            "msgtype": REQUEST,
            "body": body,
            "from_device": self._device_id,
            "methods": [SAS],
            "to": user_id,
        }

    def requested_in_room(self, room_id: str, event_id: str, user_id: str, now: int) -> Flow:
        """The request was sent as this event."""
        return self._keep(self._flow(event_id, user_id, None, incoming=False, created=now, room_id=room_id))

    def act(self, flow: Flow, action: Callable[[], None]) -> None:
        """Let the person do something (a method of the flow), and send what follows from it. Raises ValueError."""
        action()
        self._settle(flow)

    # What others say

    def receive(self, event_type: str, sender: str, content: Json, now: int) -> None:
        """Take in a to-device message of this family."""
        kind, txn_id = event_type.removeprefix(PREFIX), content.get("transaction_id")
        if not isinstance(txn_id, str) or not 0 < len(txn_id) <= MAX_NAME:
            return
        if kind == "request":
            at = content.get("timestamp")
            if isinstance(at, int):
                self._asked(txn_id, sender, content, at, now)
            return
        flow = self._flows.get(txn_id)
        if flow is None:
            self._unknown(kind, txn_id, sender, content)
        elif flow.user_id == sender and flow.room_id is None:
            flow.hear(kind, content)
            self._settle(flow)

    def receive_in_room(
        self, room_id: str, event_id: str, sender: str, event_type: str, content: Json, at: int, now: int
    ) -> None:
        """Take in a message of a room, of whatever type; `at` is the server's time for it."""
        if event_type == "m.room.message":
            if content.get("msgtype") == REQUEST and content.get("to") == self._user_id and sender != self._user_id:
                self._asked(event_id, sender, content, at, now, room_id)
            return
        relation = content.get(RELATION)
        if not event_type.startswith(PREFIX) or not isinstance(relation, dict) or relation.get("rel_type") != REFERENCE:
            return
        flow = self._flows.get(str(relation.get("event_id")))
        if flow is None or flow.room_id != room_id:
            return
        kind = event_type.removeprefix(PREFIX)
        if sender == flow.user_id:
            flow.hear(kind, content)
        elif sender == self._user_id and kind in ("ready", "cancel") and content.get("from_device") != self._device_id:
            flow.taken_elsewhere()  # what this device said itself comes back as well, and finds the flow further on
        self._settle(flow)

    def expire(self, now: int) -> None:
        """End what has taken too long."""
        for flow in self.open():
            flow.expire(now)
            self._settle(flow)

    def room_notes(self) -> list[RoomNote]:
        """What is to be sent to rooms, in order; it is handed out once."""
        notes = list(self._room_notes)
        self._room_notes.clear()
        return notes

    # Inside

    def _asked(self, txn_id: str, sender: str, content: Json, at: int, now: int, room_id: str | None = None) -> None:
        device_id, methods = content.get("from_device"), content.get("methods")
        if not isinstance(device_id, str) or len(device_id) > MAX_NAME or not isinstance(methods, list):
            return
        if not -AHEAD_MS <= now - at <= LIFETIME_MS or (sender, device_id) == (self._user_id, self._device_id):
            return
        if txn_id in self._flows or txn_id in self._past or not self._has_room(sender):
            return
        named = tuple(method for method in methods if isinstance(method, str))
        created = min(at, now)
        self._keep(
            self._flow(txn_id, sender, device_id, incoming=True, created=created, room_id=room_id, methods=named)
        )

    def _has_room(self, sender: str) -> bool:
        """Whether one more request by this person is kept: whoever asks and asks shuts nobody else out."""
        waiting = [flow for flow in self._flows.values() if flow.incoming and flow.phase == Phase.REQUESTED]
        return len(waiting) < MAX_OPEN and sum(flow.user_id == sender for flow in waiting) < MAX_OPEN_EACH

    def _unknown(self, kind: str, txn_id: str, sender: str, content: Json) -> None:
        """Only a message that names its device can be answered; what is over stays over."""
        device_id = content.get("from_device")
        if kind not in ("ready", "start") or not isinstance(device_id, str) or txn_id in self._past:
            return
        code = CancelCode.UNKNOWN_TRANSACTION.value
        answer = {"code": code, "reason": "there is no such verification here", "transaction_id": txn_id}
        self._outbox.to_people(PREFIX + "cancel", {sender: {device_id: answer}})

    def _settle(self, flow: Flow) -> None:
        notes, flow.notes = flow.notes, []
        for note in notes:
            self._send(flow, PREFIX + note.kind, note.content)
            if note.kind == "start":
                self._dismiss(flow)
        if flow.over and self._flows.pop(flow.txn_id, None) is not None:
            self._past.append(flow.txn_id)
            if flow.phase == Phase.DONE:
                self._verified(flow)

    def _send(self, flow: Flow, event_type: str, content: Json) -> None:
        if flow.room_id is not None:
            self._room_notes.append(RoomNote(flow.room_id, event_type, content))
            return
        devices = (flow.device_id,) if flow.device_id is not None else flow.asked
        self._outbox.to_people(event_type, {flow.user_id: dict.fromkeys(devices, content)})

    def _dismiss(self, flow: Flow) -> None:
        """The devices that were asked as well, and are not the one that answered, stop asking."""
        others = [device for device in flow.asked if device != flow.device_id]
        code = CancelCode.ACCEPTED.value
        content = {"code": code, "reason": "another device answered", "transaction_id": flow.txn_id}
        if others and flow.room_id is None:
            self._outbox.to_people(PREFIX + "cancel", {flow.user_id: dict.fromkeys(others, content)})

    def _keep(self, flow: Flow) -> Flow:
        self._flows[flow.txn_id] = flow
        return flow

    def _flow(
        self,
        txn_id: str,
        user_id: str,
        device_id: str | None,
        *,
        incoming: bool,
        created: int,
        room_id: str | None = None,
        asked: tuple[str, ...] = (),
        methods: tuple[str, ...] = (SAS,),
    ) -> Flow:
        return Flow(
            txn_id,
            user_id,
            device_id,
            self._ours,
            self._theirs,
            incoming=incoming,
            created=created,
            room_id=room_id,
            asked=asked,
            methods=methods,
        )
