"""When this device wrote what: the record that decides from which index on an older session may be shared.

Times are by the device's own clock. Nobody else's word counts for them: a server that could move a message's time could
have words opened that their author kept back.
"""

import msgspec

from paraph.sdk.keystore import Records

TABLE = "sent"


class Sent(msgspec.Struct, frozen=True):
    """One of this device's sessions: when it began, and when the messages from index `first` on were written (ms)."""

    room_id: str
    session_id: str
    created: int
    first: int
    times: tuple[int, ...] = ()

    def index_from(self, date: int) -> int | None:
        """The index from which on everything in the session was written at `date` or later; None if nothing was.

        What was written before the record of it began counts as earlier, unless the session itself began later.
        """
        start = 0 if self.created >= date else self.first
        for index, time in enumerate(self.times, self.first):
            if time < date:
                start = index + 1
        return start if start < self.first + len(self.times) else None


class SendRecord:
    """The sessions that this device has sent with since it keeps the record."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def note(self, room_id: str, session_id: str, created: int, index: int, now: int) -> None:
        """A message of this index is written now, in a session that began at `created`."""
        name = f"{room_id}/{session_id}"
        known = self._records.get(TABLE, name, Sent)
        if known is None or known.first + len(known.times) != index:
            known = Sent(room_id, session_id, created, index)
        self._records.put(TABLE, name, msgspec.structs.replace(known, times=(*known.times, now)))

    def all(self) -> list[Sent]:
        """Every session of the record."""
        return [sent for _, sent in self._records.items(TABLE, Sent)]
