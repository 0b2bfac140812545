"""A person's next device gets her secrets from the device it was verified with, and nobody else does."""

from __future__ import annotations

import os

import pytest

from paraph.protocol.base64 import b64
from paraph.sdk.engine.cross_signing import IdentitySeeds
from paraph.sdk.engine.secrets import LOG_KEY, MAX_ASKED, REQUEST, SEEDS, WANTED, Wanted
from paraph.sdk.engine.verification import Phase
from tests.sdk.comparing import act, compared, queued, settle, shown
from tests.sdk.directory import AUTHOR, CORRESPONDENT, START, Directory, Phone


@pytest.fixture
def log_key(author: Phone) -> bytes:
    """The author's account log key, on her first device."""
    key = os.urandom(32)
    with author.records.step():
        author.records.put(LOG_KEY, "self", key)
    return key


@pytest.fixture
def second(directory: Directory, author: Phone) -> Phone:
    """A device of the author's that nobody has signed."""
    phone = Phone(directory, AUTHOR, "AUTHOR2", identity=False)
    phone.know(AUTHOR)
    return phone


def seeds(phone: Phone) -> IdentitySeeds | None:
    return None if phone.engine.identity is None else phone.engine.identity.seeds


def owner_signed(viewer: Phone, device_id: str) -> bool:
    viewer.know(AUTHOR)
    user = viewer.engine.users.get(AUTHOR)
    device = None if user is None else user.device(device_id)
    return device is not None and device.owner_signed


@pytest.mark.parametrize("new_asks", [True, False])
def test_a_verified_device_gets_the_secrets(
    author: Phone, second: Phone, correspondent: Phone, log_key: bytes, new_asks: bool
) -> None:
    """Whoever asked, the new device ends with identity and log key, signed by its owner."""
    assert not owner_signed(correspondent, "AUTHOR2")
    one, other = (second, author) if new_asks else (author, second)
    mine, theirs = compared(one, other)
    settle(author, second)
    assert (mine.phase, theirs.phase) == (Phase.DONE, Phase.DONE)
    assert seeds(second) == seeds(author)
    assert second.records.get(LOG_KEY, "self", bytes) == log_key
    assert owner_signed(correspondent, "AUTHOR2")


def test_the_new_device_survives_a_restart(author: Phone, second: Phone, log_key: bytes) -> None:
    """The secrets are on disk."""
    compared(second, author)
    settle(author, second)
    second.restart()
    assert seeds(second) == seeds(author)
    assert second.records.get(LOG_KEY, "self", bytes) == log_key


def request(phone: Phone, name: str, device_id: str, sender: str = AUTHOR, number: int = 0) -> None:
    content = {"name": name, "action": "request", "requesting_device_id": device_id, "request_id": f"r{number}"}
    phone.directory.push(phone.user, phone.engine.device_id, {"sender": sender, "type": REQUEST, "content": content})
    phone.sync()


def answers(phone: Phone) -> int:
    return len(phone.directory.queues.get((phone.user, phone.engine.device_id), []))


def test_an_unverified_device_gets_nothing(author: Phone, second: Phone, log_key: bytes) -> None:
    """A device that merely logged in may ask, and waits until it is signed; ten minutes later it has waited enough."""
    author.know(AUTHOR)
    for number, name in enumerate([*SEEDS, "org.paraph.log_key"]):
        request(author, name, "AUTHOR2", number=number)
    assert answers(second) == 0
    author.now += 600_001
    second.now = author.now
    settle(author)
    assert author.records.items("secret-asked", dict) == []
    compared(author, second)
    settle(author, second)
    assert second.records.get(LOG_KEY, "self", bytes) == log_key


def test_another_person_gets_nothing(author: Phone, correspondent: Phone, log_key: bytes) -> None:
    """However well she is known."""
    compared(author, correspondent)
    request(author, "m.cross_signing.master", "CORR1", sender=CORRESPONDENT)
    settle(author)
    assert answers(correspondent) == 0
    assert log_key


def test_a_device_under_another_identity_gets_nothing(directory: Directory, author: Phone, second: Phone) -> None:
    """A server that shows an invented identity for the person herself gets none of her secrets."""
    invented = IdentitySeeds(os.urandom(32), os.urandom(32), os.urandom(32))
    planted = Phone(Directory(), AUTHOR, "PLANTED", identity=invented)
    planted_keys = planted.engine.identity
    assert planted_keys is not None
    directory.device_keys[AUTHOR]["PLANTED"] = planted_keys.device_keys()
    directory.cross_signing[AUTHOR] = {
        "master_keys": planted_keys.master_object(),
        "self_signing_keys": planted_keys.self_signing_object(),
        "user_signing_keys": planted_keys.user_signing_object(),
    }
    author.know(AUTHOR)
    request(author, "m.cross_signing.master", "PLANTED")
    assert directory.queues.get((AUTHOR, "PLANTED"), []) == []
    assert second.user == AUTHOR


