"""Metadata and friends, each answer under one grant and recorded in the transaction that decides it.

Others appear as handles: a code for each person that differs from partner to partner, so that two partners cannot find
out that they hear of the same one. The record names the handles too, since the partner gets to see it.
"""

import hmac
from dataclasses import dataclass
from typing import Any, Protocol

from paraph.protocol.base64 import b64url
from paraph.server.consent.access import LiveGrant
from paraph.server.consent.service import Consent
from paraph.server.http import PartnerPrincipal
from paraph.server.inbox.errors import bad_parameter, no_such_grant, purpose_not_granted, verb_not_granted
from paraph.server.inbox.opaque import Opaque
from paraph.server.inbox.people import store
from paraph.server.inbox.receipts import answered
from paraph.server.ledger.model import Recorded
from paraph.server.ledger.service import Ledger
from paraph.server.storage import Database, Transaction

METADATA, FRIENDS = "metadata", "friends"
MAX_ROOMS = 100
"""Conversations in one answer."""
MAX_CORRESPONDENTS = 500
"""Handles told of one conversation; `members` says how many people there are."""
MAX_FRIENDS = 500
"""Handles in one answer."""
PAIR = 2

Json = dict[str, Any]


class Rooms(Protocol):
    """What is asked of the messenger."""

    def joined_rooms(self, tx: Transaction, user_id: str) -> list[str]:
        """Rooms that a person is in."""

    def members(self, tx: Transaction, room_id: str) -> list[str]:
        """Who is in a room."""

    def is_closed(self, tx: Transaction, room_id: str) -> bool:
        """Whether a member closed the room to partners."""

    def times(self, tx: Transaction, room_id: str) -> tuple[int, int | None]:
        """When a room was made, and when the newest message there was sent."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a partner asks for: under which grant (by default its token's), for which purpose, from where on."""

    caller: PartnerPrincipal
    grant_id: str | None
    purpose: str
    since: str
    limit: int


class People:
    """Conversations and friends of granting authors, and who lets herself be listed."""

    def __init__(self, database: Database, ledger: Ledger, consent: Consent, rooms: Rooms, opaque: Opaque) -> None:
        self._database = database
        self._ledger = ledger
        self._consent = consent
        self._rooms = rooms
        self._opaque = opaque

    # What partners ask

    async def metadata(self, asked: Asked) -> Json:
        """An author's conversations: when each began and went on, and codes of who else is in it. Raises Problem."""

        def write(tx: Transaction) -> tuple[Json, Recorded]:
            live = self._granting(tx, asked, METADATA)
            found = [room for room in self._open(tx, live) if room > self._after(asked, METADATA)][: asked.limit + 1]
            shown = found[: asked.limit]
            rooms = [self._told(tx, asked, live.person, room) for room in shown]
            following = self._next(asked, METADATA, shown) if len(found) > len(shown) else None
            return {"rooms": rooms, "next": following}, self._record(tx, asked, live, {"room_ids": shown})

        return await self._answered(write)

    async def friends(self, asked: Asked) -> Json:
        """Codes of those who share a direct conversation with the author and accepted to be listed. Raises Problem."""

        def write(tx: Transaction) -> tuple[Json, Recorded]:
            live = self._granting(tx, asked, FRIENDS)
            handles = sorted(self.handle(asked.caller.slug, friend) for friend in self._friends(tx, live))
            found = [handle for handle in handles if handle > self._after(asked, FRIENDS)]
            shown = found[: asked.limit]
            following = self._next(asked, FRIENDS, shown) if len(found) > len(shown) else None
            return {"friends": shown, "next": following}, self._record(tx, asked, live, {"friends": shown})

        return await self._answered(write)

    def handle(self, slug: str, user_id: str) -> str:
        """The code of a person for a partner: always the same, and another one for every other partner."""
        key = hmac.digest(self._opaque.key("handles"), slug.encode(), "sha256")
        return "h_" + b64url(hmac.digest(key, user_id.encode(), "sha256"))[:22]

    # What people decide

    async def list_me(self, user_id: str, *, listed: bool) -> None:
        """Let oneself be listed, or not any more."""
        await self._database.write(lambda tx: store.put(tx, user_id, listed=listed))

    async def is_listed(self, user_id: str) -> bool:
        """Whether somebody lets herself be listed."""
        return await self._database.read(lambda tx: store.is_listed(tx, user_id))

    # Inside

    async def _answered(self, write: Any) -> Json:
        body, recorded = await self._database.write(write)
        return {**body, "access": answered(self._ledger.receipts, recorded)}

    def _granting(self, tx: Transaction, asked: Asked, verb: str) -> LiveGrant:
        """The grant that is asked under, if it allows this; raises Problem."""
        self._ledger.check_fresh(tx)
        only, named = asked.caller.grant_id, asked.grant_id or asked.caller.grant_id
        if named is None:
            raise bad_parameter("grant_id is missing: an answer is under one grant")
        live = self._consent.live.get(tx, named) if only in (None, named) else None
        if live is None or live.held.grant.partner != asked.caller.slug:
            raise no_such_grant(named)
        if verb not in live.scope.verbs:
            raise verb_not_granted(verb)
        if asked.purpose not in live.scope.purposes:
            raise purpose_not_granted(asked.purpose)
        return live

    def _open(self, tx: Transaction, live: LiveGrant) -> list[str]:
        """The author's conversations that the grant covers and that nobody closed, in order of their ids."""
        joined = sorted(self._rooms.joined_rooms(tx, live.person))
        return [room for room in joined if live.scope.covers(room) and not self._rooms.is_closed(tx, room)]

    def _told(self, tx: Transaction, asked: Asked, author: str, room_id: str) -> Json:
        members = self._rooms.members(tx, room_id)
        created, last = self._rooms.times(tx, room_id)
        others = sorted(self.handle(asked.caller.slug, other) for other in members if other != author)
        return {
            "room_id": room_id,
            "created": created,
            "last_message": last,
            "members": len(members),
            "correspondents": others[:MAX_CORRESPONDENTS],
        }

    def _friends(self, tx: Transaction, live: LiveGrant) -> set[str]:
        pairs = (self._rooms.members(tx, room) for room in self._open(tx, live))
        others = {other for members in pairs if len(members) == PAIR for other in members if other != live.person}
        return {other for other in others if store.is_listed(tx, other)}

    def _record(self, tx: Transaction, asked: Asked, live: LiveGrant, listed: Json) -> Recorded:
        body = {"grant_id": live.grant_id, "purpose": asked.purpose, **listed}
        return self._ledger.record_private(tx, "access", live.person, asked.caller.slug, body, grant_id=live.grant_id)

    def _after(self, asked: Asked, verb: str) -> str:
        return str(self._opaque.open(f"{verb} cursor", asked.caller.slug, asked.since)["after"]) if asked.since else ""

    def _next(self, asked: Asked, verb: str, shown: list[str]) -> str:
        return self._opaque.seal(f"{verb} cursor", asked.caller.slug, {"after": shown[-1]})
