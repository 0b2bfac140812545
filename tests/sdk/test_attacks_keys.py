"""Devices and members that the platform makes up: each gets the keys of a careless device, and none of ours."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from paraph.sdk.engine import machine
from paraph.sdk.engine.model import Device, User
from tests.sdk.directory import AUTHOR, BOTH, CORRESPONDENT, PARTNER, Directory, Phone, reads, room

Hole = Callable[[pytest.MonkeyPatch], None]


def _listed_devices_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives keys to every device that the server lists."""

    def recipients(self: User) -> tuple[Device, ...]:
        return tuple(device for device in self.devices if not device.gone)

    monkeypatch.setattr(User, "recipients", recipients)


def _all_members_are_people(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives keys to whoever is a member."""
    monkeypatch.setattr(machine, "is_partner", lambda _user_id: False)
    _listed_devices_will_do(monkeypatch)


def _ghost_reads(user: str, *, identity: bool) -> bool:
    """Whether a device that the server lists under this name opens the author's next message."""
    directory = Directory()
    author, correspondent = Phone(directory, AUTHOR, "AUTHOR1"), Phone(directory, CORRESPONDENT, "CORR1")
    correspondent.know(AUTHOR)
    author.know(AUTHOR, CORRESPONDENT)
    ghost = Phone(directory, user, "GHOST", identity=identity)
    ghost.know(AUTHOR)
    author.know(AUTHOR, CORRESPONDENT)
    sent = author.send("secret", BOTH)
    ghost.sync()
    correspondent.sync()
    return reads(ghost, sent)


@pytest.mark.parametrize("user", [AUTHOR, CORRESPONDENT])
def test_ghost_device_that_no_identity_vouches_for(user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that the platform adds to the author herself, or to her correspondent, opens nothing."""
    with monkeypatch.context() as careless:
        _listed_devices_will_do(careless)
        assert _ghost_reads(user, identity=False)
    assert not _ghost_reads(user, identity=False)


@pytest.mark.parametrize("user", [AUTHOR, CORRESPONDENT])
def test_ghost_device_of_a_replaced_identity(user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does one that is properly signed, by an identity that the platform made up."""
    with monkeypatch.context() as careless:
        _listed_devices_will_do(careless)
        assert _ghost_reads(user, identity=True)
    assert not _ghost_reads(user, identity=True)


def test_partner_as_a_member(monkeypatch: pytest.MonkeyPatch) -> None:
    """A membership that the platform writes for a partner's address gives it nothing: partners come by grants alone."""

    def succeeds() -> bool:
        directory = Directory()
        author = Phone(directory, AUTHOR, "AUTHOR1")
        partner = Phone(directory, PARTNER, "PARTNER1", identity=False)
        partner.know(AUTHOR)
        author.know(PARTNER)
        sent = author.send("secret", room(AUTHOR, PARTNER))
        partner.sync()
        return reads(partner, sent)

    with monkeypatch.context() as careless:
        _all_members_are_people(careless)
        assert succeeds()
    assert not succeeds()
