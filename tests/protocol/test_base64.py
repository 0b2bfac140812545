"""Base64: one text for every byte string."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraph.protocol.base64 import b64, b64url, unb64, unb64url
from paraph.protocol.errors import Base64Error


@given(st.binary(max_size=70))
def test_bytes_come_back(data: bytes) -> None:
    """Both alphabets give back what they encoded, and agree with the standard library without its padding."""
    assert unb64(b64(data), len(data)) == data == unb64url(b64url(data), len(data))
    assert b64(data) == base64.b64encode(data).decode().replace("=", "")
    assert b64url(data) == base64.urlsafe_b64encode(data).decode().replace("=", "")


@given(st.text("ABab01+/-_= \n*é", max_size=9) | st.text(max_size=9))
def test_no_other_text_is_accepted(text: str) -> None:
    """A text is refused unless encoding its bytes gives exactly that text again."""
    for read, write in ((unb64, b64), (unb64url, b64url)):
        try:
            data = read(text)
        except Base64Error:
            continue
        assert write(data) == text


@pytest.mark.parametrize("text", ["AB", "AA==", "A", "AAAAA", "AA A", "AAA\n", "AAé", "_-8"])
def test_standard_refuses(text: str) -> None:
    """Trailing bits, padding, impossible lengths, spaces and the other alphabet are refused."""
    with pytest.raises(Base64Error):
        unb64(text)


@pytest.mark.parametrize("text", ["+/8", "AB", "AA==", "A"])
def test_url_safe_refuses(text: str) -> None:
    """The same holds for the URL-safe alphabet."""
    with pytest.raises(Base64Error):
        unb64url(text)


@pytest.mark.parametrize("length", [31, 33])
def test_another_length_is_refused(length: int) -> None:
    """A key of 31 or 33 bytes is not taken for one of 32."""
    with pytest.raises(Base64Error):
        unb64(b64(bytes(length)), 32)
    with pytest.raises(Base64Error):
        unb64url(b64url(bytes(length)), 32)
