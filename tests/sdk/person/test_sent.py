"""From which index on a session may be shared, by the device's own record of when it wrote what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraph.sdk.engine.sent import SendRecord, Sent
from paraph.sdk.keystore import MemoryStore, Records

DATE = 1000


@pytest.mark.parametrize(
    ("created", "first", "times", "index"),
    [
        (900, 0, (900, 999, 1000, 1001), 2),
        (1000, 0, (1000, 1001), 0),
        (900, 0, (900, 999), None),
        (900, 5, (1000, 1001), 5),
        (900, 5, (999, 1001), 6),
        (1000, 5, (1001,), 0),
        (900, 0, (1001, 999, 1002), 2),
        (1000, 0, (1001, 999, 1002), 2),
        (1000, 0, (), None),
    ],
)
def test_everything_from_the_index_on_was_written_at_the_date_or_later(
    created: int, first: int, times: tuple[int, ...], index: int | None
) -> None:
    """Also where the clock was set back, and where the record began in the middle of the session."""
    assert Sent("!r", "s", created, first, times).index_from(DATE) == index


@given(st.integers(0, 30), st.lists(st.integers(0, 30), max_size=12), st.integers(0, 5), st.integers(0, 30))
def test_no_word_of_before_the_date_is_ever_within(created: int, times: list[int], first: int, date: int) -> None:
    """Whatever the clock did: nothing recorded as earlier has an index that is shared, nor has anything unknown."""
    index = Sent("!r", "s", created, first, tuple(times)).index_from(date)
    if index is not None:
        assert all(time >= date for at, time in enumerate(times, first) if at >= index)
        assert index >= first or created >= date


def test_the_record_begins_anew_where_messages_are_missing_from_it() -> None:
    """A store of before the record, or a message that is not in it: what is not known is not shared."""
    record = SendRecord(Records(MemoryStore()))
    for index, now in ((3, 10), (4, 20), (7, 30)):
        record.note("!r", "s", 5, index, now)
        assert [sent.room_id for sent in record.all()] == ["!r"]
    assert record.all() == [Sent("!r", "s", 5, 7, (30,))]
