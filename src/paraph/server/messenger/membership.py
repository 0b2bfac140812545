"""Inviting, joining, leaving, kicking, banning; profiles, which live in membership events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from paraph.server.http import PersonPrincipal
from paraph.server.messenger import auth
from paraph.server.messenger.core import Core, RoomWrite
from paraph.server.messenger.errors import bad_json, forbidden, not_found
from paraph.server.messenger.events import check_name
from paraph.server.messenger.model import MEMBER, Profile
from paraph.server.messenger.room import Room
from paraph.server.storage import Announcement, Transaction

Check = Callable[[Room, str, str], None]
MAX_REASON = 1_000
_FORGOTTEN = "messenger.forgotten"
_forgotten = msgspec.json.Decoder(tuple[str, str, int])
encode = msgspec.json.Encoder().encode

# By the membership that follows: who may bring it about for somebody else, and whether the target is a person to check.
_ACTIONS: dict[str, tuple[Check, str]] = {
    "invite": (auth.check_invite, "invite"),
    "kick": (auth.check_kick, "leave"),
    "ban": (auth.check_ban, "ban"),
    "unban": (auth.check_unban, "leave"),
}


class Memberships:
    """Who is in which room."""

    def __init__(self, core: Core) -> None:
        self._core = core
        core.database.listen(_FORGOTTEN, self._forgotten)

    async def join(self, person: PersonPrincipal, room_id: str, reason: str | None = None) -> None:
        """Join a room that is public or that the person is invited to; once joined, nothing happens."""

        def write(tx: Transaction) -> None:
            work = RoomWrite.open(self._core, tx, room_id)
            if person.user_id not in work.room.joined:
                auth.check_join(work.room, person.user_id)
                self._join(tx, work, person, reason)

        await self._core.database.write(write)

    def _join(self, tx: Transaction, work: RoomWrite, person: PersonPrincipal, reason: str | None) -> None:
        invited = work.room.state.get((MEMBER, person.user_id))
        extra: dict[str, Any] = {}
        if invited is not None and work.room.memberships.get(person.user_id) == "invite":
            extra = {"is_direct": True} if invited.content.get("is_direct") is True else {}
        content = member_content("join", self._core.store.profile(tx, person.user_id), reason)
        work.put(person.user_id, person.device_id, MEMBER, person.user_id, content | extra)

    async def leave(self, person: PersonPrincipal, room_id: str, reason: str | None = None) -> None:
        """Leave a room, or turn an invitation down; once left, nothing happens."""

        def write(tx: Transaction) -> None:
            work = RoomWrite.open(self._core, tx, room_id)
            if work.room.memberships.get(person.user_id) != "leave":
                auth.check_leave(work.room, person.user_id)
                content = member_content("leave", Profile(), reason)
                work.put(person.user_id, person.device_id, MEMBER, person.user_id, content)

        await self._core.database.write(write)

    def leave_all(self, tx: Transaction, user_id: str) -> None:
        """Within a write: leave every room and turn every invitation down, as the end of an account does."""
        for room_id, known in self._core.store.memberships_of(tx, user_id).items():
            if known.membership in ("join", "invite"):
                work = RoomWrite.open(self._core, tx, room_id)
                work.put(user_id, "", MEMBER, user_id, member_content("leave", Profile(), None))

    async def act(
        self, person: PersonPrincipal, room_id: str, action: str, target: str, reason: str | None = None
    ) -> None:
        """`invite`, `kick`, `ban` or `unban` somebody."""

        def write(tx: Transaction) -> None:
            self.write_action(tx, RoomWrite.open(self._core, tx, room_id), person, action, target, reason)

        await self._core.database.write(write)

    def write_action(
        self,
        tx: Transaction,
        work: RoomWrite,
        person: PersonPrincipal,
        action: str,
        target: str,
        reason: str | None = None,
        *,
        is_direct: bool = False,
    ) -> str:
        """As `act`, within a write; returns the event id."""
        check, membership = _ACTIONS[action]
        if person.user_id not in work.room.joined:
            raise forbidden(f"{person.user_id} is not joined to {work.room.room_id}")
        self._core.check_person(tx, target)
        check(work.room, person.user_id, target)
        profile = self._core.store.profile(tx, target) if membership == "invite" else Profile()
        content = member_content(membership, profile, reason)
        if is_direct:
            content["is_direct"] = True
        return work.put(person.user_id, person.device_id, MEMBER, target, content).event_id

    def write_state(
        self, tx: Transaction, work: RoomWrite, person: PersonPrincipal, target: str, content: dict[str, Any]
    ) -> str:
        """A membership set through `PUT /state/m.room.member/{target}`; returns the event id."""
        self._core.check_person(tx, target)
        membership, reason = content.get("membership"), content.get("reason")
        there = work.room.memberships.get(target)
        if target == person.user_id and membership == "join":
            return self._write_own(tx, work, person, content)
        if target == person.user_id and membership == "leave":
            auth.check_leave(work.room, target)
            return work.put(
                target, person.device_id, MEMBER, target, member_content("leave", Profile(), reason)
            ).event_id
        action = {"invite": "invite", "ban": "ban", "leave": "unban" if there == "ban" else "kick"}.get(str(membership))
        if action is None:
            raise bad_json("membership must be invite, join, leave or ban")
        direct = content.get("is_direct") is True
        return self.write_action(tx, work, person, action, target, reason, is_direct=direct)

    def _write_own(self, tx: Transaction, work: RoomWrite, person: PersonPrincipal, content: dict[str, Any]) -> str:
        """Joining, or showing another name in one room."""
        if person.user_id not in work.room.joined:
            auth.check_join(work.room, person.user_id)
        profile = Profile(_text(content, "displayname"), _text(content, "avatar_url"))
        shown = member_content("join", profile, content.get("reason"))
        return work.put(person.user_id, person.device_id, MEMBER, person.user_id, shown).event_id

    async def forget(self, person: PersonPrincipal, room_id: str) -> None:
        """Take a room that one has left off one's list."""

        def write(tx: Transaction) -> None:
            known = self._core.store.membership(tx, person.user_id, room_id)
            if known is None:
                raise not_found(f"you were never in {room_id}")
            if known.membership in ("join", "invite"):
                raise forbidden("leave the room before you forget it")
            self._core.store.forget(tx, person.user_id, room_id)
            tx.announce(_FORGOTTEN, encode([person.user_id, room_id, known.position]).decode())

        await self._core.database.write(write)

    def _forgotten(self, announcement: Announcement) -> None:
        user_id, room_id, position = _forgotten.decode(announcement.payload)
        view = self._core.views.held(user_id)
        known = None if view is None else view.rooms.get(room_id)
        if known is not None and known.position <= position:  # not if invited again since
            self._core.views.set_membership(user_id, room_id, None)

    async def set_profile(self, person: PersonPrincipal, name: str, value: str | None) -> None:
        """Set `displayname` or `avatar_url`; every room that the person is joined to learns of it."""
        if value is not None:
            check_name(name, value)

        def write(tx: Transaction) -> None:
            old = self._core.store.profile(tx, person.user_id)
            new = Profile(**{"displayname": old.displayname, "avatar_url": old.avatar_url, name: value or None})
            if new == old:
                return
            self._core.store.put_profile(tx, person.user_id, new)
            for room_id in self._core.store.joined_rooms(tx, person.user_id):
                work = RoomWrite.open(self._core, tx, room_id)
                content = member_content("join", new, None)
                work.put(person.user_id, person.device_id, MEMBER, person.user_id, content)

        await self._core.database.write(write)

    async def profile(self, user_id: str) -> Profile:
        """How a person shows itself; raises M_NOT_FOUND for nobody."""

        def read(tx: Transaction) -> Profile:
            if not self._core.exists(tx, user_id):
                raise not_found(f"nobody here is called {user_id}")
            return self._core.store.profile(tx, user_id)

        return await self._core.database.read(read)


def member_content(membership: str, profile: Profile, reason: Any) -> dict[str, Any]:
    """Content of a membership event; a reason that is no text, or too long, is refused with M_BAD_JSON."""
    content: dict[str, Any] = {"membership": membership}
    if profile.displayname is not None:
        content["displayname"] = profile.displayname
    if profile.avatar_url is not None:
        content["avatar_url"] = profile.avatar_url
    if reason is not None:
        if not isinstance(reason, str) or len(reason) > MAX_REASON:
            raise bad_json(f"reason must be text of at most {MAX_REASON} characters")
        content["reason"] = reason
    return content


def _text(content: dict[str, Any], name: str) -> str | None:
    value = content.get(name)
    if value is not None and not isinstance(value, str):
        raise bad_json(f"{name} must be text")
    return check_name(name, value) if value is not None else None
