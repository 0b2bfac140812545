"""What the sequencer counts and times, in a registry of this process's own."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

STAGES = ("stage", "write", "sign", "keep", "map", "witness", "publish", "mark")
"""Fix the batch on disk; write its tiles; sign the tree; move the head; keep the map; the round of witnesses; publish
the checkpoint; tell the database."""
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class LedgerMetrics:
    """Counters and times of the process that writes the log; all zero in the others."""

    def __init__(self) -> None:
        self.registry = mine = CollectorRegistry()
        self._batches = Counter("paraph_log_batches", "Batches published", registry=mine)
        self._leaves = Counter("paraph_log_leaves", "Leaves published, epoch leaves included", registry=mine)
        self._failed = Counter("paraph_log_failed_batches", "Batches tried again after an error", registry=mine)
        self._epoch = Gauge("paraph_log_epoch", "Number of the newest epoch published here", registry=mine)
        self._stages = Histogram(
            "paraph_log_stage_seconds", "Time of one stage of a batch", ["stage"], registry=mine, buckets=_SECONDS
        )
        self._witnesses = Counter(
            "paraph_log_witness_failures", "Rounds in which a witness did not cosign", ["witness"], registry=mine
        )
        for stage in STAGES:
            self._stages.labels(stage)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Take the time of a stage; one that failed counts as well."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._stages.labels(stage).observe(time.perf_counter() - began)

    def published(self, leaves: int, epoch: int) -> None:
        """A batch of so many leaves is under a published checkpoint."""
        self._batches.inc()
        self._leaves.inc(leaves)
        self._epoch.set(epoch)

    def failed(self) -> None:
        """A batch is tried again."""
        self._failed.inc()

    def watch(self, witness: str) -> None:
        """A witness of the policy by its name there: shown from the beginning, with no failure."""
        self._witnesses.labels(witness)

    def witness_failed(self, witness: str) -> None:
        """A witness did not cosign in a round."""
        self._witnesses.labels(witness).inc()


@dataclass(frozen=True, slots=True)
class LogState:
    """The log as this process sees it now; times in ms, None where there is nothing of the kind."""

    size: int
    waiting: int
    oldest_waiting: int | None
    published: int
    leads: bool
    stopped: bool
    labels: int | None
