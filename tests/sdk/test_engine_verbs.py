"""Which keys a grant gives follows from its verbs: room keys come with `read` and with nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.sdk.directory import AUTHOR, PARTNER, START, Phone, room, view_of


@pytest.mark.parametrize("verbs", [{"write:draft"}, {"metadata", "delete:authored"}, set()])
def test_without_read_no_room_key_goes_to_the_partner(author: Phone, partner: Phone, verbs: set[str]) -> None:
    """The partner's device is no recipient; with `read` beside the same verbs it is."""
    view = view_of(partner, START)
    (access,) = view.partners

    def recipients(these: set[str]) -> list[str]:
        granted = replace(view, partners=(replace(access, verbs=frozenset(these)),))
        return [peer.user_id for peer, _ in author.engine.recipients(room(AUTHOR), granted, START)]

    assert recipients(verbs) == []
    assert recipients(verbs | {"read"}) == [PARTNER]
