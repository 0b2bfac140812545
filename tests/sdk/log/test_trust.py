"""What a client pins of a platform."""

from __future__ import annotations

import pytest

from paraph.sdk import LogError, TransportError, Trust, TrustError
from paraph.sdk.keystore import MemoryStore, Records
from paraph.sdk.log.policy import TABLE as FOLLOWED
from paraph.sdk.log.policy import Followed
from paraph.sdk.log.trust import Pinned
from paraph.tlog.cosignature import CosignatureSigner
from tests.sdk.platform import Platform
from tests.support.published_log import KEY, POLICY

OTHER = f"witness o {CosignatureSigner.generate('other.example/o').verifier.vkey}\nquorum o\n"


@pytest.fixture
def platform() -> Platform:
    """A platform whose witnesses are those of POLICY."""
    return Platform()


def pinned(platform: Platform, records: Records, given: Trust | None = None) -> Pinned:
    """A client of the platform."""
    return Pinned(platform.transport(), records, given)


def known(platform: Platform, **changes: str | None) -> Trust:
    """The platform's own keys and policy."""
    keys = {"log_vkey": KEY.verifier.vkey, "operator_key": platform.operator.public_key, "policy": POLICY}
    return Trust(**{**keys, **changes})  # type: ignore[arg-type]


async def test_first_sight_is_pinned_and_stays(platform: Platform) -> None:
    """What the platform shows first holds from then on, its witness policy included."""
    records = Records(MemoryStore())
    assert await pinned(platform, records).trust() == known(platform)
    platform.policy = OTHER
    assert await pinned(platform, records).trust() == known(platform)


async def test_given_policy_is_not_asked_for(platform: Platform) -> None:
    """A policy that the caller gives stands, whatever the platform shows."""
    platform.policy = OTHER
    given = known(platform)
    assert await pinned(platform, Records(MemoryStore()), given).trust() == given


async def test_another_policy_is_taken_only_after_its_quorum(platform: Platform) -> None:
    """A later release that brings another policy is refused, unless the pinned one's quorum has replaced it by that."""
    records = Records(MemoryStore())
    await pinned(platform, records).trust()
    later = known(platform, policy=OTHER)
    with pytest.raises(TrustError):
        await pinned(platform, records, later).trust()
    with records.step():
        records.put(FOLLOWED, "self", Followed(OTHER, OTHER))
    with pytest.raises(TrustError):
        await pinned(platform, records, later).trust()
    with records.step():
        records.put(FOLLOWED, "self", Followed(POLICY, OTHER))
    assert (await pinned(platform, records, later).trust()).policy == POLICY


@pytest.mark.parametrize(
    "policy", ["nonsense", OTHER.replace("quorum o", "quorum none"), ""], ids=["no policy", "quorum none", "empty"]
)
async def test_policy_that_is_none_is_not_pinned(platform: Platform, policy: str) -> None:
    """A text that cannot be judged by is refused before it is kept."""
    records = Records(MemoryStore())
    platform.policy = policy
    with pytest.raises(LogError):
        await pinned(platform, records).trust()
    platform.policy = POLICY
    assert (await pinned(platform, records).trust()).policy == POLICY


async def test_platform_that_shows_no_keys(platform: Platform) -> None:
    """An answer in another shape pins nothing."""
    platform._platform = lambda: {"log": {"vkey": 1}}  # type: ignore[method-assign]
    with pytest.raises(TransportError):
        await pinned(platform, Records(MemoryStore())).trust()
