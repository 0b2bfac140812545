"""A broken promise is evidence that anyone can check, and nothing else passes for one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from paraph.audit import envelope, evidence
from paraph.audit.missed_deadline import BadPromise, MissedDeadline, PlatformProof
from paraph.audit.verdict import Outcome, Verdict
from paraph.protocol.base64 import b64url
from paraph.protocol.canonical import encode
from paraph.protocol.entry import private_leaf, public_leaf, week_of
from paraph.protocol.limits import MERGE_DELAY_MS
from paraph.protocol.map_key import map_key_of_bytes
from paraph.protocol.receipt import KEY_ID, make_receipt
from paraph.protocol.signing import SigningKey, sign
from paraph.tlog import policy
from paraph.tlog.merkle import leaf_hash
from tests.audit.witnessed import LOG, POLICY, STRANGER, WitnessedLog, policy_text

NOW = 1_760_000_000_000
KEY, OTHER = SigningKey.from_seed(bytes(range(32))), SigningKey.from_seed(bytes(32))
LABEL = bytes(range(32))
PROMISED = private_leaf(week_of(NOW), LABEL, b"\x01" * 32)
KEPT = private_leaf(week_of(NOW), LABEL, b"\x02" * 32)
DEADLINE = NOW + MERGE_DELAY_MS
SECONDS = (DEADLINE + 600_000) // 1000


def record(key: str = KEY.public_key, **changes: Any) -> dict[str, Any]:
    """The platform's record."""
    document = {"version": "1", "server_name": "example.org", "operator_key": KEY.public_key, "receipt_key": key}
    return {"kind": "platform", "partner": "platform", "ts": NOW - 1, "document": document | changes}


def leaf_of(made: dict[str, Any]) -> bytes:
    """Its leaf."""
    return public_leaf(made["kind"], made["partner"], made["ts"], made["document"])


@dataclass
class Case:
    """A log in which a promise was broken; the fields can be made to lie before `claim`."""

    log: WitnessedLog
    record: dict[str, Any]
    receipt: dict[str, Any]
    leaf: bytes = PROMISED

    def claim(self, **changes: Any) -> MissedDeadline:
        """The evidence."""
        index = self.log.leaves.index(leaf_of(self.record))
        proof = tuple(self.log.tree().inclusion_proof(index, len(self.log.leaves)))
        key = map_key_of_bytes(self.leaf)
        assert key is not None
        members: dict[str, Any] = {
            "receipt": self.receipt,
            "leaf": self.leaf,
            "platform": PlatformProof(self.record, index, proof),
            "tree": self.log.tree_proof(),
            "statement": self.log.statement(key),
        }
        return MissedDeadline(**members | changes)


def broken(*late: bytes, time: int = DEADLINE + 1, made: dict[str, Any] | None = None) -> Case:
    """The platform's record in the first epoch; something under the same label, and `late`, in one at `time`."""
    made = made or record()
    log = WitnessedLog().epoch([leaf_of(made)], NOW).epoch([KEPT, *late], time)
    return Case(log, made, make_receipt(LOG.name, leaf_hash(PROMISED), NOW, KEY.sign))


def verdict(claim: MissedDeadline) -> Verdict:
    """By way of the file."""
    return evidence.check(claim.encode(), POLICY, SECONDS)


def rejected(claim: MissedDeadline) -> str:
    """Why a claim shows nothing."""
    found = verdict(claim)
    assert found.outcome is Outcome.REJECTED, found
    assert found.kind == "missed-deadline"
    return found.summary


def test_a_missing_leaf_after_its_deadline_is_proven() -> None:
    """With the policy alone; the verdict says which promise, and by how much it was missed."""
    found = verdict(broken().claim())
    assert found.outcome is Outcome.PROVEN
    assert found.details["leaf"] == b64url(leaf_hash(PROMISED))
    assert (found.details["deadline"], found.details["epoch_time"]) == (DEADLINE, DEADLINE + 1)
    assert found.details["map_audited"] is True
    assert "1 ms after the deadline" in found.summary


def test_nothing_at_all_under_the_label_is_proven_too() -> None:
    """Absence of the whole key is as good as a list without the leaf."""
    made = record()
    log = WitnessedLog().epoch([leaf_of(made)], DEADLINE + 5)
    case = Case(log, made, make_receipt(LOG.name, leaf_hash(PROMISED), NOW, KEY.sign))
    assert case.claim().statement.leaves == ()
    assert verdict(case.claim()).outcome is Outcome.PROVEN


def test_the_verdict_says_whether_the_map_was_audited() -> None:
    """A map that nobody replays could leave a leaf out that the log has: only the operator could, but it is said."""
    unaudited = policy.parse(policy_text(audited=False))
    found = evidence.check(broken().claim().encode(), unaudited, SECONDS)
    assert (found.outcome, found.details["map_audited"]) == (Outcome.PROVEN, False)


def test_a_kept_promise_is_no_evidence() -> None:
    """The leaf is there: whoever shows the whole label shows that, and a list without it does not verify."""
    case = broken(PROMISED)
    assert "the leaf too" in rejected(case.claim())
    statement = case.claim().statement
    shorter = tuple(hashed for hashed in statement.leaves if hashed != leaf_hash(PROMISED))
    assert "map's root" in rejected(case.claim(statement=replace(statement, leaves=shorter)))


@pytest.mark.parametrize("time", [NOW, DEADLINE - 1, DEADLINE])
def test_before_the_deadline_nothing_is_missed(time: int) -> None:
    """An epoch at the deadline itself does not prove it either."""
    assert "after the deadline" in rejected(broken(time=time).claim())


