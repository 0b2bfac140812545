"""What a person did and the platform kept out of the log: promised, and turned into evidence once it is late."""

from __future__ import annotations

from typing import Any

import pytest

from paraph.audit import evidence
from paraph.audit.verdict import Outcome
from paraph.protocol.limits import MERGE_DELAY_MS
from paraph.protocol.signing import SigningKey
from paraph.sdk import LogError, Person
from paraph.sdk.log.promises import KEPT, Kept
from paraph.tlog import note, policy
from tests.sdk.lies import business
from tests.sdk.person.test_consent import granted
from tests.sdk.platform import Platform
from tests.support.published_log import KEY, POLICY

TRUSTED = policy.parse(POLICY.encode()).for_log(note.Verifier.from_vkey(KEY.verifier.vkey))


@pytest.fixture
def platform() -> Platform:
    """An honest platform with one partner in business."""
    return business()


async def revoked_off_the_record(platform: Platform) -> Person:
    """A revocation that the platform answers and keeps out of its log."""
    person = await granted(platform)
    commit = platform.commit

    def unlogged(*arguments: Any, **more: Any) -> dict[str, Any]:
        return commit(*arguments, **{**more, "logged": False})

    platform.commit = unlogged  # type: ignore[method-assign]
    with pytest.raises(LogError):
        await person.revoke(platform.grants[0]["grant"]["grant_id"])
    return person


async def look(platform: Platform, person: Person, later: int) -> None:
    """Another look at the grants, milliseconds later."""
    platform.now += later
    platform.log.publish(time=platform.now)
    person._consent.forget_view()
    await person._consent.fresh_view()


async def test_revocation_that_is_not_recorded_in_time_convicts_the_platform(platform: Platform) -> None:
    """The device keeps the receipt, and past the deadline has a file that anyone can check with the policy alone."""
    person = await revoked_off_the_record(platform)
    await look(platform, person, MERGE_DELAY_MS - 1000)
    assert person.evidence() == []
    await look(platform, person, 2000)
    (made,) = person.evidence()
    verdict = evidence.check(made, TRUSTED, platform.now // 1000)
    assert verdict.outcome is Outcome.PROVEN
    assert verdict.kind == "missed-deadline"


async def test_revocation_that_comes_late_but_in_time_convicts_nobody(platform: Platform) -> None:
    """A promise that was kept is forgotten."""
    person = await revoked_off_the_record(platform)
    ((_, kept),) = person._records.items(KEPT, Kept)
    platform.log.publish(kept.leaf, time=platform.now)
    await look(platform, person, 2 * MERGE_DELAY_MS)
    assert person.evidence() == []
    assert person._records.items(KEPT, Kept) == []


async def test_receipt_by_another_key_is_none(platform: Platform, caplog: pytest.LogCaptureFixture) -> None:
    """A receipt that the platform's key did not sign would convict nobody, and is not kept."""
    platform.receipt_key = SigningKey.generate()
    person = await revoked_off_the_record(platform)
    assert person._records.items(KEPT, Kept) == []
    assert "nor a good receipt" in caplog.text
