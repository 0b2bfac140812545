"""A device's view of the log: proofs before belief, and a fork is remembered for good."""

from __future__ import annotations

import copy
from collections.abc import Awaitable
from typing import Any

import httpx
import pytest

from paraph.protocol.entry import epoch_leaf, private_leaf
from paraph.protocol.map_key import private_map_key
from paraph.sdk.errors import ForkDetectedError, LogError
from paraph.sdk.keystore import MemoryStore, Records
from paraph.sdk.log.view import PAUSE, LogView
from paraph.sdk.transport import Transport
from paraph.tlog import note
from paraph.tlog import policy as policies
from paraph.tlog.cosignature import CosignatureSigner
from paraph.tlog.merkle import leaf_hash, verify_consistency
from paraph.tlog.note import Signer
from paraph.tlog.tiles import ENTRIES, Tile, encode_entries
from tests.support.published_log import KEY, POLICY, WITNESS, PublishedLog

NOW = 5000


def leaf(number: int) -> bytes:
    """Any private leaf."""
    return private_leaf(1, number.to_bytes(32, "big"), bytes(32))


def view_of(
    log: PublishedLog, records: Records | None = None, *, now: int = NOW, policy: str | None = POLICY
) -> LogView:
    """A device that reads this log, by its own clock (ms)."""
    client = httpx.AsyncClient(transport=httpx.MockTransport(log))
    transport = Transport("http://platform", client=client, sleep=_no_wait)
    return LogView(transport, records or Records(MemoryStore()), KEY.verifier.vkey, policy, lambda: now)


async def _no_wait(_seconds: float) -> None:
    return None


async def refused(call: Awaitable[Any], error: type[LogError]) -> None:
    """The call raises exactly this error."""
    with pytest.raises(LogError) as caught:
        await call
    assert type(caught.value) is error


@pytest.mark.parametrize("sizes", [[1, 1, 1], [5, 300, 2], [255, 1, 600]])
async def test_every_checkpoint_is_followed_and_every_leaf_proven(sizes: list[int]) -> None:
    """A log that grows is followed, with the time of its newest epoch, and what is in it can be proven."""
    log = PublishedLog()
    view = view_of(log)
    number = 0
    for step, size in enumerate(sizes):
        leaves = [leaf(number + n) for n in range(size)]
        number += size
        log.publish(*leaves, time=1000 + step)
        assert (await view.refresh()).epoch.time == 1000 + step
        for wanted in (leaves[0], leaves[-1]):
            await view.prove(wanted)


async def test_a_leaf_is_proven_once() -> None:
    """A proven leaf costs no further request."""
    log = PublishedLog()
    view = view_of(log)
    log.publish(leaf(1))
    await view.prove(leaf(1))
    asked = len(log.requests)
    await view.prove(leaf(1))
    assert len(log.requests) == asked


async def test_absent_leaf_is_refused() -> None:
    """What is not in the log is not proven, whatever index the platform names."""
    log = PublishedLog()
    view = view_of(log)
    log.publish(leaf(1), leaf(2))
    await refused(view.prove(leaf(3)), LogError)
    log.leaves[0] = leaf(3)
    await refused(view.prove(leaf(3)), LogError)


async def test_fork_is_detected_and_remembered() -> None:
    """Two signed histories that do not extend each other stop sharing, also after a restart and a return."""
    honest, forked = PublishedLog(), PublishedLog()
    records = Records(MemoryStore())
    honest.publish(leaf(1))
    await view_of(honest, records).refresh()
    forked.publish(leaf(2))
    forked.publish(leaf(3))
    await refused(view_of(forked, records).refresh(), ForkDetectedError)
    await refused(view_of(honest, records).refresh(), ForkDetectedError)


async def test_fork_at_the_same_size_is_detected() -> None:
    """Two roots for one size are a fork."""
    honest, forked = PublishedLog(), PublishedLog()
    records = Records(MemoryStore())
    honest.publish(leaf(1))
    forked.publish(leaf(2))
    await view_of(honest, records).refresh()
    await refused(view_of(forked, records).refresh(), ForkDetectedError)


