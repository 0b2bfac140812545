"""Lazily loaded members: whose membership event a device needs, and which of them it has already.

An answer counts as received once its token comes back. What a device was told is remembered under a number that it has
in this process until it begins anew; whatever is forgotten is at worst told again.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from paraph.server.accounts.recent import Recent
from paraph.server.messenger.model import MEMBER, Event

MAX_TOLD = 200_000
"""Membership events remembered as told, of all devices together."""


class Told:
    """What all devices of this process were told. A device's number is in its `DeviceView.lazy`."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._told: Recent[tuple[int, str, str], tuple[int, int]] = Recent(MAX_TOLD)

    def begin(self) -> int:
        """A number for a device that has been told nothing."""
        return next(self._numbers)

    def knows(self, device: int, event: Event, since: int) -> bool:
        """Whether a device has a membership event from an answer up to the token `since`."""
        told = self._told.get((device, event.room_id, event.state_key or ""))
        return told is not None and told[0] == event.position and told[1] <= since

    def tell(self, device: int, found: Iterable[Event], upto: int) -> None:
        """An answer with the token `upto` holds these events. An older answer that held the same counts on."""
        for event in found:
            if event.type == MEMBER:
                key = (device, event.room_id, event.state_key or "")
                told = self._told.get(key)
                if told is None or told[0] != event.position:
                    self._told.put(key, (event.position, upto))


class Lazy:
    """The lazily loaded members of one answer. `since` is None where the device cannot rely on what it was told."""

    __slots__ = ("_device", "_redundant", "_since", "_told", "_upto")

    def __init__(self, told: Told, device: int, since: int | None, upto: int, redundant: bool) -> None:
        self._told = told
        self._device = device
        self._since = since
        self._upto = upto
        self._redundant = redundant

    def needs(self, event: Event) -> bool:
        """Whether a membership event that the timeline calls for has to be in the answer."""
        return self._redundant or self._since is None or not self._told.knows(self._device, event, self._since)

    def tell(self, found: Iterable[Event]) -> None:
        """The answer holds these events."""
        self._told.tell(self._device, found, self._upto)


def senders(shown: Iterable[Event]) -> list[str]:
    """Who wrote these events, each once."""
    return list(dict.fromkeys(event.sender for event in shown))
