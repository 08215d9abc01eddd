"""What the engine's users hold in their hands: its state, its options, and who watches it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from service.engine.requests import RequestRecord, SamplingParams, StepStats


class EngineState(Enum):
    """Where the engine stands. Only READY takes requests."""

    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    DEAD = "dead"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """`parallel` requests run at once. With `split_context` each may use 1/parallel of the pool, else all.

    `queue` requests with `queue_tokens` prompt tokens may wait (0 tokens: as many as fill the pool four times). `token_gap` is the longest
    pause, in seconds, that a running text should see while prompts are computed. `calibrate` measures steps at start.
    `saved_bytes` of the host's memory may hold prefixes that left the pool (None: what can be spared).
    `sampling` are the parameters of requests that say nothing; a model that cannot take them is not served.
    """

    parallel: int
    split_context: bool
    queue: int
    queue_tokens: int = 0
    token_gap: float = 0.5
    calibrate: bool = True
    saved_bytes: int | None = None
    sampling: SamplingParams = field(default_factory=SamplingParams)


class Observer(Protocol):
    """Hears of every step and of every request that left. Called on the asyncio thread."""

    def step(self, stats: StepStats) -> None:
        """A step's figures. No rows at all: requests left without one, only the gauges are news."""

    def ended(self, record: RequestRecord) -> None:
        """A request has left the engine."""