async def test_broken_tiles_are_no_fork() -> None:
    """A damaged file makes the log unusable for now, not for good."""
    log = PublishedLog()
    view = view_of(log)
    log.publish(leaf(1))
    await view.refresh()
    log.publish(leaf(2), leaf(3))
    path = Tile(0, 0, log.edge.size).path
    sound = log.files[path]
    log.files[path] = bytes([sound[0] ^ 1]) + sound[1:]
    await refused(view.refresh(), LogError)
    log.files[path] = sound
    assert (await view.refresh()).size == log.edge.size


async def test_older_checkpoint_is_refused_without_calling_it_a_fork() -> None:
    """A platform that shows yesterday's checkpoint is not believed, nor condemned."""
    log = PublishedLog()
    view = view_of(log)
    log.publish(leaf(1))
    old = log.files["checkpoint"]
    log.publish(leaf(2))
    new = log.files["checkpoint"]
    await view.refresh()
    log.files["checkpoint"] = old
    await refused(view.refresh(), LogError)
    log.files["checkpoint"] = new
    await view.refresh()


async def test_foreign_signature_is_refused() -> None:
    """A checkpoint that the pinned key did not sign says nothing."""
    log = PublishedLog()
    log.publish(leaf(1))
    text, (_, cosignature) = note.parse(log.files["checkpoint"])
    _, own = note.parse(note.sign(text, [Signer.generate(KEY.name)]))
    log.files["checkpoint"] = note.encode(text, [*own, cosignature])
    await refused(view_of(log).refresh(), LogError)


async def test_tree_must_end_with_an_epoch() -> None:
    """The time of a checkpoint comes from its own last leaf, proven like any other."""
    log = PublishedLog()
    log.publish(leaf(1), time=5)
    bundle = Tile(ENTRIES, 0, 2).path
    log.files[bundle] = encode_entries([leaf(1), epoch_leaf(9, 0, None, 10**9)])
    await refused(view_of(log).refresh(), LogError)
    lone = PublishedLog()
    lone.edge.append([leaf_hash(leaf(1))])
    lone.files = {Tile(ENTRIES, 0, 1).path: encode_entries([leaf(1)]), Tile(0, 0, 1).path: leaf_hash(leaf(1))}
    lone.cosign(NOW)
    await refused(view_of(lone).refresh(), LogError)


async def test_partial_tile_that_is_gone_is_cut_from_the_full_one() -> None:
    """A log may drop partial tiles once the full one exists."""
    log = PublishedLog()
    view = view_of(log)
    log.publish(*(leaf(n) for n in range(100)), time=NOW)
    head = log.files["checkpoint"]
    log.publish(*(leaf(100 + n) for n in range(300)))
    log.files = {path: data for path, data in log.files.items() if ".p/" not in path}
    log.files["checkpoint"] = head
    assert (await view.refresh()).size == 101
    await view.prove(leaf(50))


# The witnesses' quorum


async def test_checkpoint_without_a_quorum_is_refused() -> None:
    """The log's own signature proves nothing to a device; nor does that of a witness nobody pinned."""
    log = PublishedLog()
    log.witnesses = ()
    log.publish(leaf(1))
    await refused(view_of(log).refresh(), LogError)
    log.witnesses = (CosignatureSigner.generate(WITNESS.name),)
    log.cosign(NOW)
    await refused(view_of(log).refresh(), LogError)
    log.witnesses = (WITNESS,)
    log.cosign(NOW)
    await view_of(log).refresh()


async def test_log_without_a_policy_proves_nothing() -> None:
    """A device that pinned no policy believes nothing, without asking for anything."""
    log = PublishedLog()
    log.publish(leaf(1))
    view = view_of(log, policy=None)
    await refused(view.refresh(), LogError)
    await refused(view.statements([bytes(32)]), LogError)
    assert log.requests == []


@pytest.mark.parametrize("policy", ["", "quorum none\n", f"log {Signer.generate('other/log').verifier.vkey}\n{POLICY}"])
def test_policy_that_is_none_is_refused(policy: str) -> None:
    """Neither a text that is no policy nor one for another log is taken."""
    with pytest.raises(LogError):
        view_of(PublishedLog(), policy=policy)


