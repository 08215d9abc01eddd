"""What the metrics are made of: sums over the life of the process, and a look at the engine."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Protocol

from service.engine.interface import EngineState
from service.engine.model import Model
from service.engine.requests import EngineLimits, Outcome, StepStats
from service.telemetry import catalog
from service.telemetry.distribution import Distribution


class EngineView(Protocol):
    """What metrics read of the engine when they are rendered."""

    @property
    def state(self) -> EngineState: ...
    @property
    def running(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def model(self) -> Model: ...
    @property
    def limits(self) -> EngineLimits: ...

    progress: float
    last_step: StepStats | None


class Totals:
    """Sums over the life of the process."""

    def __init__(self) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        self.errors: Counter[str] = Counter()
        self.http: Counter[tuple[str, str, str]] = Counter()
        self.http_time: dict[tuple[str, str], Distribution] = defaultdict(catalog.HTTP_TIME.distribution)
        self.first_token = catalog.FIRST_TOKEN.distribution()
        self.between_tokens = catalog.BETWEEN_TOKENS.distribution()
        self.duration = catalog.DURATION.distribution()
        self.queue = catalog.QUEUE.distribution()
        self.prompt_size = catalog.PROMPT_SIZE.distribution()
        self.generated_size = catalog.GENERATED_SIZE.distribution()
        self.step_time = catalog.STEP_TIME.distribution()
        self.step_rows = catalog.STEP_ROWS.distribution()
        self.steps = self.computed = self.cached = self.generated = self.preemptions = 0
        self.evicted = self.saved = self.fetched = 0
        self.decode_seconds = self.sample_seconds = self.save_seconds = self.fetch_seconds = self.own_seconds = 0.0
