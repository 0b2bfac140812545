"""Random logs, keys and histories: a proof shows its own statement and no other."""

from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from paraph.audit.errors import BadStatement, BadTreeProof
from paraph.audit.statement import KeyStatement
from paraph.protocol.entry import private_leaf
from paraph.protocol.map_key import private_map_key
from tests.audit.witnessed import POLICY, WitnessedLog

LABELS = [sha256(b"label %d" % number).digest() for number in range(6)]
KEYS = [private_map_key(week, label) for week in (2900, 2901) for label in LABELS]
TIME = 1_760_000_000_000

leaves = st.builds(
    private_leaf, st.sampled_from((2900, 2901)), st.sampled_from(LABELS[:4]), st.binary(min_size=32, max_size=32)
)
epochs = st.lists(st.lists(leaves, max_size=12), min_size=1, max_size=4)
MODEST = settings(max_examples=40)


def grown(history: list[list[bytes]]) -> list[WitnessedLog]:
    """The log after each of its epochs."""
    logs = []
    for count in range(1, len(history) + 1):
        log = WitnessedLog()
        for number, added in enumerate(history[:count]):
            log.epoch(added, TIME + 1000 * number)
        logs.append(log)
    return logs


@MODEST
@given(epochs, st.sampled_from(KEYS), st.sampled_from(KEYS))
def test_a_statement_is_true_of_its_key_and_map_only(history: list[list[bytes]], key: bytes, other: bytes) -> None:
    """Under each epoch's map a statement verifies exactly if it lists what lies under that key there."""
    logs = grown(history)
    for told in logs:
        statement = replace(told.statement(key), key=other)
        for asked in logs:
            if told.map().root == asked.map().root and told.under(key) == asked.under(other) and key == other:
                statement.verify(asked.map().root)
                continue
            try:
                statement.verify(asked.map().root)
            except BadStatement:
                continue
            assert list(statement.leaves) == asked.under(other)


@MODEST
@given(epochs, st.sampled_from(KEYS), st.data())
def test_a_statement_lists_all_leaves_in_their_order(
    history: list[list[bytes]], key: bytes, data: st.DataObject
) -> None:
    """One left out, one more, or another order is refused, with whichever proof of the map."""
    log = grown(history)[-1]
    honest = log.statement(key)
    listed = data.draw(st.lists(st.sampled_from([*honest.leaves, *log.under(KEYS[0]), bytes(32)]), max_size=8))
    assume(tuple(listed) != honest.leaves)
    for proof in {log.statement(other).proof for other in KEYS}:
        with pytest.raises(BadStatement):
            KeyStatement(key, tuple(listed), proof).verify(log.map().root)


@MODEST
@given(epochs)
def test_an_epoch_closes_its_own_tree_only(history: list[list[bytes]]) -> None:
    """The epoch leaf of one tree, under the proof and checkpoint of another, is refused."""
    logs = grown(history)
    now = TIME // 1000 + len(logs)
    for told in logs:
        assert told.tree_proof().verify(POLICY, now).size == len(told.leaves)
        for asked in logs:
            if told is not asked:
                with pytest.raises(BadTreeProof):
                    replace(asked.tree_proof(), epoch_leaf=told.leaves[-1]).verify(POLICY, now)