@pytest.mark.parametrize(
    ("epoch", "cosigned", "believed"),
    [
        (0, 0, True),
        (-600, 0, True),
        (-601, 0, False),
        (-590, -600, True),
        (0, -601, False),
        (60, 60, True),
        (61, 61, False),
        (60, 0, True),
        (61, 0, False),
    ],
)
async def test_age_of_epoch_and_cosignatures(epoch: int, cosigned: int, believed: bool) -> None:
    """Both are at most ten minutes old and at most a minute ahead, seconds from this device's clock."""
    now = 1_000_000_000
    log = PublishedLog()
    log.publish(leaf(1), time=now + 1000 * epoch, cosigned=now + 1000 * cosigned)
    view = view_of(log, now=now)
    if believed:
        assert (await view.refresh()).epoch.time == now + 1000 * epoch
        assert view.time == max(now, now + 1000 * cosigned)
    else:
        await refused(view.refresh(), LogError)


async def test_clock_that_was_set_back_makes_nothing_young_again() -> None:
    """What was cosigned ten minutes before the newest cosignature ever seen is old, whatever the clock says now."""
    now = 1_000_000_000
    log, records = PublishedLog(), Records(MemoryStore())
    log.publish(leaf(1), time=now)
    old = copy.deepcopy(log)
    log.cosign(now + 550_000)
    await view_of(log, records, now=now + 550_000).refresh()
    old.cosign(now - 60_000)
    await refused(view_of(old, records, now=now).refresh(), LogError)
    assert view_of(log, records, now=now).time == now + 550_000


