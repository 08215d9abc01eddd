"""llama-server's own metrics, so that its dashboards go on working.

Names and meanings are those of tools/server/server-task.cpp (`to_metrics`). One thing differs: the two rates there are since the
last scrape, so that two scrapers spoil each other's; here they are over the last minute, and reading changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from service.engine.requests import RequestRecord, StepStats
from service.telemetry import catalog
from service.telemetry.distribution import Window
from service.telemetry.totals import EngineView


class LlamaServerTotals:
    """What llama-server counts differently from us."""

    def __init__(self) -> None:
        self.prompt_tokens = 0
        self.cached_tokens = 0
        self.prompt_seconds = 0.0
        self.predicted = 0
        self.predicted_seconds = 0.0
        self.decodes = 0
        self.busy = 0
        self.longest = 0
        self.prompt_rate = Window()
        self.predicted_rate = Window()

    def step(self, stats: StepStats, now: float) -> None:
        """A step with rows."""
        self.decodes += 1
        self.busy += stats.running
        self.cached_tokens += stats.reused_tokens
        if stats.prefill_rows:
            self.prompt_tokens += stats.prefill_rows
            self.prompt_seconds += stats.decode_seconds
            self.prompt_rate.add(stats.prefill_rows, stats.decode_seconds, now)

    def ended(self, record: RequestRecord, now: float) -> None:
        """A request that has ended. Its first token came with the prompt, so it is not counted in the rate."""
        self.longest = max(self.longest, record.prompt_tokens + record.generated_tokens)
        self.predicted += record.generated_tokens
        if record.generation_seconds is not None:
            self.predicted_seconds += record.generation_seconds
            self.predicted_rate.add(max(record.generated_tokens - 1, 0), record.generation_seconds, now)


def llama_server_families(totals: LlamaServerTotals, engine: EngineView | None, now: float) -> Iterator[str]:
    """All of llama-server's families."""
    yield catalog.LLAMA_PROMPT.single(totals.prompt_tokens)
    yield catalog.LLAMA_CACHED.single(totals.cached_tokens)
    yield catalog.LLAMA_PROMPT_TIME.single(totals.prompt_seconds)
    yield catalog.LLAMA_PREDICTED.single(totals.predicted)
    yield catalog.LLAMA_PREDICTED_TIME.single(totals.predicted_seconds)
    yield catalog.LLAMA_DECODES.single(totals.decodes)
    yield catalog.LLAMA_LONGEST.single(totals.longest)
    for spec in catalog.LLAMA_DRAFTS:
        yield spec.single(0)
    yield catalog.LLAMA_PROMPT_RATE.single(totals.prompt_rate.rate(now))
    yield catalog.LLAMA_PREDICTED_RATE.single(totals.predicted_rate.rate(now))
    yield catalog.LLAMA_PROCESSING.single(engine.running if engine else 0)
    yield catalog.LLAMA_DEFERRED.single(engine.waiting if engine else 0)
    yield catalog.LLAMA_BUSY.single(totals.busy / max(totals.decodes, 1))
