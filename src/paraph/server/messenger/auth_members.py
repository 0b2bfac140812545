"""Who may be what to a room: the rules for `m.room.member` (authorization rules of the room versions)."""

from __future__ import annotations

from collections.abc import Callable

from paraph.server.messenger.errors import forbidden, not_joined
from paraph.server.messenger.room import Room

PRESENT = ("join", "invite", "knock")
"""Memberships of people who can be put out."""


def check_invite(room: Room, sender: str, target: str) -> None:
    """Whether `sender` may invite `target`; raises M_FORBIDDEN."""
    if sender not in room.joined:
        raise not_joined(sender, room.room_id)
    there = room.memberships.get(target)
    if there in ("join", "ban"):
        raise forbidden(f"{target} is already {'joined' if there == 'join' else 'banned'}")
    _check_action(room, sender, "invite")


def check_join(room: Room, user_id: str, is_joined: Callable[[str], bool]) -> str | None:
    """Whether somebody not joined may join; raises M_FORBIDDEN.

    `is_joined` says whether she is joined to another room. Whoever comes in as a member of another room is let in by a
    member who could have invited her: that one's user id is returned.
    """
    there = room.memberships.get(user_id)
    if there == "ban":
        raise forbidden("you are banned from this room")
    if there == "invite" or room.join_rule == "public":
        return None
    if room.restricted and any(is_joined(room_id) for room_id in room.allowed_rooms):
        return _authoriser(room)
    raise forbidden("you are not invited to this room")


def _authoriser(room: Room) -> str:
    needed = room.power.level("invite")
    for user_id in room.joined:
        if room.power.of(user_id) >= needed:
            return user_id
    raise forbidden("nobody is in this room who could let you in")


def check_knock(room: Room, user_id: str) -> None:
    """Whether somebody may ask to be let in; raises M_FORBIDDEN."""
    if not room.knockable:
        raise forbidden("nobody can knock on this room")
    there = room.memberships.get(user_id)
    if there in ("join", "invite", "ban"):
        raise forbidden(f"you are {_SAID[there]} already")


_SAID = {"join": "joined", "invite": "invited", "ban": "banned"}


def check_leave(room: Room, user_id: str) -> None:
    """Whether somebody has anything to leave; raises M_FORBIDDEN."""
    if room.memberships.get(user_id) not in PRESENT:
        raise forbidden("you are neither joined nor invited to this room, and do not knock on it")


def check_kick(room: Room, sender: str, target: str) -> None:
    """Whether `sender` may put `target` out; raises M_FORBIDDEN."""
    _check_above(room, sender, target, "kick")
    if room.memberships.get(target) not in PRESENT:
        raise forbidden(f"{target} is neither joined nor invited, and does not knock")


def check_ban(room: Room, sender: str, target: str) -> None:
    """Whether `sender` may ban `target`; raises M_FORBIDDEN."""
    _check_above(room, sender, target, "ban")


def check_unban(room: Room, sender: str, target: str) -> None:
    """Whether `sender` may lift the ban of `target`; raises M_FORBIDDEN."""
    _check_action(room, sender, "ban")
    _check_above(room, sender, target, "kick")
    if room.memberships.get(target) != "ban":
        raise forbidden(f"{target} is not banned")


def _check_above(room: Room, sender: str, target: str, action: str) -> None:
    _check_action(room, sender, action)
    if room.power.of(target) >= room.power.of(sender):
        raise forbidden(f"{target} has at least your own power level")


def _check_action(room: Room, sender: str, action: str) -> None:
    if sender not in room.joined:
        raise not_joined(sender, room.room_id)
    needed, own = room.power.level(action), room.power.of(sender)
    if own < needed:
        raise forbidden(f"to {action} needs power level {needed}; yours is {own}")
