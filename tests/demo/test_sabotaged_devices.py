"""Each thing that people's own devices (or an outsider's tools) enforce, taken out in turn: the demo must say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from paraph.audit.files import TreeFiles
from paraph.cli.demo.people import Cast
from paraph.cli.demo.verdicts import SHOWN
from paraph.sdk import Partner, Person
from paraph.sdk.engine import DeviceEngine
from paraph.sdk.engine.model import PartnerAccess, Peer, User
from paraph.sdk.engine.outbound import OutboundSessions
from paraph.sdk.person.consent import Consent
from paraph.tlog.merkle import leaf_hash
from tests.demo.performance import Played, play

pytestmark = pytest.mark.slow


def rows(played: Played) -> dict[str, dict[str, Any]]:
    """The table, by partner."""
    return {row["partner"]: row for row in played.evidence("P1")["rows"]}


def test_nothing_broken_is_nothing_found(tmp_path: Path) -> None:
    """The same performance without sabotage keeps what it shows: what the others find is due to the sabotage."""
    played = play(tmp_path)
    assert played.kept
    assert not played.broken
    assert played.document["stopped"] is None
    assert all(played.verdict(promise) for promise in SHOWN)


def test_a_correspondent_who_shares_with_partners_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recipients include everyone: the partner opens what the correspondent never granted."""
    partners: list[Peer] = []
    publish, recipients = Partner.publish_device, DeviceEngine.recipients

    async def published(self: Partner, days: int = 90) -> dict[str, Any]:
        account = self.engine.account
        partners.append(Peer(account.user_id, account.device_id, account.curve25519, account.ed25519))
        return await publish(self, days)

    def everyone(self: DeviceEngine, *args: Any) -> list[tuple[Peer, str | None]]:
        own = recipients(self, *args)
        return [*own, *((peer, None) for peer in partners if peer not in dict(own))]

    monkeypatch.setattr(Partner, "publish_device", published)
    monkeypatch.setattr(DeviceEngine, "recipients", everyone)
    played = play(tmp_path, "anybodys_keys", acts=("record",))
    assert not played.kept
    assert {"P1", "P2"} <= played.broken
    for row in rows(played).values():
        assert row["correspondent"]["opened"] > 0
        assert row["other"]["opened"] > 0


def test_keys_of_rooms_that_were_not_granted_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The author's device shares all rooms and tells the platform nothing of the session it sends."""
    monkeypatch.setattr(PartnerAccess, "covers", lambda _self, _room_id: True)
    monkeypatch.setattr(DeviceEngine, "_range", lambda _self, _room_id: None)
    played = play(tmp_path, acts=("record",))
    assert not played.kept
    assert {"P1", "P2"} <= played.broken
    assert all(row["other"]["opened"] > 0 for row in rows(played).values())
    assert not any(row["correspondent"]["opened"] for row in rows(played).values())


def test_a_key_without_its_record_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that says nothing of the session it hands out leaves a key without a record, and no more is wrong."""
    monkeypatch.setattr(DeviceEngine, "_range", lambda _self, _room_id: None)
    played = play(tmp_path, acts=("record",))
    assert not played.kept
    assert played.broken == {"P2"}
    evidence, recorded = played.evidence("P2"), played.document["recorded"]
    assert evidence["opened"] == recorded["unrecorded_keys"] == recorded["keys"] > 0


def test_a_device_listed_under_the_authors_name_that_gets_keys_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Devices that no master key vouches for receive keys: the stranger reads along."""
    monkeypatch.setattr(User, "recipients", lambda self: tuple(d for d in self.devices if not d.gone))
    played = play(tmp_path, acts=())
    assert not played.kept
    assert "P1" in played.broken
    assert played.evidence("P1")["stranger"]["opened"] > 0
    assert not any(row["correspondent"]["opened"] for row in rows(played).values())


def test_a_session_that_outlives_a_revocation_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has the session's key keeps it when the recipients become fewer: the next messages stand open.

    So they do where the device has noticed a lie and shares with nobody any more.
    """

    def due(self: OutboundSessions, settings: Any, _allowed: Any, _now: int) -> bool:
        return self.current(settings.room_id) is None

    monkeypatch.setattr(OutboundSessions, "due", due)
    played = play(tmp_path, acts=("keys", "revocation"))
    assert not played.kept
    assert played.broken == {"P2", "P4"}
    evidence = played.evidence("P4")
    assert evidence["opened"] == evidence["tried"] > 0
    assert evidence["api"]["refused"]


def test_a_device_that_acts_on_an_old_view_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail open: a device that goes on with the last view it had, whatever the version it names."""
    fresh = Consent.fresh_view
    best: dict[Consent, Any] = {}

    async def fresh_view(self: Consent) -> Any:
        version, view = await fresh(self)
        if view is not None and len(view.partners) >= len(getattr(best.get(self), "partners", ())):
            best[self] = view
        return version, best.get(self, view)

    monkeypatch.setattr(Consent, "fresh_view", fresh_view)
    played = play(tmp_path, acts=("revocation",))
    assert not played.kept
    assert played.broken == {"P4"}
    assert played.evidence("P4")["opened"] > 0


def test_words_sent_in_clear_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A platform that takes plaintext and clients that send it: whoever has the database reads everything."""
    say = Cast.say

    async def in_clear(self: Cast, room_id: str, line: Any, *, encrypted: bool = True, by: Person | None = None) -> str:
        return await say(self, room_id, line, encrypted=False, by=by)

    monkeypatch.setattr(Cast, "say", in_clear)
    played = play(tmp_path, "clear_text", acts=("revocation",))
    assert not played.kept
    assert {"P1", "P4"} <= played.broken
    for row in rows(played).values():
        assert row["correspondent"]["opened"] == row["correspondent"]["tried"]
    stranger = played.evidence("P1")["stranger"]
    assert stranger["opened"] == stranger["tried"] > 0


def test_a_replay_that_overlooks_tampering_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An outsider's tool that compares no tile verifies the damaged copy: the demo does not call that a log."""

    def believe(_self: TreeFiles, _bundle: Any, entries: list[bytes]) -> list[bytes]:
        return [leaf_hash(entry) for entry in entries]

    monkeypatch.setattr(TreeFiles, "check_bundle", believe)
    monkeypatch.setattr(TreeFiles, "check_tile", lambda *_: None)
    played = play(tmp_path, acts=())
    assert not played.kept
    assert not played.broken
    assert played.document["log"]["verified"]
    assert not played.document["log"]["tampering"]["refused"]


def test_a_damaged_log_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A published log whose files are damaged does not verify; what it should show counts as missing."""

    async def settled(log: Path, quiet: float = 0.5) -> None:
        bundle = max((log / "tile" / "entries").rglob("*"), key=lambda path: (path.is_file(), path.stat().st_size))
        bundle.chmod(0o600)
        bundle.write_bytes(bundle.read_bytes()[:-1])

    monkeypatch.setattr("paraph.cli.demo.outsider.settled", settled)
    played = play(tmp_path, acts=())
    assert not played.kept
    assert not played.document["log"]["verified"]
    assert played.broken == {"P6"}
