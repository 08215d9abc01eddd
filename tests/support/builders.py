"""Short ways to build what engine tests need."""

from __future__ import annotations

from dataclasses import dataclass, field
from queue import SimpleQueue

from service.engine.kv_cache import KvCache
from service.engine.loop import Delivery, Loop, Message
from service.engine.model import Model
from service.engine.requests import Delta, EngineLimits, GenerationRequest, SamplingParams
from service.engine.scheduler import Scheduler
from tests.support.fake_model import FakeModel


def make_limits(
    *, context: int = 256, parallel: int = 4, batch: int = 64, busy_prefill: int = 16, queue: int = 256
) -> EngineLimits:
    return EngineLimits(context=context, parallel=parallel, batch=batch, busy_prefill=busy_prefill, queue=queue)


def make_request(
    name: str, prompt: bytes | list[int], *, max_tokens: int = 8, stop: tuple[str, ...] = (), salt: str = "", reuse_cache: bool = True,
    sampling: SamplingParams | None = None,
) -> GenerationRequest:  # fmt: skip
    return GenerationRequest(
        id=name,
        prompt=tuple(prompt),
        sampling=sampling or SamplingParams(),
        max_tokens=max_tokens,
        stop=stop,
        salt=salt,
        reuse_cache=reuse_cache,
    )


@dataclass
class Bench:
    """A loop that is turned by hand over a model, and what it delivered."""

    model: Model
    limits: EngineLimits
    texts: dict[str, Delta] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)
    steps: list[Delivery] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cache = KvCache(self.model.cells, self.model.sequences, partial=self.model.keeps_partial)
        self.scheduler = Scheduler(self.limits, self.cache)
        self.inbox: SimpleQueue[Message] = SimpleQueue()
        self.loop = Loop(self.model, self.scheduler, self.inbox, self.receive)

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


def make_bench(model: FakeModel | None = None, **limits: int) -> Bench:
    model = model or FakeModel()
    return Bench(model, make_limits(**{"context": model.cells, "batch": model.batch, **limits}))
