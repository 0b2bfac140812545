"""A device goes by the policy it pinned until that policy's own quorum replaces it; nobody else can."""

from collections.abc import Callable

import httpx
import pytest

from paraph.sdk.errors import LogError
from paraph.sdk.keystore import MemoryStore, Records
from paraph.sdk.log.policy import follow
from paraph.sdk.log.view import LOOK_MS, LogView
from paraph.sdk.transport import Transport
from paraph.tlog import note, policy_change
from paraph.tlog.cosignature import CosignatureSigner
from tests.support.published_log import KEY, POLICY, WITNESS, PublishedLog

NOW = 5000
SECOND = CosignatureSigner.generate("second.example/w")
THIRD = CosignatureSigner.generate("third.example/w")
OTHER_LOG = note.Signer.generate("other.example/log")


def policy_of(*witnesses: CosignatureSigner) -> str:
    """All of these have to cosign."""
    lines = [f"witness w{n} {one.verifier.vkey}\n" for n, one in enumerate(witnesses)]
    return f"{''.join(lines)}group all-of-them all {' '.join(f'w{n}' for n in range(len(lines)))}\nquorum all-of-them\n"


FIRST = POLICY
NEXT = policy_of(SECOND, THIRD)
LAST = policy_of(THIRD)


def change(old: str, new: str, *endorsers: CosignatureSigner, log: note.Signer = KEY) -> bytes:
    """A change as the platform publishes it."""
    signed = policy_change.make(old.encode(), new.encode(), log)
    for witness in endorsers:
        signed = policy_change.cosign(signed, witness, 5)
    return signed


class Device:
    """A device with its memory, its clock and the log that it reads."""

    def __init__(self, pinned: str = FIRST) -> None:
        self.log = PublishedLog()
        self.records = Records(MemoryStore())
        self.now = NOW
        self.pinned = pinned
        self.transport = Transport(
            "http://platform", client=httpx.AsyncClient(transport=httpx.MockTransport(self.log)), sleep=_no_wait
        )
        self.view = self.restart()

    def restart(self) -> LogView:
        """The device's program begins again; what it remembers is what it kept."""
        vkey = KEY.verifier.vkey
        self.view = LogView(self.transport, self.records, vkey, self.pinned, lambda: self.now)
        return self.view

    def changes(self, *changes: bytes) -> None:
        """What the platform shows below /log/policies/."""
        self.log.files |= {f"policies/{number}": signed for number, signed in enumerate(changes, start=1)}

    async def text(self) -> str:
        """The policy in force for it."""
        return await follow(self.transport, self.records, KEY.verifier, self.pinned, 5)

    async def believes(self, *witnesses: CosignatureSigner) -> bool:
        """Whether it believes a tree that these cosigned."""
        self.log.witnesses = witnesses
        self.log.cosign(self.now)
        try:
            await self.view.refresh()
        except LogError:
            return False
        return True


async def _no_wait(_seconds: float) -> None:
    return None


@pytest.fixture
def device() -> Device:
    """One that believes the log as its pinned policy says."""
    device = Device()
    device.log.publish(time=NOW)
    return device


async def test_the_old_quorum_replaces_the_policy(device: Device) -> None:
    """From then on the new witnesses are needed, also after a restart; the old one alone is believed no more."""
    assert await device.believes(WITNESS)
    assert not await device.believes(SECOND, THIRD)
    device.changes(change(FIRST, NEXT, WITNESS))
    assert await device.believes(SECOND, THIRD)
    for _ in range(2):
        assert not await device.believes(WITNESS)
        assert await device.believes(SECOND, THIRD)
        device.restart()


async def test_several_changes_are_followed_in_order(device: Device) -> None:
    """Also by a device that was away for all of them, and by one that pinned a policy between."""
    device.changes(change(FIRST, NEXT, WITNESS), change(NEXT, LAST, SECOND, THIRD))
    assert await device.text() == LAST
    assert await device.believes(THIRD)
    between = Device(pinned=NEXT)
    between.changes(change(FIRST, NEXT, WITNESS), change(NEXT, LAST, SECOND, THIRD))
    assert await between.text() == LAST
    newest = Device(pinned=LAST)
    newest.changes(change(FIRST, NEXT, WITNESS), change(NEXT, LAST, SECOND, THIRD))
    assert await newest.text() == LAST


