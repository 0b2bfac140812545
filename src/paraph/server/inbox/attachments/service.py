"""Which attachments a partner gets, decided and recorded in one write transaction before the first byte leaves.

A file is an attachment if its uploader named a room and called it bytes, as encrypted files are. The grant must allow
`read:attachments`; that a message names the file is between its author and whoever opens the message. What leaves are
ciphertexts: only the key inside the author's message opens them.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from paraph.server.consent.access import LiveGrant
from paraph.server.consent.service import Consent
from paraph.server.http import PartnerPrincipal, Stream
from paraph.server.inbox.attachments import store
from paraph.server.inbox.errors import no_such_file, purpose_not_granted, room_closed
from paraph.server.inbox.receipts import answered
from paraph.server.inbox.serving import reach
from paraph.server.ledger.model import Recorded
from paraph.server.ledger.service import Ledger
from paraph.server.media.model import OCTETS, MediaFile
from paraph.server.media.service import Media
from paraph.server.storage import Database, Transaction

READ_ATTACHMENTS = "read:attachments"


class Rooms(Protocol):
    """What is asked of the messenger."""

    def members(self, tx: Transaction, room_id: str) -> list[str]:
        """Who is in a room; nobody for a room that does not exist."""

    def is_closed(self, tx: Transaction, room_id: str) -> bool:
        """Whether a member closed the room to partners."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes out: its bytes, and the access entry with its receipt."""

    content: Stream
    access: dict[str, Any]


class Attachments:
    """The attachments of granting authors."""

    def __init__(self, database: Database, ledger: Ledger, consent: Consent, rooms: Rooms, media: Media) -> None:
        self._database = database
        self._ledger = ledger
        self._consent = consent
        self._rooms = rooms
        self._media = media
        media.on_complete.append(self.on_complete)

    def on_complete(self, tx: Transaction, file: MediaFile) -> None:
        """A file is there (hook of the media): note which grants cover it now."""
        if file.room_id is None or file.content_type != OCTETS:
            return
        covering = self._consent.covering.reading(tx, file.owner, file.device_id, file.room_id, READ_ATTACHMENTS)
        for held in covering:
            store.add(tx, file.media_id, held.grant.grant_id)

    async def fetch(self, caller: PartnerPrincipal, media_id: str, purpose: str) -> Attachment:
        """An attachment, on the record. Raises Problem, and LogNotFresh while the log does not keep up."""
        found, recorded = await self._database.write(lambda tx: self._serve(tx, caller, media_id, purpose))
        return Attachment(await self._media.content(found), answered(self._ledger.receipts, recorded))

    def _serve(
        self, tx: Transaction, caller: PartnerPrincipal, media_id: str, purpose: str
    ) -> tuple[MediaFile, Recorded]:
        self._ledger.check_fresh(tx)
        found = self._media.get(tx, media_id)
        if found is None or found.room_id is None or found.content_type != OCTETS:
            raise no_such_file(media_id)
        live = self._allowed(tx, caller, found, found.room_id, purpose)
        body = {"grant_id": live.grant_id, "purpose": purpose, "room_id": found.room_id, "media_ids": [media_id]}
        recorded = self._ledger.record_private(tx, "access", live.person, caller.slug, body, grant_id=live.grant_id)
        return found, recorded

    def _allowed(
        self, tx: Transaction, caller: PartnerPrincipal, found: MediaFile, room_id: str, purpose: str
    ) -> LiveGrant:
        """The grant under which the file goes out; raises Problem."""
        granting = [
            live
            for live in self._consent.live.between(tx, found.owner, caller.slug, caller.grant_id)
            if READ_ATTACHMENTS in live.scope.verbs and live.scope.covers(room_id) and self._gives(tx, live, found)
        ]
        if (
            not granting
            or found.owner not in self._rooms.members(tx, room_id)
            or found.device_id not in self._consent.grants.enrolled_ids(tx, found.owner)
        ):
            raise no_such_file(found.media_id)
        if self._rooms.is_closed(tx, room_id):
            raise room_closed(room_id)
        fitting = [live for live in granting if purpose in live.scope.purposes]
        if not fitting:
            raise purpose_not_granted(purpose)
        return min(fitting, key=reach)

    def _gives(self, tx: Transaction, live: LiveGrant, found: MediaFile) -> bool:
        """Whether it was uploaded under this grant, or before it and within the history that it names."""
        if (found.position or 0) < live.held.seq:
            return live.scope.history is not None and found.ts >= live.scope.history
        return store.has(tx, found.media_id, live.grant_id)
