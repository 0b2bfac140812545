"""Proofs of a cosigned tree and of all that lies under a key of its map: what holds, and every way not to."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from paraph.audit.errors import BadStatement, BadTreeProof, LogError, MalformedEvidence, StaleTree, Unwitnessed
from paraph.audit.statement import KeyStatement, TreeProof, bytes_of, hex_of, list_of, number_of, text_of
from paraph.protocol.entry import epoch_leaf, private_leaf
from paraph.protocol.map_key import private_map_key
from paraph.tlog import proof
from paraph.tlog.note import Signer
from tests.audit.logs import private
from tests.audit.witnessed import AUDITOR, COSIGNERS, LOG, POLICY, STRANGER, WITNESSES, WitnessedLog

TIME = 1_760_000_000_000
NOW = TIME // 1000
LABEL = bytes(32)
SAME = [private_leaf(2900, LABEL, bytes([n]) * 32) for n in range(5)]
KEY = private_map_key(2900, LABEL)
NOTHING = private_map_key(2900, bytes([1]) * 32)
LEAVES = [private(n) for n in range(20)]


@pytest.fixture(scope="module")
def log() -> WitnessedLog:
    """Two epochs; five leaves lie under one label."""
    return WitnessedLog().epoch([*LEAVES[:7], *SAME[:2]], TIME - 60_000).epoch([*SAME[2:], *LEAVES[7:]], TIME)


def test_a_tree_and_what_lies_under_its_keys(log: WitnessedLog) -> None:
    """The epoch leaf of a cosigned tree leads to the map, and the map says what is there and what is not."""
    tree = log.tree_proof().verify(POLICY, NOW, 600)
    assert (tree.size, tree.root) == (len(log.leaves), log.tree().root())
    assert (tree.epoch.n, tree.epoch.time, tree.cosigned.time) == (1, TIME, NOW)
    found = log.statement(KEY)
    assert len(found.leaves) == 5
    found.verify(tree.map_root)
    log.statement(NOTHING).verify(tree.map_root)
    assert log.statement(NOTHING).leaves == ()


def test_both_have_one_form_as_json(log: WitnessedLog) -> None:
    """What is rendered is read back as the same value."""
    for shown in (log.statement(KEY), log.statement(NOTHING)):
        assert KeyStatement.parse(shown.rendered) == shown
    assert TreeProof.parse(log.tree_proof().rendered) == log.tree_proof()


@pytest.mark.parametrize("cosigners", [(), COSIGNERS[:2], (WITNESSES[0], AUDITOR), (WITNESSES[0], STRANGER, AUDITOR)])
def test_without_the_quorum_nothing_is_proven(log: WitnessedLog, cosigners: tuple[Any, ...]) -> None:
    """No cosignature, no auditor's, one witness alone or beside a stranger."""
    with pytest.raises(Unwitnessed):
        log.tree_proof(cosigners=cosigners).verify(POLICY, NOW)


def test_age_is_asked_of_the_quorum(log: WitnessedLog) -> None:
    """Evidence may be old; what must be fresh says how fresh."""
    old = log.tree_proof(at=NOW - 601)
    with pytest.raises(StaleTree):
        old.verify(POLICY, NOW, 600)
    assert old.verify(POLICY, NOW).cosigned.time == NOW - 601


def test_another_logs_tree_is_refused(log: WitnessedLog) -> None:
    """Also one of the same name under another key, cosigned by everybody."""
    for other in (Signer(LOG.name, sha256(b"other").digest()), Signer("other.example/log", LOG.seed)):
        with pytest.raises(BadTreeProof):
            log.tree_proof(log=other).verify(POLICY, NOW)


def rebuilt(shown: TreeProof, change: Callable[[proof.Proof], proof.Proof]) -> TreeProof:
    """The proof with another bundle."""
    return replace(shown, bundle=change(proof.parse(shown.bundle)).encode())


def test_only_the_last_leaf_closes_a_tree(log: WitnessedLog) -> None:
    """An earlier epoch leaf, a leaf that is none, another size, map root or time: none is believed."""
    shown, (first, _) = log.tree_proof(), log.epochs[0]
    earlier = tuple(log.tree().inclusion_proof(first - 1, len(log.leaves)))
    moved = rebuilt(shown, lambda it: replace(it, index=first - 1, hashes=earlier))
    wrong = [
        replace(moved, epoch_leaf=log.leaves[first - 1]),
        replace(shown, epoch_leaf=log.leaves[first - 1]),
        replace(shown, epoch_leaf=SAME[0]),
        replace(shown, epoch_leaf=b""),
        replace(shown, epoch_leaf=epoch_leaf(1, first, None, TIME)),
        replace(shown, epoch_leaf=shown.epoch_leaf + b" "),
        replace(
            rebuilt(shown, lambda it: replace(it, index=first - 1, hashes=earlier)), epoch_leaf=log.leaves[first - 1]
        ),
        rebuilt(shown, lambda it: replace(it, index=it.index - 1)),
        rebuilt(shown, lambda it: replace(it, hashes=it.hashes[:-1])),
        rebuilt(shown, lambda it: replace(it, hashes=it.hashes[::-1])),
        rebuilt(shown, lambda it: replace(it, extra=b"a note")),
        replace(shown, bundle=shown.bundle + b"\n"),
        replace(shown, bundle=b""),
    ]
    for proof_of_other in wrong:
        with pytest.raises(BadTreeProof):
            proof_of_other.verify(POLICY, NOW)


