"""The service's metrics: sums that the engine's reports and the HTTP room add to, rendered when somebody asks.

Everything here runs on the asyncio thread and takes no lock: a step costs a few additions, and rendering never waits for the
engine. A metric is declared in catalog.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from service.engine.requests import RequestRecord, StepStats
from service.errors import ServiceError
from service.telemetry.engine_families import engine_families, http_families
from service.telemetry.llama_server import LlamaServerTotals, llama_server_families
from service.telemetry.process import Process
from service.telemetry.totals import EngineView, Totals

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """The engine's Observer, and the web room's. One for each process."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._totals = Totals()
        self._llama_server = LlamaServerTotals()
        self._engine: EngineView | None = None
        self._process = Process()

    def watch(self, engine: EngineView) -> None:
        """Gauges are read from this engine from now on."""
        self._engine = engine

    def step(self, stats: StepStats) -> None:
        """Counts a step of the engine's loop. One without rows only tells that requests left."""
        totals = self._totals
        totals.cached += stats.reused_tokens
        totals.preemptions += stats.preemptions
        totals.evicted += stats.evicted_cells
        rows = stats.decode_rows + stats.prefill_rows
        if not rows:
            return
        totals.steps += 1
        totals.computed += stats.prefill_rows
        totals.generated += stats.sampled_tokens
        totals.decode_seconds += stats.decode_seconds
        totals.sample_seconds += stats.sample_seconds
        totals.saved += stats.saved_tokens
        totals.fetched += stats.fetched_tokens
        totals.save_seconds += stats.save_seconds
        totals.fetch_seconds += stats.fetch_seconds
        totals.own_seconds += stats.own_seconds
        totals.step_time.add(stats.seconds)
        totals.step_rows.add(rows)
        for gap in stats.token_gaps:
            totals.between_tokens.add(gap)
        self._llama_server.step(stats, self._clock())

    def ended(self, record: RequestRecord) -> None:
        """Counts a request that has left the engine."""
        totals = self._totals
        totals.outcomes[record.outcome] += 1
        totals.prompt_size.add(record.prompt_tokens)
        totals.generated_size.add(record.generated_tokens)
        if record.queue_seconds is not None:
            totals.queue.add(record.queue_seconds)
        if record.first_token_seconds is not None:
            totals.first_token.add(record.first_token_seconds)
            totals.duration.add(record.first_token_seconds + (record.generation_seconds or 0.0))
        self._llama_server.ended(record, self._clock())

    def http_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Counts an answer. `route` is the route's template, never the path that came."""
        known_method = method if method in METHODS else "other"
        self._totals.http[route, known_method, str(status)] += 1
        self._totals.http_time[route, known_method].add(seconds)

    def error(self, error: ServiceError) -> None:
        """Counts an error that a client was told."""
        self._totals.errors[error.label] += 1

    def render(self) -> tuple[bytes, str]:
        """The text for Prometheus and its content type."""
        return "".join(self._families()).encode(), CONTENT_TYPE_PLAIN_0_0_4

    def _families(self) -> Iterator[str]:
        """All families as they stand now."""
        yield from engine_families(self._totals, self._engine)
        yield from http_families(self._totals)
        yield from llama_server_families(self._llama_server, self._engine, self._clock())
        yield from self._process.families()
