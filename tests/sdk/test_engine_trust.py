"""Which devices and identities are trusted with keys."""

from __future__ import annotations

import pytest

from paraph.protocol.signing import SigningKey, sign
from paraph.sdk.engine.machine import CLAIM_AGAIN_MS
from tests.sdk.directory import (
    AUTHOR,
    BOTH,
    CORRESPONDENT,
    STRANGER,
    Directory,
    Phone,
    reads,
    room,
)


def test_unsigned_device_gets_no_key(directory: Directory, author: Phone, correspondent: Phone) -> None:
    """A device the server adds to a person with an identity is not given keys."""
    planted = Phone(directory, CORRESPONDENT, "PLANTED", identity=False)
    author.know(CORRESPONDENT)
    sent = author.send("secret", BOTH)
    planted.sync()
    correspondent.sync()
    assert not reads(planted, sent)
    assert reads(correspondent, sent)


def test_changed_master_key_blocks_until_accepted(directory: Directory, author: Phone, correspondent: Phone) -> None:
    """Another identity under the same name gets nothing until the author accepts it."""
    planted = Phone(directory, CORRESPONDENT, "PLANTED")
    author.know(CORRESPONDENT)
    user = author.engine.users.get(CORRESPONDENT)
    assert user is not None
    assert user.blocked
    sent = author.send("secret", BOTH)
    planted.sync()
    correspondent.sync()
    assert not reads(planted, sent)
    assert not reads(correspondent, sent)
    with author.records.step():
        author.engine.users.accept_identity(CORRESPONDENT)
    author.drain()
    sent = author.send("accepted", BOTH)
    planted.sync()
    assert reads(planted, sent)


def test_vanished_identity_blocks(directory: Directory, author: Phone, correspondent: Phone) -> None:
    """A server that stops showing an identity does not bring back the looser rule."""
    del directory.cross_signing[CORRESPONDENT]
    planted = Phone(directory, CORRESPONDENT, "PLANTED", identity=False)
    author.know(CORRESPONDENT)
    sent = author.send("secret", BOTH)
    planted.sync()
    assert not reads(planted, sent)


def test_own_identity_cannot_be_replaced(directory: Directory, author: Phone, correspondent: Phone) -> None:
    """The server cannot wave a device of its own through as another device of the author."""
    planted = Phone(directory, AUTHOR, "PLANTED")
    author.know(AUTHOR)
    sent = author.send("secret", BOTH)
    planted.sync()
    assert not reads(planted, sent)


def test_first_devices_are_pinned_and_later_ones_wait(directory: Directory, author: Phone) -> None:
    """For a user without identity the first devices get keys; a later one does once it is accepted."""
    first = Phone(directory, STRANGER, "FIRST", identity=False)
    author.know(STRANGER)
    later = Phone(directory, STRANGER, "LATER", identity=False)
    author.know(STRANGER)
    members = room(AUTHOR, STRANGER)
    sent = author.send("x", members)
    for phone in (first, later):
        phone.sync()
    assert reads(first, sent)
    assert not reads(later, sent)
    with author.records.step():
        author.engine.users.accept_device(STRANGER, "LATER")
    sent = author.send("y", members)
    later.sync()
    assert reads(later, sent)


def test_invented_identity_does_not_open_the_door(directory: Directory, author: Phone) -> None:
    """An identity that appears for a known user without one counts only if a pinned device signed it."""
    Phone(directory, STRANGER, "FIRST", identity=False)
    author.know(STRANGER)
    planted = Phone(directory, STRANGER, "PLANTED")
    author.know(STRANGER)
    sent = author.send("x", room(AUTHOR, STRANGER))
    planted.sync()
    assert not reads(planted, sent)


