"""Identifiers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraph.protocol import identifiers as i
from paraph.protocol.errors import IdentifierError

slugs = st.from_regex(rf"\A{i.SLUG_PATTERN}\Z").filter(lambda slug: slug != "platform")


@given(slugs, st.sampled_from(["example.org", "localhost", "example.org:8448", "[::1]:8008", "10.0.0.1"]))
def test_a_partners_address_holds_its_slug(slug: str, server: str) -> None:
    """Address and slug give each other back, and the address is a well-formed user id in the reserved range."""
    address = i.partner_user_id(slug, server)
    assert i.slug_of(address) == slug
    assert i.is_partner(address)
    assert str(i.parse_user_id(address)) == address
    assert i.parse_user_id(address) == i.UserId(f"app-{slug}", server)


@pytest.mark.parametrize("user_id", ["@author:example.org", "@apparition:example.org", "@a.b_c=d/e+f-1:localhost"])
def test_a_person_is_no_partner(user_id: str) -> None:
    """Only the prefix `app-` makes an address a partner's."""
    assert i.check_user_id(user_id) == user_id
    assert not i.is_partner(user_id)
    assert i.slug_of(user_id) is None


@pytest.mark.parametrize("user_id", ["@app-:example.org", "@app-X:example.org", "@app-platform:example.org", "@app-ab"])
def test_the_whole_prefix_is_reserved(user_id: str) -> None:
    """An address in the reserved range is a partner's even where no such partner can exist."""
    assert i.is_partner(user_id)
    assert i.slug_of(user_id) is None


@pytest.mark.parametrize(
    "user_id",
    [
        *("", "author", "@author", "@:example.org", "author:example.org", "@Author:example.org", "@author:"),
        *("@au thor:e.org", "@author:example.org\n", "@author:exa mple", "@author:e.org:123456", "@é:e.org"),
        "@" + "a" * 255 + ":e.org",
    ],
)
def test_a_malformed_user_id_is_refused(user_id: str) -> None:
    """A user id is @, a localpart in lower case, a colon and a server name, at most 255 bytes."""
    with pytest.raises(IdentifierError):
        i.parse_user_id(user_id)


@pytest.mark.parametrize("slug", ["", "ab", "a" * 33, "1ab", "Abc", "ab-", "-ab", "a_b", "abc\n", "platform"])
def test_a_malformed_slug_is_refused(slug: str) -> None:
    """A slug is 3 to 32 of a-z, 0-9 and -, from a letter to a letter or digit; `platform` is taken."""
    with pytest.raises(IdentifierError):
        i.check_slug(slug)
    with pytest.raises(IdentifierError):
        i.partner_user_id(slug, "example.org")


def test_rooms_events_devices_and_grants_have_their_forms() -> None:
    """Each check passes its own form through and refuses the others'."""
    cases = {
        i.check_room_id: ["!opaque:example.org", "!opaque", "!opaque:[::1]:80"],
        i.check_event_id: ["$opaque", "$opaque:example.org", "$" + "A" * 43],
        i.check_grant_id: ["gr_" + "A" * 22, "gr_" + "-_" * 10 + "xw"],
        i.check_server_name: ["example.org", "localhost:8008"],
    }
    for check, accepted in cases.items():
        for text in accepted:
            assert check(text) == text
        others = [text for other, texts in cases.items() if other is not check for text in texts]
        for text in [*others, *(text + "\n" for text in accepted), "", "!", "$", "gr_", "two words"]:
            with pytest.raises(IdentifierError):
                check(text)
    assert i.check_device_id("ABC:def+1") == "ABC:def+1"
    for text in ("", "a b", "x" * 256, "é", "A\n"):
        with pytest.raises(IdentifierError):
            i.check_device_id(text)


def test_a_grant_id_is_sixteen_bytes() -> None:
    """Spare bits at the end of a grant id are zero, so that it has one form."""
    for last in "BCDEFGHxyz":
        with pytest.raises(IdentifierError):
            i.check_grant_id("gr_" + "A" * 21 + last)
