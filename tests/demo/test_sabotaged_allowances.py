"""What each partner may do and no more, each check taken out in turn: the demo must say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from paraph.sdk import ConsentRequest, GrantTerms, LogError
from paraph.sdk.log.partners import ProvenPartner
from paraph.sdk.log.view import LogView
from paraph.sdk.person import grants
from paraph.sdk.person.drafts import Drafts
from tests.demo.performance import play

pytestmark = pytest.mark.slow

DRAFTS, SECRET, PURPOSES, ONE_API = [(act,) for act in ("drafts", "secret", "purposes", "one API")]


def test_a_partner_that_sends_in_her_name_is_found(tmp_path: Path) -> None:
    """The platform takes the partner's token where her devices send."""
    played = play(tmp_path, "partners_speak", acts=DRAFTS)
    assert played.broken == {"P5"}
    assert played.accepted("P5", "attempts") == {
        "the partner sends where her devices send, with its token",
        "the partner takes its own draft, to seal it, with its token",
    }


def test_a_draft_that_two_devices_send_is_found(tmp_path: Path) -> None:
    """The platform lets both devices have the draft at once."""
    played = play(tmp_path, "two_hold_a_draft", acts=DRAFTS)
    assert played.broken == {"P5"}
    assert played.wrong("P5") == {"messages from a draft that laptop and phone seal at once": 2}


def test_a_declined_draft_that_is_sent_is_found(tmp_path: Path) -> None:
    """The platform forgets that she declined, and her other device seals the draft."""
    played = play(tmp_path, "declined_in_vain", acts=DRAFTS)
    assert played.broken == {"P5"}
    assert played.wrong("P5") == {"messages from a draft that her laptop declines": 1}
    assert played.accepted("P5", "attempts") == {"her phone seals what her laptop declined"}


def test_a_device_that_seals_what_it_should_decline_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Her device says no and sends it all the same."""

    async def decline(self: Drafts, draft_id: str, _reason: str | None = None) -> None:
        await self.seal(draft_id)

    monkeypatch.setattr(Drafts, "decline", decline)
    played = play(tmp_path, acts=DRAFTS)
    assert played.broken == {"P5"}
    assert played.wrong("P5") == {"messages from a draft that her laptop declines": 1}


def test_advertising_by_default_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Her device grants whatever is asked for; then it can be read for, too."""

    def terms(self: ConsentRequest, *, advertising: bool = True) -> GrantTerms:
        assert self.asked.rooms != "all"
        return GrantTerms(self.asked.purposes, self.asked.until, self.asked.rooms, self.asked.verbs)

    monkeypatch.setattr(ConsentRequest, "terms", terms)
    played = play(tmp_path, acts=PURPOSES)
    assert played.broken == {"P8"}
    assert played.wrong("P8") == {"asked for recommendations and advertising: grants of advertising by default": 1}
    assert played.accepted("P8", "attempts") == {"the partner reads for advertising, which she did not grant"}


def test_an_access_for_another_purpose_is_found(tmp_path: Path) -> None:
    """Her list names another purpose than those that she granted."""
    played = play(tmp_path, "another_purpose", acts=PURPOSES)
    assert played.broken == {"P8"}
    assert played.wrong("P8") == {"accesses in her list without a purpose that she granted": 2}


def test_another_text_than_the_published_one_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Her device shows and signs a text of its own, and the platform does not mind."""
    render = grants.render
    monkeypatch.setattr(grants, "render", lambda *given: f"{render(*given)} Nothing of this matters.")
    played = play(tmp_path, "any_text", acts=PURPOSES)
    assert played.broken == {"P8"}
    assert played.wrong("P8") == {"texts made again from the template in the log that are not what she signed": 2}


def test_friendlier_limits_are_found(tmp_path: Path) -> None:
    """The second partner is shown other limits than the first, and than those in the log."""
    played = play(tmp_path, "friendlier_limits", acts=ONE_API)
    assert played.broken == {"P9"}
    assert played.wrong("P9") == {
        "documents that the two are shown differently": 1,
        "documents whose hash is not in the platform's record in the log": 1,
    }


def test_a_hidden_route_is_found(tmp_path: Path) -> None:
    """The platform answers where its documents name nothing."""
    played = play(tmp_path, "hidden_route", acts=ONE_API)
    assert played.broken == {"P9"}
    (found,) = [count for count in played.evidence("P9")["counts"] if count["found"]]
    assert found["beside"] == "/inbox/v2/everything"


def test_an_agreement_in_a_drawer_is_found(tmp_path: Path) -> None:
    """The platform takes a version that cannot be published, and one without notice; her device does not."""
    played = play(tmp_path, "signed_in_secret", acts=SECRET)
    assert played.broken == {"P6"}
    assert played.accepted("P6", "attempts") >= {
        "a version with the verb read:everything is published",
        "the next version is published, to be in force at once",
    }
    assert not any(what.startswith("her laptop") for what in played.accepted("P6", "attempts"))


def test_a_version_that_is_in_force_too_early_is_found(tmp_path: Path) -> None:
    """The platform lets the partner ask for what the next version allows before that begins."""
    played = play(tmp_path, "no_notice", acts=SECRET)
    assert played.broken == {"P6"}
    assert played.accepted("P6", "attempts") == {"the partner asks her for friends before version 2 is in force"}


def test_a_device_that_believes_an_unpublished_version_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Her device signs under whatever version the operator shows it; only the platform refuses."""
    prove = LogView.prove_hash

    async def believe(self: LogView, hashed: bytes, *, wait_ms: int = 0) -> None:
        try:
            await prove(self, hashed, wait_ms=wait_ms)
        except LogError:
            return

    async def undated(partner: ProvenPartner, *_: Any) -> ProvenPartner:
        return partner

    monkeypatch.setattr(LogView, "prove_hash", believe)
    monkeypatch.setattr(grants, "dated", undated)
    monkeypatch.setattr(ProvenPartner, "check_agreement", lambda *_: None)
    played = play(tmp_path, acts=SECRET)
    assert played.broken == {"P6"}
    assert played.accepted("P6", "attempts") == {"her laptop is shown one with delete:authored, kept out of the log"}
