"""What each partner opens: through the API, then with the whole database and every key that it ever received (P1)."""

import asyncio
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from paraph.cli.demo import attack
from paraph.cli.demo.attack import Stored
from paraph.cli.demo.evidence import Attempt, Opened, Row
from paraph.cli.demo.films import AUTHOR, Line
from paraph.cli.demo.people import Cast, attempt, refused
from paraph.sdk import Partner, Person, ReceiptError


@dataclass
class Table:
    """Reads for one purpose; `served` collects the ids of what the API gave out."""

    cast: Cast
    stored: Stored
    purpose: str
    served: set[str]

    async def row(self, name: str, reader: Partner, granted_room: str, before: Collection[Line]) -> Row:
        """One partner's row. What was said `before` the grant counts as not granted."""
        await reader.poll()
        served, unreceipted = 0, None
        try:
            served = await self._read_all(reader)
        except ReceiptError as error:
            unreceipted = str(error)
        opened = await asyncio.to_thread(attack.opened_by, reader, self.stored, self.cast.texts)
        granted, other, correspondent = Counter[bool](), Counter[bool](), Counter[bool]()
        for room_id, said in self.cast.said.items():
            for line in said.values():
                own = granted if room_id == granted_room and line not in before else other
                column = own if line.speaker == AUTHOR else correspondent
                column[line.text in opened] += 1
        cells = [Opened(column[True], column.total()) for column in (granted, other, correspondent)]
        return Row(name, cells[0], cells[1], cells[2], served, unreceipted)

    async def _read_all(self, reader: Partner) -> int:
        """Read every room the API offers; how many of the messages served the partner opens."""
        opened = 0
        for room in await reader.rooms():
            page = await reader.messages(room.room_id, self.purpose)
            self.served.update(message.event_id for message in page.messages)
            opened += sum(message.undecryptable is None for message in page.messages)
        return opened

    async def stranger(self, device: Person) -> Opened:
        """What the device opens that a stranger listed under the author's name, with the whole database."""
        await device.sync()
        opened = await asyncio.to_thread(attack.opened_by, device, self.stored, self.cast.texts)
        return Opened(sum(text in opened for text in self.cast.texts), len(self.cast.texts))

    async def beyond(self, marquee: Partner, tempo: Partner, films: str, private: str) -> list[Attempt]:
        """Each asks for a room that was not granted to it."""
        return [
            refused(
                "Marquee asks the API for a room that was not granted",
                await attempt(marquee.messages(private, self.purpose)),
            ),
            refused("Tempo asks for the room granted to Marquee", await attempt(tempo.messages(films, self.purpose))),
        ]