async def test_same_tree_cosigned_again_costs_one_request() -> None:
    """A heartbeat of the witnesses over a tree that is known is one small file."""
    log = PublishedLog()
    view = view_of(log)
    log.publish(leaf(1), time=NOW)
    await view.refresh()
    log.cosign(NOW + 1000)
    asked = len(log.requests)
    tree = await view.refresh()
    assert log.requests[asked:] == ["/log/checkpoint"]
    assert (tree.cosigned.time, tree.epoch.time) == ((NOW + 1000) // 1000, NOW)


async def test_fork_is_kept_with_both_notes() -> None:
    """At one size, two notes are the evidence; else a proof leads from what the larger tree has to its root."""
    honest, forked = PublishedLog(), PublishedLog()
    records = Records(MemoryStore())
    honest.publish(leaf(1))
    forked.publish(leaf(2))
    await view_of(honest, records).refresh()
    assert view_of(honest, records).fork is None
    await refused(view_of(forked, records).refresh(), ForkDetectedError)
    fork = view_of(honest, records).fork
    assert fork is not None
    assert (fork.older, fork.newer) == (honest.files["checkpoint"], forked.files["checkpoint"])
    assert (fork.root, fork.proof) == (forked.edge.root(), ())


async def test_older_branch_is_a_fork_as_well() -> None:
    """A smaller tree that the larger one does not begin with is another history, not an old checkpoint."""
    honest, forked = PublishedLog(), PublishedLog()
    records = Records(MemoryStore())
    honest.publish(leaf(1), leaf(2))
    forked.publish(leaf(3))
    view = view_of(honest, records)
    await view.refresh()
    forked.files |= {path: data for path, data in honest.files.items() if path != "checkpoint"}
    await refused(view_of(forked, records).refresh(), ForkDetectedError)
    fork = view.fork
    assert fork is not None
    assert (fork.older, fork.newer) == (forked.files["checkpoint"], honest.files["checkpoint"])
    verify_consistency(2, 3, fork.root, honest.edge.root(), fork.proof)


async def test_fork_without_a_quorum_is_a_fork() -> None:
    """The log's key signed both, whoever cosigned: that is enough to condemn it."""
    honest, forked = PublishedLog(), PublishedLog()
    records = Records(MemoryStore())
    honest.publish(leaf(1))
    forked.witnesses = ()
    forked.publish(leaf(2))
    await view_of(honest, records).refresh()
    await refused(view_of(forked, records).refresh(), ForkDetectedError)


# The map


def key(number: int) -> bytes:
    """The key of the map under which `leaf(number)` lies."""
    return private_map_key(1, number.to_bytes(32, "big"))


async def test_statements_tell_all_that_lies_under_keys() -> None:
    """Presence with every leaf and absence, for more keys than one request takes, under the newest tree believed."""
    log = PublishedLog()
    view = view_of(log)
    numbers = [number << 16 for number in range(150)]  # a key has the first 30 bytes of a label
    log.publish(*(leaf(number) for number in numbers[:100]))
    await view.refresh()
    found = await view.statements([key(number) for number in numbers])
    assert [len(asked) for asked in log.asked] == [64, 64, 22]
    for index, number in enumerate(numbers):
        assert found.leaves(key(number)) == ((leaf_hash(leaf(number)),) if index < 100 else ())
    assert found.tree.size == log.edge.size
    assert found.proof.verify(policies.parse(POLICY.encode()).for_log(KEY.verifier), NOW // 1000) == found.tree


async def test_fewer_keys_are_asked_where_they_hold_too_much() -> None:
    """The bound of one answer is the platform's; all keys are answered in the end."""
    log = PublishedLog()
    view = view_of(log)
    log.most_leaves = 3
    numbers = [number << 16 for number in range(10)]
    log.publish(*(leaf(number) for number in numbers))
    await view.refresh()
    found = await view.statements([key(number) for number in numbers])
    assert all(found.leaves(key(number)) for number in numbers)
    assert max(map(len, log.asked[2:])) <= 3


async def test_map_that_is_not_kept_is_asked_under_a_newer_tree() -> None:
    """The answer says under which tree it holds."""
    log = PublishedLog()
    view = view_of(log)
    log.publish(leaf(1))
    old = (await view.refresh()).size
    log.publish(leaf(2))
    del log.trees[old]
    found = await view.statements([key(0)])
    assert found.tree.size == log.edge.size
    log.trees.clear()
    await refused(view.statements([key(0)]), LogError)


@pytest.mark.parametrize("lie", ["leaf left out", "leaf added", "order", "other key", "absent", "shape", "too few"])
async def test_false_statement_is_refused(lie: str) -> None:
    """Whatever differs from what the map root commits to is no answer."""
    log = PublishedLog()
    view = view_of(log)
    log.publish(leaf(1), leaf(2), leaf(3 << 16))
    await view.refresh()
    honest = log.statement

    def statement(size: int, asked: str) -> Any:
        answer = honest(size, asked)
        leaves = answer["leaves"]
        changes: dict[str, Any] = {
            "leaf left out": {"leaves": leaves[1:]},
            "leaf added": {"leaves": [*leaves, leaves[0]]},
            "order": {"leaves": leaves[::-1]},
            "other key": honest(size, key(3 << 16).hex()),
            "absent": {"leaves": [], "proof": honest(size, key(9 << 16).hex())["proof"]},
            "shape": {"leaves": "none"},
        }
        return {**answer, **changes.get(lie, {})}

    log.statement = statement  # type: ignore[method-assign, assignment]
    if lie == "too few":
        log._map = lambda _body: httpx.Response(200, json={"answers": []})  # type: ignore[method-assign, assignment]
    await refused(view.statements([key(0)]), LogError)


async def test_process_that_has_not_heard_of_the_newest_tree_is_waited_for() -> None:
    """Of several processes one may lag behind the published checkpoint for a moment."""
    log, waits = PublishedLog(), list[float]()
    log.publish(leaf(1))
    trees, log.trees = log.trees, {}

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        log.trees = trees

    client = httpx.AsyncClient(transport=httpx.MockTransport(log))
    transport = Transport("http://platform", client=client, sleep=sleep)
    view = LogView(transport, Records(MemoryStore()), KEY.verifier.vkey, POLICY, lambda: NOW)
    tree = await view.refresh()
    found = await view.statements([key(0)])
    assert found.tree.size == tree.size
    assert waits == [PAUSE]