def test_identity_made_later_by_a_pinned_device_is_followed(directory: Directory, author: Phone) -> None:
    """A user who makes an identity after we met is followed, since her pinned device signs it."""
    phone = Phone(directory, STRANGER, "FIRST")
    shown = directory.cross_signing.pop(STRANGER)
    author.know(STRANGER)
    directory.cross_signing[STRANGER] = shown
    author.know(STRANGER)
    user = author.engine.users.get(STRANGER)
    assert user is not None
    assert phone.engine.identity is not None
    assert user.master == phone.engine.identity.master.public_key
    assert [d.device_id for d in user.recipients()] == ["FIRST"]


def test_device_with_changed_keys_is_refused(directory: Directory, author: Phone) -> None:
    """The same device id with other keys gets nothing, and getting rid of it in between does not help."""
    first = Phone(directory, STRANGER, "SAME", identity=False)
    author.know(STRANGER)
    kept = directory.device_keys[STRANGER].pop("SAME")
    author.know(STRANGER)
    second = Phone(directory, STRANGER, "SAME", identity=False)
    author.know(STRANGER)
    members = room(AUTHOR, STRANGER)
    sent = author.send("x", members)
    second.sync()
    assert not reads(second, sent)
    directory.device_keys[STRANGER]["SAME"] = kept
    author.know(STRANGER)
    author.now += CLAIM_AGAIN_MS
    directory.one_time[STRANGER, "SAME"] = {}
    directory.fallback[STRANGER, "SAME"] = {}
    with first.records.step():
        first.engine.account.olm.generate_one_time_keys(1)
        first.engine.account.save()
    first.drain()
    sent = author.send("y", members)
    first.sync()
    assert reads(first, sent)


def test_keys_not_signed_by_their_device_are_not_listed(directory: Directory, author: Phone) -> None:
    """A device list entry with a broken self-signature, or under another name, is as good as absent."""
    Phone(directory, STRANGER, "D", identity=False)
    entry = directory.device_keys[STRANGER]["D"]
    forged = SigningKey.generate()
    directory.device_keys[STRANGER] = {
        "D": {**entry, "algorithms": [*entry["algorithms"], "m.more"]},
        "E": entry,
        "F": sign({**entry, "device_id": "F"}, STRANGER, "ed25519:F", forged.sign),
    }
    author.know(STRANGER)
    user = author.engine.users.get(STRANGER)
    assert user is not None
    assert user.devices == ()


def test_one_time_key_needs_the_devices_signature(directory: Directory, author: Phone, correspondent: Phone) -> None:
    """A one-time key that the server made itself begins no session."""
    for keys in (directory.one_time, directory.fallback):
        for signed in keys[CORRESPONDENT, "CORR1"].values():
            signed["key"] = author.engine.account.curve25519
    sent = author.send("x", BOTH)
    correspondent.sync()
    assert not reads(correspondent, sent)
    assert author.engine.missing_sessions(BOTH, None, author.now) is None
    assert author.engine.missing_sessions(BOTH, None, author.now + CLAIM_AGAIN_MS) is not None


@pytest.mark.parametrize("one_time_keys", [True, False])
def test_a_copied_identity_key_takes_nothing_from_its_owner(
    directory: Directory, author: Phone, correspondent: Phone, one_time_keys: bool
) -> None:
    """A member who lists another's Curve25519 key as her own, with other one-time keys or none, starves nobody."""
    for name in ("S1", "S2", "S3", "S4", "S5", "S6"):
        stranger = Phone(directory, STRANGER, name, identity=False)
        listed = stranger.engine.account.device_keys()
        copied = listed["keys"] | {f"curve25519:{name}": correspondent.engine.account.curve25519}
        directory.device_keys[STRANGER][name] = stranger.engine.account.signed(
            {**listed, "keys": copied, "signatures": {}}
        )
        if not one_time_keys:
            directory.one_time.pop((STRANGER, name))
            directory.fallback.pop((STRANGER, name))
    author.know(STRANGER)
    author.share(room(AUTHOR, STRANGER))
    sent = author.send("for whoever holds the key", room(AUTHOR, CORRESPONDENT, STRANGER))
    correspondent.sync()
    assert correspondent.body(sent) == "for whoever holds the key"
