"""Sending: the path of every message, and of state and redactions.

For a message: the content is serialised and hashed once before the write; inside it, the room in memory answers who
may send what, and one INSERT stores the event. The transaction id lies in the same row, under a unique index.
"""

from __future__ import annotations

from typing import Any

import msgspec

from paraph.protocol.draft import VIA
from paraph.server.http import ApiError, PersonPrincipal
from paraph.server.messenger import auth, events, plaintext
from paraph.server.messenger.core import Core, RoomWrite
from paraph.server.messenger.directory.aliases import Aliases
from paraph.server.messenger.errors import bad_json, forbidden, invalid, not_found
from paraph.server.messenger.membership import Memberships
from paraph.server.messenger.model import (
    CANONICAL_ALIAS,
    CREATE,
    ENCRYPTED,
    MEMBER,
    REACTION,
    REDACTION,
    TOMBSTONE,
    Event,
)
from paraph.server.messenger.relations.model import RELATES_TO, relation_of
from paraph.server.messenger.room import Room
from paraph.server.storage import Transaction


class Sending:
    """Puts events into rooms."""

    def __init__(self, core: Core, memberships: Memberships, aliases: Aliases) -> None:
        self._core = core
        self._memberships = memberships
        self._aliases = aliases

    async def send(
        self, person: PersonPrincipal, room_id: str, event_type: str, txn_id: str, content: dict[str, Any]
    ) -> str:
        """Send a message event; returns its id. The same request again writes nothing and returns the same id.

        Raises M_FORBIDDEN (not joined, plaintext, power level), M_BAD_JSON, M_TOO_LARGE, and what `before_send` raises.
        """
        if event_type == REDACTION:
            target = content.get("redacts")
            if not isinstance(target, str):
                raise bad_json("redacts must be the id of an event")
            return await self.redact(person, room_id, target, txn_id, content.get("reason"))
        events.check_name("type", event_type)
        events.check_name("the transaction id", txn_id)
        if event_type == ENCRYPTED:
            auth.check_encrypted(content)
        elif event_type == REACTION:
            _check_reaction(content)
        if VIA in content and (event_type != ENCRYPTED or self._core.hooks.on_via is None):
            raise forbidden(f"{VIA} stands in an encrypted message that seals a draft, and nowhere else")
        core, user_id, device_id = self._core, person.user_id, person.device_id
        key = events.txn_key(user_id, device_id, "send", room_id, event_type, txn_id)
        event = events.seal(
            room_id,
            user_id,
            device_id,
            event_type,
            events.canonical_content(content),
            core.clock(),
            txn_id=txn_id,
        )

        relation = relation_of(content) if RELATES_TO in content else None

        def write(tx: Transaction) -> str:
            target = None
            try:
                room = core.room_joined_by(tx, room_id, user_id)
                plaintext.check(room, event_type, content, core.require_encryption)
                auth.check_level(room, user_id, event_type, is_state=False)
                if event_type == TOMBSTONE:
                    auth.check_tombstone(room, content)
                if event_type == ENCRYPTED and core.hooks.before_send is not None:
                    core.hooks.before_send(tx, user_id, device_id, room_id, content)
                if relation is not None:
                    target = core.relations.check(tx, event, relation)
            except ApiError:  # a repeated request is answered as it was the first time
                written = core.store.event_id_of_txn(tx, key)
                if written is None:
                    raise
                return written
            event_id = self._append(tx, room, event, key)
            if relation is not None and target is not None and event_id == event.event_id:
                core.relations.record(tx, event, relation, target, content)
            if core.words.wants(event_type) and event_id == event.event_id:
                core.words.record(tx, event, content)
            if VIA in content and event_id == event.event_id and core.hooks.on_via is not None:
                core.hooks.on_via(tx, event, content)  # what it refuses is rolled back with the event
            return event_id

        return await core.database.write(write)

    def _append(self, tx: Transaction, room: Room, event: Event, key: bytes | None) -> str:
        core = self._core
        event.position = tx.next_position()
        if not core.store.add_event(tx, event, key):
            written = None if key is None else core.store.event_id_of_txn(tx, key)
            if written is None:
                raise forbidden("an event with this id exists already")
            return written
        if event.type == ENCRYPTED and core.hooks.on_encrypted is not None:
            core.hooks.on_encrypted(tx, event)
        seen = None if room is core.rooms.held(event.room_id) else room
        tx.after_commit(lambda: core.publish(event, room, seen))
        return event.event_id

    async def redact(
        self, person: PersonPrincipal, room_id: str, target_id: str, txn_id: str, reason: object = None
    ) -> str:
        """Take the content out of an event, for everybody and for good; returns the redaction's id."""
        events.check_name("the transaction id", txn_id)
        core = self._core
        content: dict[str, Any] = {"redacts": target_id}
        if reason is not None:
            if not isinstance(reason, str):
                raise bad_json("reason must be text")
            content["reason"] = reason
        key = events.txn_key(person.user_id, person.device_id, "redact", room_id, target_id, txn_id)
        event = events.seal(
            room_id,
            person.user_id,
            person.device_id,
            REDACTION,
            events.canonical_content(content),
            core.clock(),
            extra=b',"redacts":' + msgspec.json.encode(target_id),
            txn_id=txn_id,
        )

        def write(tx: Transaction) -> str:
            written = core.store.event_id_of_txn(tx, key)
            if written is not None:
                return written
            room = core.room_joined_by(tx, room_id, person.user_id)
            target = self._target(tx, room_id, target_id)
            auth.check_redaction(room, person.user_id, target)
            event_id = self._append(tx, room, event, key)
            self._redact(tx, room, target, event)
            return event_id

        return await core.database.write(write)

    def _target(self, tx: Transaction, room_id: str, event_id: str) -> Event:
        """The event to redact; raises M_NOT_FOUND, or M_INVALID_PARAM for one of another room."""
        target = self._core.store.event(tx, room_id, event_id)
        if target is None:
            if self._core.store.event_exists(tx, event_id):
                raise invalid("an event is redacted in its own room")
            raise not_found(f"there is no event {event_id[:80]} in this room")
        return target

    def redact_for(self, tx: Transaction, room_id: str, author: str, target_id: str, content: dict[str, Any]) -> str:
        """Redact an author's own event in her name, inside another room's transaction; returns the redaction's id.

        `content` says why and through whom. Raises M_FORBIDDEN if she is not in the room, or it is not her event;
        M_NOT_FOUND if there is none or it is redacted already.
        """
        core = self._core
        room = core.room_joined_by(tx, room_id, author)
        target = core.store.event(tx, room_id, target_id)
        if target is None or target.redacted_by is not None:
            raise not_found(f"there is no event {target_id} in this room")
        if target.sender != author:
            raise forbidden("only an author's own events are redacted in her name")
        auth.check_redaction(room, author, target)
        event = events.seal(
            room_id,
            author,
            "",
            REDACTION,
            events.canonical_content({**content, "redacts": target_id}),
            core.clock(),
            extra=b',"redacts":' + msgspec.json.encode(target_id),
        )
        event_id = self._append(tx, room, event, None)
        self._redact(tx, room, target, event)
        return event_id

    def _redact(self, tx: Transaction, room: Room, target: Event, redaction: Event) -> None:
        if target.redacted_by is not None:
            return
        target.json = events.redacted(target, redaction, room.version)
        target.redacted_by = redaction.event_id
        core = self._core
        core.store.redact(tx, target.event_id, redaction.event_id, target.json)
        core.relations.forget(tx, target)
        core.words.forget(tx, target)
        tx.after_commit(lambda: core.rooms.replace(target))
        if target.state_key is not None:
            self._redact_state(tx, room, target)

    def _redact_state(self, tx: Transaction, room: Room, target: Event) -> None:
        """A piece of state was redacted: its successor shows it no more, nor does what is made of the room's state."""
        core = self._core
        successor = core.store.successor(tx, target)
        if successor is not None:
            successor.json = events.without_previous(successor)
            core.store.rewrite(tx, successor)
            tx.after_commit(lambda: core.rooms.replace(successor))
            return
        after = room.copy()
        after.replace(target)
        for told in core.on_state:
            told(tx, after, target)

    async def set_state(
        self, person: PersonPrincipal, room_id: str, event_type: str, state_key: str, content: dict[str, Any]
    ) -> str:
        """Set a piece of room state; returns the event id. What is so already stays, with its event.

        Raises M_FORBIDDEN, M_BAD_JSON, M_TOO_LARGE, M_NOT_FOUND.
        """
        events.check_name("type", event_type)
        events.check_name("state_key", state_key)

        def write(tx: Transaction) -> str:
            work = RoomWrite.open(self._core, tx, room_id)
            if event_type == MEMBER:
                return self._memberships.write_state(tx, work, person, state_key, content)
            auth.check_state(work.room, person.user_id, event_type, state_key, content)
            if (event_type, state_key) == (CANONICAL_ALIAS, ""):
                self._aliases.check_canonical(tx, work.room, content)
            current = work.room.state.get((event_type, state_key))
            if current is not None and current.sender == person.user_id and current.content == content:
                return current.event_id
            return work.put(person.user_id, person.device_id, event_type, state_key, content).event_id

        return await self._core.database.write(write)

    def put_platform_state(
        self, tx: Transaction, room_id: str, event_type: str, state_key: str, sender: str, content: dict[str, Any]
    ) -> str:
        """State that the platform writes inside a transaction of its own (`org.paraph.grant`); returns the event id.

        Raises M_NOT_FOUND for an unknown room, ValueError for types whose rules it would get around.
        """
        if event_type in (MEMBER, CREATE) or not event_type.startswith("org.paraph."):
            raise ValueError(f"the platform does not write {event_type}")
        return RoomWrite.open(self._core, tx, room_id).put(sender, "", event_type, state_key, content).event_id


def _check_reaction(content: dict[str, Any]) -> None:
    relation = content.get("m.relates_to")
    if not isinstance(relation, dict) or relation.get("rel_type") != "m.annotation":
        raise bad_json("a reaction names its event in m.relates_to, with rel_type m.annotation")