def test_the_receipt_must_be_the_platforms_for_this_leaf() -> None:
    """Another key, another log, another leaf, another deadline than was signed."""
    case, hashed = broken(), leaf_hash(PROMISED)
    assert verdict(case.claim()).outcome is Outcome.PROVEN
    for receipt in (
        make_receipt(LOG.name, hashed, NOW, OTHER.sign),
        make_receipt("example.com/log", hashed, NOW, KEY.sign),
        make_receipt(LOG.name, leaf_hash(KEPT), NOW, KEY.sign),
        {**case.receipt, "deadline": DEADLINE - 1000},
        sign(case.receipt, "example.org", "ed25519:other", OTHER.sign),
        sign(case.receipt, "example.com", KEY_ID, OTHER.sign),
    ):
        rejected(case.claim(receipt=receipt))


def test_the_receipt_key_must_be_named_in_the_log() -> None:
    """A record that is not in the tree, or is another platform's, vouches for no key."""
    case = broken()
    sound = case.claim().platform
    assert "names a receipt key" in rejected(case.claim(platform=replace(sound, record=record(OTHER.public_key))))
    assert "names a receipt key" in rejected(case.claim(platform=replace(sound, index=1)))
    assert "names a receipt key" in rejected(case.claim(platform=replace(sound, hashes=sound.hashes[:-1])))
    elsewhere = broken(made=record(server_name="example.com"))
    assert "example.com" in rejected(elsewhere.claim())
    notice = broken(made=record() | {"kind": "notice"})
    assert "names a receipt key" in rejected(notice.claim())


def test_the_statement_must_be_about_the_leafs_own_key() -> None:
    """That something is missing elsewhere says nothing."""
    case = broken()
    other = private_leaf(week_of(NOW) + 1, LABEL, b"\x01" * 32)
    key = map_key_of_bytes(other)
    assert key is not None
    assert "the key of the promised leaf" in rejected(case.claim(statement=case.log.statement(key)))


def test_the_tree_must_be_cosigned_by_the_pinned_quorum() -> None:
    """What the log alone signed, or strangers cosigned, is not held against anybody."""
    case = broken()
    for cosigners in ((), (STRANGER,)):
        found = verdict(case.claim(tree=case.log.tree_proof(cosigners=cosigners)))
        assert (found.outcome, found.details["error"]) == (Outcome.REJECTED, "Unwitnessed")


def test_a_public_leaf_gets_no_receipt() -> None:
    """Receipts are for private leaves; a file about another leaf is malformed."""
    members = json.loads(broken().claim().encode())
    for leaf in (leaf_of(record()), PROMISED[:-1], b"\x02" + PROMISED[1:], b"\x01\xff\xff" + PROMISED[3:]):
        data = encode(members | {"leaf": b64url(leaf)})
        assert evidence.check(data, POLICY, SECONDS).details["error"] == "MalformedEvidence"


def mutations(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every leaf of a JSON value, changed in several ways, and every member left out, doubled or of another kind."""
    if isinstance(value, dict):
        for name in value:
            for where, changed in mutations(value[name], (*path, name)):
                yield where, {**value, name: changed}
            yield (*path, name, "left out"), {key: kept for key, kept in value.items() if key != name}
        yield (*path, "one more"), {**value, "more": 1}
        return
    if isinstance(value, list):
        for at, item in enumerate(value):
            for where, changed in mutations(item, (*path, at)):
                yield where, [*value[:at], changed, *value[at + 1 :]]
            yield (*path, at, "left out"), value[:at] + value[at + 1 :]
        yield (*path, "one more"), [*value, *(value[-1:] or ["AA"])]
        if len(value) > 1:
            yield (*path, "turned"), value[::-1]
        return
    yield from ((path, changed) for changed in _changed(value))


def _changed(value: Any) -> list[Any]:
    if isinstance(value, str):
        places = range(0, len(value), max(1, len(value) // 24))
        flipped = [value[:at] + ("B" if value[at] != "B" else "C") + value[at + 1 :] for at in places]
        return [*flipped, value[:-1], value + "A", value + "=", "", None, 0]
    if isinstance(value, int):
        return [value + 1, value - 1, -value - 1, str(value), True]
    return [1, "x"]


def test_no_mutation_of_a_sound_file_is_accepted() -> None:
    """Each field of each structure, changed, cut, lengthened, left out, doubled: never another proof."""
    sound = json.loads(broken().claim().encode())
    tried = 0
    for where, changed in mutations(sound):
        tried += 1
        found = evidence.check(encode(changed), POLICY, SECONDS)
        assert found.outcome is Outcome.REJECTED, where
    assert tried > 300
    assert evidence.check(encode(sound), POLICY, SECONDS).outcome is Outcome.PROVEN


def test_a_file_is_bound_to_its_spelling() -> None:
    """Spaces, another order and a last newline are other files, and none of them is read."""
    data = broken().claim().encode()
    assert evidence.check(data, POLICY, SECONDS).holds
    for other in (data + b"\n", json.dumps(json.loads(data)).encode(), data.replace(b'{"kind"', b'{ "kind"', 1)):
        assert not evidence.check(other, POLICY, SECONDS).holds


def test_what_parses_is_written_back_the_same() -> None:
    """There is one file for each claim."""
    data = broken().claim().encode()
    assert MissedDeadline.parse(envelope.read(data)).encode() == data


def test_what_is_wrong_is_told_for_people() -> None:
    """The error says what it means."""
    with pytest.raises(BadPromise) as raised:
        broken(time=NOW).claim().verify(POLICY, SECONDS)
    assert "Nothing is shown against the platform" in raised.value.diagnostics()