def test_a_stranger_cannot_ask_in_a_devices_name(author: Phone, second: Phone, log_key: bytes) -> None:
    """A request by somebody else that names a verified device of the person's own is none."""
    compared(author, second)
    settle(author, second)
    request(author, "m.cross_signing.master", "AUTHOR2", sender=CORRESPONDENT)
    assert author.records.items("secret-asked", dict) == []
    assert answers(second) == 0
    assert log_key


def test_only_the_device_that_was_asked_can_answer(directory: Directory, author: Phone, second: Phone) -> None:
    """Another owner-signed device of the same person presses no secrets upon one that asked somebody else."""
    third = Phone(directory, AUTHOR, "AUTHOR3", identity=seeds(author))
    with second.records.step():
        second.engine.secrets.want(author.peer)
    second.know(AUTHOR)
    third.know(AUTHOR)
    (log_request,) = [
        name for name, wanted in second.records.items(WANTED, Wanted) if wanted.name == "org.paraph.log_key"
    ]
    send_secret(third, second, log_request)
    assert second.records.get(LOG_KEY, "self", bytes) is None
    author.know(AUTHOR)
    send_secret(author, second, log_request)
    assert second.records.get(LOG_KEY, "self", bytes) == bytes(32)


def send_secret(sender: Phone, to: Phone, request_id: str) -> None:
    claim = sender.engine.claim([to.peer], sender.now)
    assert claim is not None
    sender.post(claim)
    with sender.records.step():
        sealed = sender.engine.olm.encrypt(
            to.peer, "m.secret.send", {"request_id": request_id, "secret": b64(bytes(32))}
        )
    to.directory.push(AUTHOR, to.engine.device_id, {"sender": AUTHOR, "type": "m.room.encrypted", "content": sealed})
    to.sync()


def test_a_device_that_changes_before_it_is_signed_is_not(directory: Directory, author: Phone, second: Phone) -> None:
    """What is signed is what was compared: keys that the server swaps in between get no signature."""
    mine, theirs = shown(author, second)
    act(author, mine, mine.confirm)
    act(second, theirs, theirs.confirm)
    directory.device_keys[AUTHOR]["AUTHOR2"] = Phone(Directory(), AUTHOR, "AUTHOR2").directory.device_keys[AUTHOR][
        "AUTHOR2"
    ]
    author.sync()
    assert mine.phase == Phase.DONE
    identity = author.engine.identity
    assert identity is not None
    made = directory.device_keys[AUTHOR]["AUTHOR2"]["signatures"][AUTHOR]
    assert identity.self_signing.key_id not in made


def test_a_new_device_vouches_for_itself_alone(author: Phone, second: Phone) -> None:
    """It was shown a master key by the server, and does not pass that on as if it had compared it."""
    mine, theirs = shown(author, second)
    act(second, theirs, theirs.confirm)
    assert list(queued(author, "mac")["mac"]) == ["ed25519:AUTHOR2"]
    assert mine.code is not None


def test_seeds_that_do_not_make_the_identity_are_dropped(author: Phone, second: Phone) -> None:
    """What an own device sends has to fit the master key that was compared; else nothing is held."""
    mine, theirs = shown(second, author)
    identity = author.engine.identity
    assert identity is not None
    with second.records.step():
        second.engine.verifications.act(mine, mine.confirm)
    second.drain()
    with author.records.step():
        author.engine.verifications.act(theirs, theirs.confirm)
    author.drain()
    settle(second)
    for name in SEEDS:
        with second.records.step():
            second.records.put("secret-got", name, b64(os.urandom(32)))
    second.know(AUTHOR)
    assert second.engine.identity is None
    assert second.records.items("secret-got", str) == []


def test_a_secret_that_was_not_asked_for_is_dropped(author: Phone, second: Phone, log_key: bytes) -> None:
    """Nobody can press secrets upon a device, not even another device of the same person."""
    second.know(AUTHOR)
    peer = author.peer
    claim = second.engine.claim([peer], second.now)
    assert claim is not None
    second.post(claim)
    with second.records.step():
        sealed = second.engine.olm.encrypt(peer, "m.secret.send", {"request_id": "r", "secret": b64(bytes(32))})
    author.directory.push(AUTHOR, "AUTHOR1", {"sender": AUTHOR, "type": "m.room.encrypted", "content": sealed})
    received = author.sync()
    assert received.events == ()
    assert author.records.get(LOG_KEY, "self", bytes) == log_key


def test_waiting_requests_are_bounded(author: Phone) -> None:
    """A person's own server cannot fill her device with requests."""
    for number in range(MAX_ASKED + 5):
        request(author, "m.cross_signing.master", "NOBODY", number=number)
    assert len(author.records.items("secret-asked", dict)) == MAX_ASKED
    assert author.now == START