def test_an_epoch_without_a_map_proves_no_key() -> None:
    """A log that began without a map has trees, but nothing to ask them."""
    log = WitnessedLog().epoch([], TIME)
    log.leaves[-1] = epoch_leaf(0, 0, None, TIME)
    with pytest.raises(BadTreeProof, match="map root"):
        _ = log.tree_proof().verify(POLICY, NOW).map_root


def test_a_statement_is_exact(log: WitnessedLog) -> None:
    """One leaf fewer, more, exchanged, in another order, under another key or root; presence for absence and back."""
    root = log.tree_proof().verify(POLICY, NOW).map_root
    there, absent = log.statement(KEY), log.statement(NOTHING)
    stranger = sha256(b"a leaf that nobody logged").digest()
    wrong = [
        replace(there, leaves=there.leaves[:-1]),
        replace(there, leaves=there.leaves[1:]),
        replace(there, leaves=(*there.leaves, stranger)),
        replace(there, leaves=(stranger, *there.leaves[1:])),
        replace(there, leaves=there.leaves[::-1]),
        replace(there, leaves=()),
        replace(there, leaves=(), proof=absent.proof),
        replace(there, key=NOTHING),
        replace(there, proof=there.proof[:-33]),
        replace(there, proof=there.proof + bytes(33)),
        replace(there, proof=b""),
        replace(absent, key=KEY),
        replace(absent, leaves=(stranger,)),
        replace(absent, proof=b"\x02"),
    ]
    for statement in wrong:
        with pytest.raises(BadStatement):
            statement.verify(root)
    for statement in (there, absent):
        with pytest.raises(BadStatement):
            statement.verify(sha256(b"another map").digest())


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("key", "A" * 64),
        ("key", "a" * 63),
        ("key", "a" * 62 + " a"),
        ("key", None),
        ("leaves", None),
        ("leaves", {}),
        ("leaves", ["short"]),
        ("leaves", [None]),
        ("leaves", ["A" * 42 + "B"]),
        ("leaves", ["A" * 43 + "="]),
        ("proof", None),
        ("proof", "Ag=="),
        ("proof", "A" * 20_000),
        ("more", 1),
    ],
)
def test_other_spellings_of_a_statement_are_refused(log: WitnessedLog, member: str, value: object) -> None:
    """Upper-case hex, padding, spare bits, other types, members that nobody knows."""
    document = log.statement(KEY).rendered | {member: value}
    with pytest.raises(MalformedEvidence):
        KeyStatement.parse(document)


@pytest.mark.parametrize("parse", [KeyStatement.parse, TreeProof.parse])
@pytest.mark.parametrize("document", [None, [], "text", {}, {"bundle": 1, "epoch_leaf": ""}, {"bundle": "\ud800"}])
def test_other_documents_are_refused(parse: Callable[[object], object], document: object) -> None:
    """Neither reads what is no object with just its members."""
    with pytest.raises(LogError):
        parse(document)


def test_signatures_that_the_policy_cannot_judge(log: WitnessedLog) -> None:
    """A live checkpoint may carry a stranger's; evidence leaves it out, and refuses it where it stands."""
    shown = log.tree_proof(cosigners=(*COSIGNERS, STRANGER))
    tree = shown.verify(POLICY, NOW)
    with pytest.raises(BadTreeProof, match="stranger"):
        shown.refuse_strangers(POLICY)
    trimmed = shown.without_strangers(POLICY)
    trimmed.refuse_strangers(POLICY)
    assert trimmed == log.tree_proof()
    assert trimmed.verify(POLICY, NOW) == tree
    with pytest.raises(BadTreeProof):
        log.tree_proof(log=Signer("other.example/log", LOG.seed), cosigners=()).without_strangers(POLICY)
    for broken in (replace(shown, bundle=b""), rebuilt(shown, lambda it: replace(it, checkpoint=b"no note"))):
        with pytest.raises(BadTreeProof):
            broken.refuse_strangers(POLICY)
        with pytest.raises(BadTreeProof):
            broken.without_strangers(POLICY)


def test_an_epoch_leaf_cannot_begin_behind_itself(log: WitnessedLog) -> None:
    """The tree before it, which it names, is smaller than its own: signed and cosigned, it is refused all the same."""
    wrong = WitnessedLog()
    wrong.leaves = [*log.leaves[:-1], epoch_leaf(1, len(log.leaves), None, TIME)]
    wrong.epochs = log.epochs
    with pytest.raises(BadTreeProof, match="prev_size"):
        wrong.tree_proof().verify(POLICY, NOW)


@pytest.mark.parametrize(
    "read",
    [
        lambda: list_of([1, 2, 3], 2, "a list"),
        lambda: text_of("abc", 2, "a text"),
        lambda: number_of(3, 2, "a number"),
        lambda: number_of(-1, 2, "a number"),
        lambda: number_of(True, 2, "a number"),
        lambda: number_of(1.0, 2, "a number"),
        lambda: hex_of("ab" * 31, "a key"),
        lambda: hex_of("", "a key"),
        lambda: hex_of("ab" * 33, "a key"),
        lambda: bytes_of("AAAA", "some bytes", limit=2),
    ],
)
def test_members_have_bounds(read: Callable[[], object]) -> None:
    """One item, character or byte too many, a number outside, or another type."""
    with pytest.raises(MalformedEvidence):
        read()
    assert (list_of([1], 1, ""), text_of("a", 1, ""), number_of(2, 2, "")) == ([1], "a", 2)
