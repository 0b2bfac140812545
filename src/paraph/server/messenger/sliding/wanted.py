"""Which state of a room is wanted, and how much of its timeline: the sum of every list and subscription it is in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from paraph.server.messenger.model import MEMBER
from paraph.server.messenger.sliding.model import MAX_TIMELINE, Config, Element, Required

_LAZY, _ME, _ANY = "$LAZY", "$ME", "*"

Key = tuple[str | None, str | None]
"""Type and state key; None stands for any."""


@dataclass(frozen=True, slots=True)
class StateWanted:
    """One list's or subscription's wish."""

    include: frozenset[Key]
    exclude: frozenset[Key]
    lazy: bool

    @classmethod
    def of(cls, config: Config, user_id: str) -> StateWanted:
        """In either form."""
        asked = config.required_state
        if isinstance(asked, Required):
            return cls(_keys(asked.include), _keys(asked.exclude), asked.lazy_members)
        lazy = any(pair == (MEMBER, _LAZY) for pair in asked)
        pairs = [(kind, user_id if key == _ME else key) for kind, key in asked if key != _LAZY]
        return cls(frozenset((_any(kind), _any(key)) for kind, key in pairs), frozenset(), lazy)

    def wants(self, kind: str, key: str) -> bool:
        """Whether a piece of state is wanted for itself: a member, where they come as they speak, only by name."""
        if kind == MEMBER and self.lazy:
            return (kind, key) in self.include and not _in(self.exclude, kind, key)
        return _in(self.include, kind, key) and not _in(self.exclude, kind, key)

    @property
    def whole(self) -> bool:
        """Whether it takes a look at all of the state to find what is wanted."""
        return any(None in key for key in self.include)


def _keys(elements: Iterable[Element]) -> frozenset[Key]:
    return frozenset((element.type, element.state_key) for element in elements)


def _any(name: str) -> str | None:
    return None if name == _ANY else name


def _in(keys: frozenset[Key], kind: str, key: str) -> bool:
    return bool(keys) and not keys.isdisjoint(((kind, key), (kind, None), (None, key), (None, None)))


@dataclass(frozen=True, slots=True)
class RoomWanted:
    """What is wanted of one room."""

    timeline: int
    state: frozenset[StateWanted]
    lists: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: Config, user_id: str, name: str | None = None) -> RoomWanted:
        """Of one list (by its name) or subscription."""
        limit = min(config.timeline_limit, MAX_TIMELINE)
        return cls(limit, frozenset([StateWanted.of(config, user_id)]), () if name is None else (name,))

    def __or__(self, other: RoomWanted) -> RoomWanted:
        """Both together."""
        return RoomWanted(max(self.timeline, other.timeline), self.state | other.state, self.lists + other.lists)

    def wants(self, kind: str, key: str) -> bool:
        """Whether a piece of state is wanted."""
        return any(part.wants(kind, key) for part in self.state)

    @property
    def lazy(self) -> bool:
        """Whether members are loaded as they speak."""
        return any(part.lazy for part in self.state)

    @property
    def whole(self) -> bool:
        """Whether all of the state has to be looked at."""
        return any(part.whole for part in self.state)

    @property
    def members(self) -> bool:
        """Whether all members have to be looked at as well."""
        return any(part.whole and not part.lazy for part in self.state)

    @property
    def keys(self) -> set[tuple[str, str]]:
        """The pieces of state that are named."""
        return {
            (kind, key) for part in self.state for kind, key in part.include if kind is not None and key is not None
        }
