"""What a platform may do after an honest grant, so that a partner gets what it should not (tests/sdk/platform.py)."""

from __future__ import annotations

import copy

import pytest

from paraph.protocol.documents import parse
from paraph.protocol.entry import private_leaf
from paraph.protocol.grant import Grant
from paraph.protocol.signing import SigningKey, sign
from paraph.sdk import (
    LogError,
    Person,
)
from paraph.tlog import checkpoint as checkpoints
from tests.sdk.person.test_consent import (
    _ended_agreement,
    _ended_device,
    reaches_partner,
    terms,
)
from tests.sdk.platform import DAY, ROOM, SLUG, Platform
from tests.support.published_log import KEY

TEN_MINUTES = 600_000


async def reaches_later(person: Person, platform: Platform) -> bool:
    """Whether the key of the next message goes to the partner, after another look at the grants."""
    person._consent.forget_view()
    return await reaches_partner(person, platform)


def business() -> Platform:
    """An honest platform with one partner in business."""
    platform = Platform()
    platform.open_for_business()
    return platform


async def hides_a_revocation(platform: Platform, _person: Person) -> None:
    """Her other device revoked; the log has it, the platform's lists do not."""
    platform._revoke({})
    platform.grants[-1]["revocation"] = None
    platform.entries.pop()


async def hides_a_revocation_while_she_is_offline(platform: Platform, person: Person) -> None:
    """The same, in a later week than the grant's, while this device was switched off."""
    platform.now += 9 * DAY
    await hides_a_revocation(platform, person)
    platform.now += 2 * DAY
    platform.log.publish(time=platform.now)


async def hides_a_narrowing(platform: Platform, person: Person) -> None:
    amendment = {
        "type": "org.paraph.amendment",
        "grant_id": platform.grants[0]["grant"]["grant_id"],
        "person": person.user_id,
        "device_id": person.device_id,
        "previous": parse(Grant, platform.grants[0]["grant"]).hash,
        "change": {"op": "drop_rooms", "rooms": [ROOM]},
        "created": platform.now,
    }
    platform._amend({"amendment": person.engine.account.signed(amendment)})
    platform.grants[0]["amendments"].clear()
    platform.entries.pop()


async def takes_a_narrowing_out_of_its_list_of_grants(platform: Platform, person: Person) -> None:
    """The entry is shown; the list of grants, which is only the platform's word, lacks it."""
    await person.drop_rooms(platform.grants[0]["grant"]["grant_id"], [ROOM])
    platform.grants[0]["amendments"].clear()


async def ends_a_pause_by_itself(platform: Platform, person: Person) -> None:
    """She signed the end of the pause and the platform never recorded it: she may have thought better of it."""
    grant_id = platform.grants[0]["grant"]["grant_id"]
    pause_id = await person.pause(grant_id)
    commit = platform.commit
    platform.commit = lambda *a, **k: commit(*a, **{**k, "logged": False})  # type: ignore[method-assign]
    with pytest.raises(LogError):
        await person.resume(grant_id, pause_id)


async def hides_the_end_of_the_agreement(platform: Platform, _person: Person) -> None:
    _ended_agreement(platform)
    platform.listed["endings"].clear()


async def shows_the_end_of_the_agreement_among_others(platform: Platform, _person: Person) -> None:
    """Every leaf is shown, the ending in a list where nobody looks for endings."""
    _ended_agreement(platform)
    platform.listed["records"].append(platform.listed["endings"].pop())


async def hides_the_end_of_a_device(platform: Platform, _person: Person) -> None:
    _ended_device(platform)
    platform.listed["device_endings"].clear()


async def shows_a_branch_that_nobody_cosigned(platform: Platform, _person: Person) -> None:
    """Others see her revocation; she is shown another branch, which the log's key alone signed."""
    platform.log.publish(time=platform.now)
    head = checkpoints.Checkpoint(KEY.name, platform.log.edge.size, platform.log.edge.root())
    platform.log.publish_checkpoint(head)


