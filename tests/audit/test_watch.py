"""A watch believes nobody: what is new is told once, in words; what must never happen is an alarm with its proof."""

import copy
from collections.abc import Mapping
from typing import Any

import pytest

from paraph.audit import evidence
from paraph.audit.verdict import Outcome
from paraph.audit.watch import MAX_AGE, Watch, begin
from paraph.audit.watch_events import Event, Level
from paraph.audit.watch_state import BadState, State
from paraph.protocol.entry import epoch_leaf
from paraph.protocol.errors import ProtocolError
from paraph.protocol.limits import DAY_MS
from paraph.protocol.receipt import make_receipt
from paraph.protocol.signing import SigningKey, document_hash
from paraph.tlog import checkpoint, policy
from paraph.tlog.checkpoint import Checkpoint
from paraph.tlog.merkle import Tree, leaf_hash
from paraph.tlog.tiles import entries_path
from tests.audit.logs import private
from tests.audit.test_records import DEVICE, DEVICE_ENDING, ENDING, FIRST, leaf
from tests.protocol import examples
from tests.protocol.examples import KEYS, NOW, SERVER, SLUG
from tests.support.published_log import KEY, POLICY, WITNESS, PublishedLog

RECEIPT_KEY = SigningKey.generate()
SECOND = examples.agreement(
    version=2,
    predecessor=document_hash(FIRST),
    max_retention_days=FIRST["max_retention_days"] + 1,
    verbs=["read"],
    **{"from": NOW + 30 * DAY_MS},
)


def platform(**changes: Any) -> dict[str, Any]:
    """What this platform is."""
    known = {
        "version": "1",
        "server_name": SERVER,
        "operator_key": KEYS.operator.public_key,
        "receipt_key": RECEIPT_KEY.public_key,
        "api": "0" * 64,
    }
    return {**known, **changes}


class Desk:
    """Somebody who watches a log, its files and the time."""

    def __init__(self) -> None:
        self.log = PublishedLog()
        self.now = NOW // 1000
        self.silent = False
        self.read: list[str] = []
        self.state = begin(policy.parse(f"log {KEY.vkey}\n{POLICY}".encode()))
        self.policy = policy.parse(f"log {KEY.vkey}\n{POLICY}".encode())
        self.log.publish(leaf("platform", platform(), "platform"), time=NOW)

    def fetch(self, path: str) -> bytes:
        """A file, or none."""
        self.read.append(path)
        if self.silent:
            raise OSError("connection refused")
        if path not in self.log.files:
            raise FileNotFoundError(path)
        return self.log.files[path]

    def look(self) -> list[Event]:
        """One round, with the state written down and read again before it."""
        return self.watch().round()

    def watch(self) -> Watch:
        """A watch that goes on from what was written down."""
        self.state = State.parse(self.state.encode(), KEY.vkey)
        return Watch(self.policy, self.state, self.fetch, lambda: self.now)

    def kinds(self) -> list[str]:
        """The kinds of events of one round."""
        return [event.kind for event in self.look()]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_what_is_new_is_told_once(desk: Desk) -> None:
    """From the beginning of the watch on: partners, versions and what differs, endings, devices, the platform."""
    desk.log.publish(leaf("agreement", FIRST), time=NOW)
    [first] = desk.look()
    assert (first.kind, first.details["partners"]) == ("watching", [SLUG])
    assert desk.kinds() == []
    desk.log.publish(leaf("agreement", SECOND), leaf("partner-device", DEVICE), time=NOW)
    agreement, device = desk.look()
    days = FIRST["max_retention_days"]
    assert agreement.kind == "agreement"
    assert "version 2 of the agreement: " in agreement.text
    assert f"max_retention_days: {days}, now {days + 1}" in agreement.text
    assert "without" in agreement.text
    assert {change["field"] for change in agreement.details["changes"]} >= {"verbs", "max_retention_days"}
    assert device.kind == "partner-device"
    assert DEVICE["device_keys"]["device_id"] in device.text
    desk.log.publish(
        leaf("agreement-ended", ENDING),
        leaf("partner-device-ended", DEVICE_ENDING),
        leaf("platform", platform(version="2", api="1" * 64), "platform"),
        time=NOW,
    )
    ended, device_ended, changed = desk.look()
    assert ended.kind == "agreement-ended"
    assert device_ended.kind == "partner-device-ended"
    assert changed.text == f"the platform's record changed: api: {'0' * 64}, now {'1' * 64}; version: 1, now 2"
    assert desk.kinds() == []
    assert not desk.watch().alarmed
    assert not desk.watch().troubled


