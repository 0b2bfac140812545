"""Partners in the device engine: own words only, and nothing without a fresh view."""

from __future__ import annotations

from dataclasses import replace

import pytest

from paraph.sdk.engine.model import VIEW_MAX_AGE_MS, GrantView
from tests.sdk.directory import (
    AUTHOR,
    BOTH,
    CORRESPONDENT,
    PARTNER,
    ROOM,
    Directory,
    Phone,
    reads,
    room,
    session_of,
    view_of,
)


def test_partner_opens_the_authors_words_only(author: Phone, correspondent: Phone, partner: Phone) -> None:
    """A granted partner reads what the author writes from then on, and nothing of the correspondent."""
    early = author.send("before", BOTH)
    view = view_of(partner, author.now)
    mine = author.send("mine", BOTH, view)
    theirs = correspondent.send("theirs", BOTH)
    _take_keys(partner, author)
    assert reads(partner, mine)
    assert not reads(partner, early)
    assert not reads(partner, theirs)


def _take_keys(partner: Phone, *authors: Phone) -> None:
    """Let the partner's engine take what lies in its queue."""
    partner.know(*(a.user for a in authors))
    partner.sync()


def test_share_with_partner_states_what_could_be_opened(
    directory: Directory, author: Phone, correspondent: Phone, partner: Phone
) -> None:
    """Each share goes out under its grant and names session and first index."""
    author.send("before", BOTH)
    sent = author.send("mine", BOTH, view_of(partner, author.now))
    ((user, share),) = directory.key_shares
    assert user == AUTHOR
    assert share.grant_id == "gr_AAAAAAAAAAAAAAAAAAAAAA"
    assert [s["device_id"] for s in share.shares] == ["PARTNER1"]
    assert share.shares[0]["session"] == {"room_id": ROOM, "session_id": session_of(sent), "first_index": 1}


@pytest.mark.parametrize("why", ["none", "stale", "future", "expired", "other room", "excluded", "closed", "no grant"])
def test_fail_closed(author: Phone, correspondent: Phone, partner: Phone, why: str) -> None:
    """Without a fresh view, a live grant and an open room, the partner is dropped and the session rotates."""
    fresh = view_of(partner, author.now)
    before = author.send("granted", BOTH, fresh)
    access = fresh.partners[0]
    views: dict[str, GrantView | None] = {
        "none": None,
        "stale": replace(fresh, at=author.now - VIEW_MAX_AGE_MS - 1),
        "future": replace(fresh, at=author.now + VIEW_MAX_AGE_MS + 1),
        "expired": replace(fresh, partners=(replace(access, until=author.now),)),
        "other room": replace(fresh, partners=(replace(access, rooms=frozenset({"!other:example.org"})),)),
        "excluded": replace(fresh, partners=(replace(access, excluded=frozenset({ROOM})),)),
        "closed": fresh,
        "no grant": replace(fresh, partners=()),
    }
    after = author.send("not granted", replace(BOTH, closed=why == "closed"), views[why])
    _take_keys(partner, author)
    correspondent.sync()
    assert reads(partner, before)
    assert not reads(partner, after)
    assert reads(correspondent, after)


def test_partner_as_member_is_dropped(author: Phone, correspondent: Phone, partner: Phone) -> None:
    """A membership that names a partner's address gives it no key."""
    author.know(PARTNER)
    sent = author.send("x", room(AUTHOR, CORRESPONDENT, PARTNER))
    _take_keys(partner, author)
    assert not reads(partner, sent)


def test_partner_may_not_send_room_keys(author: Phone, correspondent: Phone, partner: Phone) -> None:
    """A session key from a partner's address is not taken in."""
    author.know(PARTNER)
    partner.know(AUTHOR)
    sent = partner.send("x", room(PARTNER, AUTHOR))
    author.sync()
    assert author.body(sent) == "unknown-session"