async def test_changes_of_other_policies_do_not_hide_the_device_s_own(device: Device) -> None:
    """A device that was shown any number of strange changes still follows its own policy's."""
    strange = [change(policy_of(SECOND), policy_of(THIRD), SECOND)] * 3
    device.changes(*strange)
    assert await device.text() == FIRST
    device.changes(change(FIRST, NEXT, WITNESS), *strange[1:])
    with pytest.raises(LogError):
        await device.text()
    assert await device.believes(SECOND, THIRD)


async def test_what_was_followed_is_not_fetched_again(device: Device) -> None:
    """A device asks for the change after the last one it knows."""
    device.changes(change(FIRST, NEXT, WITNESS))
    await device.text()
    device.log.requests.clear()
    await device.text()
    assert device.log.requests == ["/log/policies/2"]


async def test_a_tighter_policy_is_taken_up_though_the_old_one_is_satisfied(device: Device) -> None:
    """A witness that must not count any more does not go on counting: devices look every day, and at each start."""
    assert await device.believes(WITNESS)
    device.changes(change(FIRST, NEXT, WITNESS))
    assert await device.believes(WITNESS)
    device.now += LOOK_MS
    device.log.publish(time=device.now)
    assert not await device.believes(WITNESS)
    assert await device.believes(SECOND, THIRD)


ATTACKS: dict[str, Callable[[], tuple[bytes, ...]]] = {
    "a minority of the old witnesses": lambda: (change(FIRST, NEXT),),
    "the new quorum alone": lambda: (change(FIRST, NEXT, SECOND, THIRD),),
    "another log": lambda: (change(FIRST, NEXT, WITNESS, log=OTHER_LOG),),
    "the log did not sign": lambda: (_without_the_log(change(FIRST, NEXT, WITNESS)),),
    "no change": lambda: (b"<html>",),
    "a second step without the first's quorum": lambda: (
        change(FIRST, NEXT, SECOND, THIRD),
        change(NEXT, LAST, SECOND, THIRD),
    ),
}


def _without_the_log(signed: bytes) -> bytes:
    text, signatures = note.parse(signed)
    return note.encode(text, signatures[1:])


@pytest.mark.parametrize("name", ATTACKS)
async def test_an_attacker_changes_nothing(device: Device, name: str) -> None:
    """The device stays with its policy: the attacker's witnesses count for nothing, and the old ones still do."""
    device.changes(*ATTACKS[name]())
    with pytest.raises(LogError, match="does not count"):
        await device.text()
    assert not await device.believes(SECOND, THIRD)
    assert not await device.believes(THIRD)
    assert await device.believes(WITNESS)


async def test_an_older_change_is_not_followed_again(device: Device) -> None:
    """A policy that was replaced does not come back, shown under the next number or in place of a known one."""
    first, back = change(FIRST, NEXT, WITNESS), change(NEXT, FIRST, SECOND, THIRD)
    device.changes(first)
    assert await device.text() == NEXT
    for replayed in (first, back):
        device.changes(first, replayed)
        with pytest.raises(LogError, match="does not count"):
            await device.text()
        assert not await device.believes(WITNESS)
        assert await device.believes(SECOND, THIRD)


async def test_a_good_change_before_a_bad_one_counts(device: Device) -> None:
    """What its own quorum wanted is taken up, and nothing from the first wrong change on."""
    device.changes(change(FIRST, NEXT, WITNESS), change(NEXT, LAST, SECOND))
    with pytest.raises(LogError, match="endorsed by"):
        await device.text()
    assert await device.believes(SECOND, THIRD)
    assert not await device.believes(THIRD)
    device.changes(change(FIRST, NEXT, WITNESS), change(NEXT, LAST, SECOND, THIRD))
    assert await device.believes(THIRD)


async def test_another_pinned_policy_begins_anew(device: Device) -> None:
    """What was followed from one policy says nothing to who pins another."""
    device.changes(change(FIRST, NEXT, WITNESS))
    assert await device.text() == NEXT
    device.pinned = policy_of(WITNESS, THIRD)
    assert await device.text() == device.pinned


async def test_a_platform_that_answers_nothing_changes_nothing(device: Device) -> None:
    """Where the changes cannot be had, the device goes by what it knows."""
    honest = device.log.__call__

    def failing(request: httpx.Request) -> httpx.Response:
        return httpx.Response(403, json={"errcode": "X"}) if "policies" in request.url.path else honest(request)

    device.transport = Transport(
        "http://platform", client=httpx.AsyncClient(transport=httpx.MockTransport(failing)), sleep=_no_wait
    )
    device.restart()
    assert await device.believes(WITNESS)
    assert not await device.believes(SECOND, THIRD)
    with pytest.raises(LogError, match="does not tell"):
        await device.text()
