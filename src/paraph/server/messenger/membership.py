"""Inviting, joining, knocking, leaving, kicking, banning; profiles, which live in membership events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from paraph.server.http import MatrixError, PersonPrincipal
from paraph.server.messenger import auth_members as auth
from paraph.server.messenger.blocking import check_invitable
from paraph.server.messenger.core import Core, RoomWrite, check_address
from paraph.server.messenger.errors import bad_json, forbidden, no_third_party, not_found, not_joined
from paraph.server.messenger.events import check_name
from paraph.server.messenger.model import MEMBER, Profile
from paraph.server.messenger.room import Room
from paraph.server.storage import Announcement, Transaction

Check = Callable[[Room, str, str], None]
MAX_REASON = 1_000
_RESERVED = frozenset(
    {
        "membership",
        "displayname",
        "avatar_url",
        "is_direct",
        "reason",
        "join_authorised_via_users_server",
        "third_party_invite",
    }
)
"""What a membership says in the server's own words; all else is the client's, and goes into the event as it is."""
_FORGOTTEN = "messenger.forgotten"
_forgotten = msgspec.json.Decoder(tuple[str, str, int])
encode = msgspec.json.Encoder().encode

# What one person does to another: who may, and the membership that follows.
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

    async def join(
        self, person: PersonPrincipal, room_id: str, reason: str | None = None, further: dict[str, Any] | None = None
    ) -> None:
        """Join a room that is public, that the person is invited to, or that lets members of another of her rooms in;
        once joined, nothing happens. `further` members become part of the membership's content.
        """
        extra = {name: value for name, value in (further or {}).items() if name not in _RESERVED}

        def write(tx: Transaction) -> None:
            work = RoomWrite.open(self._core, tx, room_id)
            if person.user_id not in work.room.joined:
                content = member_content("join", self._core.store.profile(tx, person.user_id), reason, extra)
                self._join(tx, work, person, content)

        await self._core.database.write(write)

    def _join(self, tx: Transaction, work: RoomWrite, person: PersonPrincipal, content: dict[str, Any]) -> str:
        """Join with this content, if she may; returns the event id."""
        user_id, core = person.user_id, self._core
        authoriser = auth.check_join(work.room, user_id, lambda room_id: core.store.is_joined(tx, user_id, room_id))
        if authoriser is not None:
            content["join_authorised_via_users_server"] = authoriser
        known = work.room.state.get((MEMBER, user_id))
        invited = known is not None and work.room.memberships.get(user_id) == "invite"
        if known is not None and invited and known.content.get("is_direct") is True:
            content["is_direct"] = True
        return work.put(user_id, person.device_id, MEMBER, user_id, content).event_id

    async def knock(self, person: PersonPrincipal, room_id: str, reason: str | None = None) -> None:
        """Ask to be let into a room whose join rule allows it."""

        def write(tx: Transaction) -> None:
            work = RoomWrite.open(self._core, tx, room_id)
            auth.check_knock(work.room, person.user_id)
            content = member_content("knock", self._core.store.profile(tx, person.user_id), reason)
            self._put(work, person, person.user_id, content)

        await self._core.database.write(write)

    async def leave(self, person: PersonPrincipal, room_id: str, reason: str | None = None) -> None:
        """Leave a room, turn an invitation down or take a knock back; once left, nothing happens."""

        def write(tx: Transaction) -> None:
            work = RoomWrite.open(self._core, tx, room_id)
            if work.room.memberships.get(person.user_id) != "leave":
                auth.check_leave(work.room, person.user_id)
                self._put(work, person, person.user_id, member_content("leave", Profile(), reason))

        await self._core.database.write(write)

    def leave_all(self, tx: Transaction, user_id: str) -> None:
        """Within a write: leave every room and turn every invitation down, as the end of an account does."""
        for room_id, known in self._core.store.memberships_of(tx, user_id).items():
            if known.membership in auth.PRESENT:
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
        extra: dict[str, Any] | None = None,
    ) -> str:
        """As `act`, within a write; returns the event id. `extra` are further members of the content."""
        check, membership = _ACTIONS[action]
        if person.user_id not in work.room.joined:
            raise not_joined(person.user_id, work.room.room_id)
        if membership == "invite":
            self._core.check_person(tx, target)
        else:  # whoever was never here can be banned all the same
            check_address(target)
        check(work.room, person.user_id, target)
        if membership == "invite":
            check_invitable(tx, target)
        profile = self._core.store.profile(tx, target) if membership == "invite" else Profile()
        return self._put(work, person, target, member_content(membership, profile, reason, extra))

    def write_state(
        self, tx: Transaction, work: RoomWrite, person: PersonPrincipal, target: str, content: dict[str, Any]
    ) -> str:
        """A membership set through `PUT /state/m.room.member/{target}`; returns the event id."""
        check_address(target)
        membership, there = content.get("membership"), work.room.memberships.get(target)
        extra = {name: value for name, value in content.items() if name not in _RESERVED}
        if target == person.user_id:
            return self._write_own(tx, work, person, content, extra)
        action = {"invite": "invite", "ban": "ban", "leave": "unban" if there == "ban" else "kick"}.get(str(membership))
        if membership in ("join", "knock"):
            raise forbidden("nobody joins or knocks for somebody else")
        if action == "invite" and "third_party_invite" in content:
            raise no_third_party()
        if action is None:
            raise bad_json("membership must be invite, join, knock, leave or ban")
        if action == "invite" and content.get("is_direct") is True:
            extra["is_direct"] = True
        return self.write_action(tx, work, person, action, target, content.get("reason"), extra)

    def _write_own(
        self, tx: Transaction, work: RoomWrite, person: PersonPrincipal, content: dict[str, Any], extra: dict[str, Any]
    ) -> str:
        """Joining, showing another name in one room, knocking, leaving."""
        user_id, membership, reason = person.user_id, content.get("membership"), content.get("reason")
        if membership == "leave":
            auth.check_leave(work.room, user_id)
            return self._put(work, person, user_id, member_content("leave", Profile(), reason, extra))
        if membership in ("invite", "ban"):
            return self.write_action(tx, work, person, str(membership), user_id, reason, extra)
        if membership not in ("join", "knock"):
            raise bad_json("membership must be invite, join, knock, leave or ban")
        shown = Profile(_text(content, "displayname"), _text(content, "avatar_url"))
        written = member_content(membership, shown, reason, extra)
        if membership == "knock":
            auth.check_knock(work.room, user_id)
        elif user_id not in work.room.joined:
            return self._join(tx, work, person, written)
        return self._put(work, person, user_id, written)

    def _put(self, work: RoomWrite, person: PersonPrincipal, target: str, content: dict[str, Any]) -> str:
        """Write a membership that is allowed; what the same person said already stays as it is."""
        current = work.room.state.get((MEMBER, target))
        if current is not None and current.sender == person.user_id and current.content == content:
            return current.event_id
        return work.put(person.user_id, person.device_id, MEMBER, target, content).event_id

    async def forget(self, person: PersonPrincipal, room_id: str) -> None:
        """Take a room that one has left off one's list."""

        def write(tx: Transaction) -> None:
            known = self._core.store.membership(tx, person.user_id, room_id)
            if known is None:
                raise not_found(f"you were never in {room_id}")
            if known.membership in auth.PRESENT:
                raise MatrixError(400, "M_UNKNOWN", "leave the room before you forget it")
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


def member_content(
    membership: str, profile: Profile, reason: Any, extra: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Content of a membership event; a reason that is no text, or too long, is refused with M_BAD_JSON."""
    content: dict[str, Any] = {**(extra or {}), "membership": membership}
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
