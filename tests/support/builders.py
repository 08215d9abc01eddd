"""Short ways to build what engine tests need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import inf
from queue import SimpleQueue
from typing import Any

from service.engine.copying import Copying
from service.engine.kv_cache import KvCache
from service.engine.loop import Delivery, Loop, Message, Submit
from service.engine.model import Model, Rows
from service.engine.pace import Pace, Prompt
from service.engine.requests import Delta, EngineLimits, GenerationRequest
from service.engine.scheduler import Scheduler
from service.engine.shelf import Shelf
from tests.support.fake_model import FakeModel


def make_limits(
    *, context: int = 256, parallel: int = 4, batch: int = 64, queue: int = 256, queue_tokens: int = 100_000
) -> EngineLimits:
    return EngineLimits(context=context, parallel=parallel, batch=batch, queue=queue, queue_tokens=queue_tokens)


@dataclass
class FixedPace:
    """Always the same number of prompt rows beside those who decode, and so many seconds for copies."""

    rows: int
    seconds: float = inf

    def prompt_rows(self, decoding: Sequence[Rows], prompts: Sequence[Prompt], most: int, taken: float) -> int:
        return min(self.rows, most)

    def spare(self, decoding: Sequence[Rows]) -> float:
        return self.seconds if decoding else inf

    def learn(self, rows: Sequence[Rows], seconds: float) -> None:
        """Nothing to learn."""

    def predict(self, rows: Sequence[Rows]) -> float:
        return 0.0


def make_shelf(tokens: int, copying: Copying | None = None) -> Shelf:
    """Room for so many tokens; while nothing is known of what copies cost if `copying` knows nothing else."""
    return Shelf(tokens, 1, copying or Copying(lambda start, end: 0.0))


def make_request(name: str, prompt: Iterable[int], *, max_tokens: int = 8, **options: Any) -> GenerationRequest:
    return GenerationRequest(id=name, prompt=tuple(prompt), max_tokens=max_tokens, **options)


@dataclass
class Bench:
    """A loop that is turned by hand over a model, and what it delivered."""

    model: Model
    limits: EngineLimits
    pace: Pace
    texts: dict[str, Delta] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)
    steps: list[Delivery] = field(default_factory=list)
    now: float = 1000.0
    shelf: int = 0
    copying: Copying = field(default_factory=lambda: Copying(lambda start, end: 0.0))

    def __post_init__(self) -> None:
        model = self.model
        self.cache = KvCache(
            model.cells, model.sequences, partial=model.keeps_partial, windowed=model.windowed, reaches=model.reaches,
            shelf=Shelf(self.shelf, 1, self.copying),
        )  # fmt: skip
        self.scheduler = Scheduler(self.limits, self.cache, self.pace, self.copying)
        self.inbox: SimpleQueue[Message] = SimpleQueue()
        self.loop = Loop(self.model, self.scheduler, self.inbox, self.receive, clock=self.tick)

    def tick(self) -> float:
        """A clock of the test's own: each look at it takes a millisecond."""
        self.now += 0.001
        return self.now

    def submit(self, request: GenerationRequest) -> None:
        """It arrives now."""
        self.loop.handle(Submit(request, self.tick()))

    def receive(self, delivery: Delivery) -> None:
        self.steps.append(delivery)
        for request_id, delta in delivery.deltas:
            assert request_id not in self.outcomes, f"text for {request_id} after its end"
            self.texts[request_id] = self.texts.get(request_id, Delta()).then(delta)
        for request_id, error in delivery.failures:
            self.failures[request_id] = error.label
        for request_id, record in delivery.records:
            assert request_id not in self.outcomes, f"{request_id} left twice"
            self.outcomes[request_id] = record.outcome.value

    def finish(self, *, turns: int = 10_000) -> None:
        """Turns until nothing is left to do."""
        for _ in range(turns):
            self.loop.turn()
            if not self.scheduler.has_work:
                return
        raise AssertionError(f"work is left after {turns} turns")


def make_bench(
    model: FakeModel | None = None,
    *,
    busy_prefill: int = 16,
    shelf: int = 0,
    spare: float = inf,
    computing: float = 0.0,
    **limits: int,
) -> Bench:
    """`busy_prefill` prompt rows join a step in which somebody decodes, and copies of `spare` seconds; `shelf` tokens may be saved.
    `computing`: seconds that a token is said to take (0: nobody knows)."""
    model = model or FakeModel()
    known = make_limits(**{"context": model.cells, "batch": model.batch, **limits})
    copying = Copying(lambda start, end: computing * (end - start))
    return Bench(model, known, FixedPace(busy_prefill, spare), shelf=shelf, copying=copying)
