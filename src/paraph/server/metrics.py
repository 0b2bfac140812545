"""`GET /metrics`: what this process knows of itself, in Prometheus' text format. No label names a person.

Whatever a request would have to pay for is counted in plain integers where it happens, and turned into metrics here,
when somebody asks.
"""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from paraph import __version__
from paraph.server.http import Access, Endpoint, Reply, Request
from paraph.server.ledger.metrics import LogState
from paraph.server.ledger.service import Ledger
from paraph.server.storage import Database

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
Answered = Mapping[tuple[str, str, int], int]
"""Requests by method, path of the endpoint (with its variables unfilled) and status."""


class Metrics:
    """Collects from the rooms of one process."""

    def __init__(
        self, ledger: Ledger, database: Database, answered: Callable[[], Answered], clock: Callable[[], int]
    ) -> None:
        """`answered` gives the requests so far, `clock` ms."""
        self._ledger = ledger
        self._database = database
        self._answered = answered
        self._clock = clock
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)

    async def scrape(self, _request: Request) -> Reply:
        """All metrics."""
        state = await self._database.read(self._ledger.state)
        registry = CollectorRegistry()
        registry.register(_Now([*self._of_log(state), *self._of_storage(), self._requests(), *_build()]))
        parts = (registry, self._ledger.metrics.registry, self._process)
        return Reply(200, b"".join(map(generate_latest, parts)), CONTENT_TYPE)

    def _of_log(self, state: LogState) -> Iterator[Metric]:
        now = self._clock()
        oldest = 0.0 if state.oldest_waiting is None else max(0.0, (now - state.oldest_waiting) / 1000)
        yield _gauge("paraph_log_size", "Leaves under the newest published checkpoint", state.size)
        yield _gauge("paraph_log_waiting_leaves", "Recorded leaves that no checkpoint covers yet", state.waiting)
        yield _gauge("paraph_log_oldest_waiting_seconds", "How long the oldest of them has waited; 0 for none", oldest)
        if state.published:
            age = (now - state.published) / 1000
            yield _gauge("paraph_log_published_age_seconds", "Age of the newest published tree", age)
        yield _gauge("paraph_log_leader", "1 in the process that writes the log", state.leads)
        yield _gauge("paraph_log_stopped", "1 when the log has stopped and a person must look", state.stopped)
        if state.labels is not None:
            yield _gauge("paraph_map_labels", "Keys of the verifiable map", state.labels)

    def _of_storage(self) -> Iterator[Metric]:
        load, lag = self._database.load, self._database.lag
        yield _gauge("paraph_storage_queue", "Writes that wait for a batch", load.queued)
        yield _gauge("paraph_storage_lag_seconds", "Since when others' commits may be unknown here", lag)
        sizes = HistogramMetricFamily("paraph_storage_batch_writes", "Writes that shared one commit")
        below, buckets = 0, []
        for bits, count in enumerate(load.batches):
            below += count
            buckets.append((str(float(2**bits - 1)), float(below)))
        sizes.add_metric([], [*buckets[1:], ("+Inf", float(below))], sum_value=float(load.written))
        yield sizes

    def _requests(self) -> Metric:
        found = CounterMetricFamily("paraph_http_requests", "Requests answered", labels=["method", "path", "status"])
        for (method, path, status), count in sorted(self._answered().items()):
            found.add_metric([method, path, str(status)], count)
        return found


class _Now:
    """What was collected already."""

    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        return self._metrics


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))


def _build() -> Iterator[Metric]:
    found = GaugeMetricFamily("paraph_build", "1, with the version that runs", labels=["version"])
    found.add_metric([__version__], 1.0)
    yield found


def endpoints(metrics: Metrics) -> list[Endpoint]:
    """The endpoint; not for the public: how many people there are, and when they are awake, can be read off it."""
    return [Endpoint("GET", "/metrics", Access.OPERATOR, metrics.scrape, "Metrics of this process (Prometheus)")]