def test_a_new_partner(desk: Desk) -> None:
    """Its first agreement, with what it may do and why."""
    assert desk.kinds() == ["watching"]
    desk.log.publish(leaf("agreement", FIRST), time=NOW)
    [event] = desk.look()
    assert event.kind == "partner"
    assert all(word in event.text for word in (SLUG, *FIRST["verbs"], *FIRST["purposes"]))


def test_only_new_leaves_are_read(desk: Desk) -> None:
    """A round over an unchanged log reads its checkpoint, and one over a grown log the bundles that grew."""
    desk.log.publish(*(private(n) for n in range(600)), time=NOW)
    desk.look()
    desk.read.clear()
    desk.look()
    assert desk.read == ["checkpoint"]
    desk.log.publish(private(1000), time=NOW)
    desk.read.clear()
    desk.look()
    assert desk.read == ["checkpoint", entries_path(2, desk.log.edge.size - 512)]


def test_a_full_bundle_serves_for_a_partial_one(desk: Desk) -> None:
    """Once a log has grown the partial files are gone; their beginnings are in the full ones."""
    desk.log.publish(*(private(n) for n in range(100)), time=NOW)
    shown = desk.log.files["checkpoint"]
    desk.log.publish(*(private(n) for n in range(100, 400)), time=NOW)
    newest = desk.log.files["checkpoint"]
    desk.log.files = {path: data for path, data in desk.log.files.items() if not path.startswith("tile/entries/000.p")}
    desk.log.files["checkpoint"] = shown
    assert desk.kinds() == ["watching"]
    desk.log.files["checkpoint"] = newest
    assert desk.kinds() == []
    assert desk.state.size == desk.log.edge.size


def test_trouble_is_told_when_it_begins_and_when_it_ends(desk: Desk) -> None:
    """A log that does not answer, that no quorum has cosigned for ten minutes, and whose files are damaged."""
    desk.look()
    desk.silent = True
    [silent] = desk.look()
    assert (silent.kind, silent.level) == ("unreachable", Level.TROUBLE)
    assert desk.kinds() == []
    assert desk.watch().troubled
    desk.silent = False
    assert desk.kinds() == ["no-longer-unreachable"]
    desk.now += MAX_AGE + 1
    assert desk.kinds() == ["stale"]
    assert desk.kinds() == []
    assert desk.watch().troubled
    desk.log.cosign(desk.now * 1000)
    assert desk.kinds() == ["no-longer-stale"]
    desk.log.publish(private(1), time=desk.now * 1000)
    path = entries_path(0, desk.log.edge.size)
    good = desk.log.files[path]
    desk.log.files[path] = good[:-1] + b"!"
    size = desk.state.size
    assert desk.kinds() == ["damaged"]
    assert desk.state.size == size
    desk.log.files[path] = good
    assert desk.kinds() == ["no-longer-damaged"]
    assert not desk.watch().troubled


def test_a_tree_without_a_quorum_is_not_believed(desk: Desk) -> None:
    """Nothing in it is told; it is once the witnesses have cosigned it."""
    desk.look()
    desk.log.witnesses = ()
    desk.log.publish(leaf("agreement", FIRST), time=NOW)
    assert desk.kinds() == ["stale"]
    desk.log.witnesses = (WITNESS,)
    desk.log.cosign(NOW)
    assert desk.kinds() == ["partner", "no-longer-stale"]


@pytest.mark.parametrize("more", [0, 1, 300])
@pytest.mark.parametrize("cosigned", [True, False])
def test_a_fork_is_an_alarm_with_its_proof(desk: Desk, more: int, cosigned: bool) -> None:
    """Another tree of the same size, or a larger one with another beginning: anyone can check the file that is kept."""
    other = copy.deepcopy(desk.log)
    desk.log.publish(*(private(n) for n in range(20)), time=NOW)
    desk.look()
    other.publish(*(private(100 + n) for n in range(20)), time=NOW)
    if more:
        other.publish(*(private(500 + n) for n in range(more)), time=NOW)
    desk.log = other
    if not cosigned and not more:
        other.witnesses = ()
        other.cosign(NOW)
    [event] = desk.look()
    assert (event.kind, event.level) == ("fork", Level.ALARM)
    assert event.evidence is not None
    verdict = evidence.check(event.evidence, desk.policy, desk.now)
    assert verdict.outcome is Outcome.PROVEN, verdict.summary
    assert desk.state.forked
    assert desk.watch().alarmed


