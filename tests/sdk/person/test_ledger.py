"""A person's own ledger on her device: each week held against the map once it is over, each entry fetched once."""

from __future__ import annotations

from typing import Any

import pytest

from paraph.protocol.entry import week_of
from paraph.protocol.limits import DAY_MS
from paraph.sdk import Person
from paraph.sdk.person.ledger import TABLE, Kept
from tests.sdk.lies import business, reaches_later
from tests.sdk.person.test_consent import granted
from tests.sdk.platform import SLUG, Platform

WEEK_MS = 7 * DAY_MS


@pytest.fixture
def platform() -> Platform:
    """An honest platform with one partner in business."""
    return business()


def passes(platform: Platform, milliseconds: int) -> None:
    """Time goes by, and the log has an epoch then."""
    platform.now += milliseconds
    platform.log.publish(time=platform.now)


def asked_weeks(platform: Platform) -> list[int]:
    """The weeks under the person's label that the last question to the map named."""
    return [int(key[:4], 16) for key in platform.log.asked[-1] if not key.startswith("ffff")]


async def key_share(platform: Platform) -> None:
    """An entry of a kind that decides nothing."""
    body = {"grant_id": "g", "device_id": "D", "partner_device_id": "P", "session": None}
    platform.commit("key-share", SLUG, body)


async def test_weeks_that_are_over_are_asked_for_once(platform: Platform) -> None:
    """A week is final once it was proven a day after its end; the current one is asked anew each time."""
    person = await granted(platform)
    first = week_of(platform.now)
    passes(platform, 3 * WEEK_MS)
    assert await reaches_later(person, platform)
    assert asked_weeks(platform)[-4:] == [first, first + 1, first + 2, first + 3]
    passes(platform, 60_000)
    assert await reaches_later(person, platform)
    assert asked_weeks(platform) == [first + 3]


async def test_week_is_asked_for_until_a_day_after_its_end(platform: Platform) -> None:
    """What the log takes in late, when the week is over already, is seen all the same."""
    person = await granted(platform)
    week = week_of(platform.now)
    passes(platform, (week + 1) * WEEK_MS - 3 * DAY_MS - platform.now + 3_600_000)  # Monday, one o'clock
    assert week_of(platform.now) == week + 1
    for _ in range(2):
        assert await reaches_later(person, platform)
        assert asked_weeks(platform)[-2:] == [week, week + 1]


async def test_entries_are_fetched_once(platform: Platform) -> None:
    """Each look at the grants asks for what came after the last entry known, also after a restart of the device."""
    starts: list[int] = []
    page = platform.page

    def noted(start: int) -> dict[str, Any]:
        starts.append(start)
        return page(start)

    platform.page = noted  # type: ignore[method-assign]
    person = await granted(platform)
    await key_share(platform)
    assert await reaches_later(person, platform)
    again = await Person.open(person._records._store, now=lambda: platform.now, transport=platform.transport())
    assert await reaches_later(again, platform)
    assert starts == [0, 3, 4]


async def test_entry_left_out_once_is_fetched_later(platform: Platform) -> None:
    """A platform that left an entry out is not believed, and believed again once it shows it."""
    person = await granted(platform)
    await key_share(platform)
    left_out = platform.entries.pop()
    await key_share(platform)
    assert not await reaches_later(person, platform)
    platform.entries.insert(-1, left_out)
    assert await reaches_later(person, platform)


async def test_final_weeks_keep_what_decides(platform: Platform) -> None:
    """Of a week that is over a device keeps grants, what became of them, and enrolments; nothing else."""
    person = await granted(platform)
    for _ in range(3):
        await key_share(platform)
    passes(platform, 2 * WEEK_MS)
    await key_share(platform)
    assert await reaches_later(person, platform)
    kept = [kept for _, kept in person._records.items(TABLE, Kept, "entry/")]
    assert sorted((one.kind, one.final) for one in kept) == [("device", True), ("grant", True), ("key-share", False)]
    again = await Person.open(person._records._store, now=lambda: platform.now, transport=platform.transport())
    assert await reaches_later(again, platform)
    platform._revoke({})
    assert not await reaches_later(again, platform)


async def test_second_device_learns_all_of_it(platform: Platform) -> None:
    """A device that did not make the grant shares under it as well, from the log alone."""
    person = await granted(platform)
    passes(platform, 2 * WEEK_MS)
    grants, _, _ = await person._consent._parts()
    with person._records.step():
        for table in (TABLE, "ledger-final", "leaf"):
            for name, _ in person._records.items(table, Any):
                person._records.delete(table, name)
    person._consent._loaded = None
    assert await reaches_later(person, platform)
    _, view = await person._consent.fresh_view()
    assert view is not None
    assert len(view.partners) == 1
    assert grants.log_key == platform.log_key
