"""Numbers and base64 have one spelling each."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraph.tlog.text import MAX_NUMBER, MalformedText, b64, parse_number, unb64


@given(st.integers(0, MAX_NUMBER))
def test_numbers_round_trip(value: int) -> None:
    """Every number up to 2^63 - 1 is read back as written."""
    assert parse_number(str(value)) == value


@pytest.mark.parametrize(
    "text",
    ["", "+1", "-1", " 1", "1 ", "01", "00", "1_0", "0x1", "1.0", "1e3", "٣", "²", "1\n", str(2**63), "9" * 5000],
)
def test_other_spellings_of_numbers_are_refused(text: str) -> None:
    """What int() would forgive, and what is too large, is refused."""
    with pytest.raises(MalformedText):
        parse_number(text)


@given(st.text(max_size=6))
def test_a_number_is_read_only_if_it_is_written_so(text: str) -> None:
    """Nothing but str(value) is read as value."""
    try:
        value = parse_number(text)
    except MalformedText:
        assert text not in {str(number) for number in range(1000)}
    else:
        assert str(value) == text


@given(st.binary(max_size=80))
def test_base64_round_trips(data: bytes) -> None:
    """Bytes are read back as written."""
    assert unb64(b64(data), len(data)) == data


@pytest.mark.parametrize("text", ["YQ", "YQ=", "YR==", "YQ==\n", " YQ==", "YQ==YQ==", "Y Q=", "-_8=", "YQ==é"])
def test_other_spellings_of_base64_are_refused(text: str) -> None:
    """Missing padding, stray trailing bits, spaces, the URL alphabet and trailing data are refused."""
    with pytest.raises(MalformedText):
        unb64(text)


def test_base64_of_another_length_is_refused() -> None:
    """A hash of 31 bytes is not a hash."""
    with pytest.raises(MalformedText, match="expected 32 bytes of base64, got 31"):
        unb64(base64.b64encode(bytes(31)).decode(), 32)