async def shows_a_branch_that_liars_cosigned(platform: Platform, person: Person) -> None:
    """The witnesses cosigned two branches; the device has seen the first one."""
    before = copy.deepcopy(platform.log)
    platform.log.publish(leaf(1), time=platform.now)
    assert await reaches_later(person, platform)
    platform.log = before
    platform.log.publish(leaf(2), leaf(3), time=platform.now)


async def comes_back_from_a_backup(platform: Platform, person: Person) -> None:
    """The log is put back to before what the device saw, and the old tree is cosigned afresh."""
    before = copy.deepcopy(platform.log)
    platform.log.publish(leaf(1), time=platform.now)
    assert await reaches_later(person, platform)
    platform.log = before
    platform.log.cosign(platform.now)


# From here on, what she did on her other devices meanwhile is on a tree that this device is not shown.


async def freezes_the_log(platform: Platform, _person: Person) -> None:
    """The checkpoint stays what it was before she revoked elsewhere."""
    platform.now += TEN_MINUTES + 1000


async def has_a_frozen_log_cosigned_again(platform: Platform, _person: Person) -> None:
    """The tree stays what it was, and witnesses that see nothing wrong with it cosign it every minute."""
    platform.now += TEN_MINUTES + 1000
    platform.log.cosign(platform.now)


async def makes_an_epoch_for_next_week(platform: Platform, _person: Person) -> None:
    """An epoch that says it is of next week makes the frozen log look fresh until then."""
    platform.log.publish(time=platform.now + 7 * DAY, cosigned=platform.now)
    platform.now += TEN_MINUTES + 1000
    platform.log.cosign(platform.now)


async def shows_cosignatures_from_the_future(platform: Platform, _person: Person) -> None:
    """A witness signed for the hours to come; behind them the log stands still."""
    ahead = platform.now + 3_600_000
    platform.log.publish(time=ahead, cosigned=ahead)
    platform.now += 2 * TEN_MINUTES


async def signs_a_grant_with_a_device_of_its_own(platform: Platform, person: Person) -> None:
    """Her password let it add a device; her identity does not vouch for that one."""
    await forge(platform, person, vouched=False)


async def has_a_device_grant_that_never_enrolled(platform: Platform, person: Person) -> None:
    """A device that her identity vouches for, and that she never enrolled, grants in her name."""
    await forge(platform, person, vouched=True)


async def lists_a_grant_that_the_log_does_not_have(platform: Platform, person: Person) -> None:
    """She signed it; it was not recorded, so she cannot know of it on her other devices."""
    platform.grants.clear()
    platform.record_grants = False
    with pytest.raises(LogError):
        await person.grant(SLUG, terms(platform))


async def forge(platform: Platform, person: Person, *, vouched: bool) -> None:
    """List and log a grant by another device, with or without the signature of the person's identity."""
    device, identity, name = SigningKey.generate(), person.engine.identity, "ed25519:GHOST"
    assert identity is not None
    keys = {
        "user_id": platform.user,
        "device_id": "GHOST",
        "algorithms": [],
        "keys": {name: device.public_key, "curve25519:GHOST": device.public_key},
    }
    signer = identity.self_signing
    listed = sign(sign(keys, platform.user, name, device.sign), platform.user, signer.key_id, signer.sign)
    chain = {**platform.chain(), "device_keys": listed if vouched else sign(keys, platform.user, name, device.sign)}
    grant = {**platform.grants[0]["grant"], "device_id": "GHOST", "grant_id": "gr_AAAAAAAAAAAAAAAAAAAAAA"}
    signed = sign({k: v for k, v in grant.items() if k != "signatures"}, platform.user, name, device.sign)
    platform.grants[0] = {**platform.grants[0], "grant": signed, "chain": chain}
    platform.commit("grant", SLUG, {"grant": signed, "chain": chain})


def leaf(number: int) -> bytes:
    """Any private leaf."""
    return private_leaf(1, number.to_bytes(32, "big"), bytes(32))
