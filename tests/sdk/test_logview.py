"""A device's view of the log: proofs before belief, and a fork is remembered for good."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import httpx
import pytest

from paraph.protocol.entry import epoch_leaf, private_leaf
from paraph.sdk.errors import ForkDetectedError, LogError
from paraph.sdk.keystore import MemoryStore, Records
from paraph.sdk.logview import LogView
from paraph.sdk.transport import Transport
from paraph.tlog import note
from paraph.tlog.merkle import leaf_hash
from paraph.tlog.note import Signer
from paraph.tlog.tiles import ENTRIES, Tile, encode_entries
from tests.support.published_log import KEY, POLICY, PublishedLog

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