def test_a_smaller_tree_with_other_leaves_is_a_fork_as_well(desk: Desk) -> None:
    """Shown after the larger one: the larger tree's own tiles prove it, and they may be served by whoever has them."""
    other = copy.deepcopy(desk.log)
    desk.log.publish(*(private(n) for n in range(20)), time=NOW)
    desk.look()
    other.publish(private(100), time=NOW)
    desk.log.files["checkpoint"] = other.files["checkpoint"]
    [event] = desk.look()
    assert event.kind == "fork"
    assert evidence.check(event.evidence or b"", desk.policy, desk.now).outcome is Outcome.PROVEN


def test_an_older_tree_shown_again_is_an_alarm(desk: Desk) -> None:
    """A rollback: told once, over when the newest tree is shown again; what was known is not given up for it."""
    older = desk.log.files["checkpoint"]
    desk.log.publish(private(1), time=NOW)
    newest, size = desk.log.files["checkpoint"], desk.log.edge.size
    desk.look()
    desk.log.files["checkpoint"] = older
    [event] = desk.look()
    assert (event.kind, event.level) == ("rollback", Level.ALARM)
    assert desk.kinds() == []
    assert desk.watch().alarmed
    assert desk.state.size == size
    desk.log.files["checkpoint"] = newest
    assert desk.kinds() == []
    assert not desk.watch().alarmed


def test_another_logs_checkpoint_is_trouble(desk: Desk) -> None:
    """What the log's key has not signed says nothing about the log."""
    desk.look()
    from paraph.tlog.note import Signer

    tree = Checkpoint("example.org/log", 1, Tree([leaf_hash(b"x")]).root())
    desk.log.files["checkpoint"] = checkpoint.sign(tree, Signer.generate("example.org/log"))
    assert desk.kinds() == ["damaged"]


@pytest.mark.parametrize(
    "document",
    [
        {**SECOND, "purposes": ["advertising"]},
        {**SECOND, "signatures": {}},
        examples.agreement(version=7, predecessor=document_hash(FIRST)),
    ],
)
def test_a_false_record_is_an_alarm(desk: Desk, document: Mapping[str, Any]) -> None:
    """A record that those it binds have not signed, or that follows no predecessor, is named once."""
    desk.log.publish(leaf("agreement", FIRST), time=NOW)
    desk.look()
    desk.log.publish(leaf("agreement", dict(document)), time=NOW)
    _, alarm = desk.look()
    assert (alarm.kind, alarm.level) == ("false-record", Level.ALARM)
    assert SLUG in alarm.text
    desk.log.publish(private(1), time=NOW)
    assert desk.kinds() == []
    assert desk.watch().alarmed


def test_a_log_that_breaks_its_own_rules_is_an_alarm(desk: Desk) -> None:
    """An epoch leaf out of its turn, as any leaf that a log must not have."""
    desk.look()
    desk.log.publish(epoch_leaf(9, 0, None, NOW), time=NOW)
    [event] = desk.look()
    assert (event.kind, event.details["leaf"]) == ("false-leaf", 2)


def receipt(content: bytes, deadline: int, key: SigningKey = RECEIPT_KEY) -> dict[str, Any]:
    """A promise for a leaf."""
    return make_receipt(KEY.name, leaf_hash(content), deadline - 60_000, key.sign)


def test_promises_are_kept_or_told(desk: Desk) -> None:
    """A leaf that is there already, one that comes in time, and one that a tree closed after its deadline lacks."""
    desk.log.publish(private(1), time=NOW)
    desk.look()
    watch = desk.watch()
    assert watch.promise(receipt(private(1), NOW + 60_000)) == []
    assert desk.state.promises == {}
    for number in (2, 3):
        assert watch.promise(receipt(private(number), NOW + 60_000)) == []
    desk.state = watch.state
    desk.log.publish(private(2), time=NOW + 30_000)
    assert desk.kinds() == []
    desk.now += 100
    desk.log.publish(private(9), time=NOW + 60_001)
    [event] = desk.look()
    assert (event.kind, event.level) == ("broken-promise", Level.ALARM)
    assert event.details["leaf_hash"] == leaf_hash(private(3)).hex()
    assert desk.kinds() == []


def test_a_receipt_of_somebody_else_is_refused(desk: Desk) -> None:
    """Only what the platform's receipt key signed, as the log names it, is a promise."""
    desk.look()
    with pytest.raises(ProtocolError):
        desk.watch().promise(receipt(private(1), NOW, SigningKey.generate()))


def test_a_state_of_another_log_or_a_damaged_one_is_refused(desk: Desk) -> None:
    """It is never mixed up with what this log showed."""
    desk.look()
    data = desk.state.encode()
    with pytest.raises(BadState, match="another --state"):
        State.parse(data, "other.example/log+00000000+AAAA")
    for cut in range(0, len(data) - 2, 97):
        with pytest.raises(BadState):
            State.parse(data[:cut], KEY.vkey)
