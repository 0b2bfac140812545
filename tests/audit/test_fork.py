"""A fork is proven by the log's own signatures, and by nothing else."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

import pytest

from paraph.audit import envelope, evidence
from paraph.audit.errors import MalformedEvidence
from paraph.audit.fork import Fork, NoFork
from paraph.audit.verdict import Outcome
from paraph.tlog.note import Signer
from tests.audit.logs import private
from tests.audit.witnessed import COSIGNERS, LOG, POLICY, STRANGER, WitnessedLog

TIME = 1_760_000_000_000


def log_of(*numbers: int) -> WitnessedLog:
    """A log of two epochs, the second with these leaves."""
    return WitnessedLog().epoch([private(1), private(2)], TIME).epoch([private(number) for number in numbers], TIME + 1)


def grown(log: WitnessedLog) -> WitnessedLog:
    """The log with one epoch more."""
    more = WitnessedLog()
    more.leaves, more.epochs = [*log.leaves], [*log.epochs]
    return more.epoch([private(20), private(21)], TIME + 2)


def fork_of(older: WitnessedLog, newer: WitnessedLog, *, log: Signer = LOG) -> Fork:
    """What a reader who saw both makes of them."""
    size, tree = len(older.leaves), newer.tree()
    proof = tuple(tree.consistency_proof(size, len(newer.leaves)))
    return Fork(older.checkpoint(), newer.checkpoint(log=log), tree.root(size), proof)


SAME_SIZE = fork_of(log_of(3), log_of(4))
OTHER_SIZES = fork_of(log_of(3), grown(log_of(4)))


@pytest.mark.parametrize("fork", [SAME_SIZE, OTHER_SIZES], ids=["one size", "two sizes"])
def test_a_fork_is_proven(fork: Fork) -> None:
    """Two trees of one size, or a larger one that does not begin with the smaller."""
    verdict = evidence.check(fork.evidence, POLICY, 0)
    assert (verdict.kind, verdict.outcome) == ("fork", Outcome.PROVEN)
    assert "example.org/log signed two histories: for its first 5 leaves" in verdict.summary
    assert verdict.details["older"]["cosigned_by"] == ["auditor", "w0", "w1"]
    assert Fork.parse(envelope.read(fork.evidence)) == fork


def test_signatures_that_the_policy_cannot_judge_are_left_out() -> None:
    """And refused where they stand: nobody would notice damage in them."""
    older = log_of(3).checkpoint(cosigners=(*COSIGNERS, STRANGER))
    shown = replace(SAME_SIZE, older=older)
    with pytest.raises(NoFork):
        shown.verify(POLICY)
    assert shown.for_policy(POLICY) == SAME_SIZE
    with pytest.raises(NoFork):
        replace(SAME_SIZE, older=b"no note").for_policy(POLICY)


def test_what_is_no_fork_is_rejected() -> None:
    """A log that grew, one tree twice, another log's checkpoint, the wrong order, a proof of another root."""
    other = Signer("other.example/log", LOG.seed)
    impostor = Signer(LOG.name, sha256(b"impostor").digest())
    honest = fork_of(log_of(3), grown(log_of(3)))
    wrong = [
        honest,
        fork_of(log_of(3), log_of(3)),
        fork_of(log_of(3), log_of(4), log=other),
        fork_of(log_of(3), log_of(4), log=impostor),
        replace(honest, root=OTHER_SIZES.root),
        replace(honest, root=OTHER_SIZES.root, proof=OTHER_SIZES.proof),
        replace(honest, root=bytes(32), proof=()),
        replace(OTHER_SIZES, older=OTHER_SIZES.newer, newer=OTHER_SIZES.older),
        replace(OTHER_SIZES, proof=OTHER_SIZES.proof[:-1]),
        replace(SAME_SIZE, proof=(bytes(32),)),
        replace(SAME_SIZE, root=bytes(32)),
        replace(SAME_SIZE, newer=b"\n"),
    ]
    for shown in wrong:
        assert evidence.check(shown.evidence, POLICY, 0).outcome is Outcome.REJECTED
        with pytest.raises(NoFork):
            shown.verify(POLICY)


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it | {"more": 1},
        lambda it: it | {"older": 1},
        lambda it: it | {"older": "x" * 70_000},
        lambda it: it | {"root": None},
        lambda it: it | {"proof": {}},
        lambda it: it | {"proof": ["A" * 43] * 64},
        lambda it: {name: value for name, value in it.items() if name != "newer"},
    ],
)
def test_other_documents_are_refused(change: Callable[[dict[str, object]], dict[str, object]]) -> None:
    """Members that nobody knows, are missing, of other types or beyond their bounds."""
    with pytest.raises(MalformedEvidence):
        Fork.parse(change(envelope.read(OTHER_SIZES.evidence)))


def test_one_flipped_bit_is_noticed() -> None:
    """In every byte, at some bit of it."""
    data = OTHER_SIZES.evidence
    for bit in range(0, 8 * len(data), 7):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        assert evidence.check(bytes(damaged), POLICY, 0).outcome is Outcome.REJECTED, bit
