"""Everything at once, through the real engine and its thread: nothing is lost, nothing comes twice, nothing stays behind.

10,000 requests by default; `CHAOS_REQUESTS` and `CHAOS_SEED` in the environment ask for other numbers and other luck.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from queue import SimpleQueue
from random import Random
from time import monotonic

import pytest

from service.engine.answer import Answer
from service.engine.engine import Engine
from service.engine.generation import Generation
from service.engine.interface import EngineOptions
from service.engine.loop import Delivery, Loop, Message
from service.engine.model import DecodeResult, Model, Rows
from service.engine.requests import (
    Delta,
    GenerationRequest,
    Outcome,
    RequestRecord,
    SamplingParams,
    StepStats,
    StopReason,
)
from service.engine.scheduler import MOST_LOSSES, Scheduler
from service.engine.sequence import Sequence as RequestInFlight
from service.engine.threads import ThreadWatch
from service.errors import DeadlineExceeded, InvalidRequest, QueueFull, RequestFailed, ServiceError
from tests.support.builders import make_request
from tests.support.fake_model import END, FakeModel, FakeSampler, continuation
from tests.support.reading import deltas

REQUESTS = int(os.environ.get("CHAOS_REQUESTS", "10000"))
SEED = os.environ.get("CHAOS_SEED", "chaos")
CLIENTS = 36
CELLS, END_EVERY = 120, 32
OPTIONS = EngineOptions(parallel=6, split_context=False, queue=24, queue_tokens=1200, calibrate=False, saved_bytes=300)
LONG = b" is a beginning that is long enough to be saved when it has to leave. "
BEGINNINGS = [
    b"",
    b"",
    b"A" + LONG,
    b"B" + LONG,
    b"C" + LONG,
    b"You are a helpful assistant. ",
    b"You are a helpful pirate. ",
]
DECODES_BETWEEN_COUNTS = 64
FAILURES = {DecodeResult.FAILED: 0.02, DecodeResult.NO_CELLS: 0.02, DecodeResult.ABORTED: 0.01, DecodeResult.LOST: 0.01}

REFUSED_SAMPLING = SamplingParams(seed=7)

alone = cache(lambda prompt, length: tuple(continuation(prompt, length, end_every=END_EVERY)))


class JumpingClock:
    """The engine's and its loop's clock: real time, with jumps of up to an hour now and then."""

    def __init__(self) -> None:
        self._random = Random(f"{SEED}/clock")
        self._ahead = 0.0

    def __call__(self) -> float:
        if self._random.random() < 0.0002:
            self._ahead += self._random.choice([0.05, 2.0, 3600.0])
        return monotonic() + self._ahead


@dataclass
class Watch:
    """What is seen of the engine from inside: its loop, who failed alone, and who left when."""

    model: FakeModel
    clock: JumpingClock = field(default_factory=JumpingClock)
    random: Random = field(default_factory=lambda: Random(f"{SEED}/decodes"))
    loop: Loop | None = None
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    losses: Counter[str] = field(default_factory=Counter)
    failed_alone: int = 0  # and nobody has been told yet
    failed: int = 0

    @property
    def scheduler(self) -> Scheduler:
        assert self.loop is not None
        return self.loop._scheduler

    def make_loop(
        self,
        model: Model,
        scheduler: Scheduler,
        inbox: SimpleQueue[Message],
        deliver: Callable[[Delivery], None],
        *,
        threads: ThreadWatch | None,
    ) -> Loop:
        """Stands for the engine's own `Loop`."""

        def checked(delivery: Delivery) -> None:
            for name, _ in delivery.deltas:
                assert name not in self.outcomes, f"text for {name} after its end"
            for name, error in delivery.failures:
                self.check_reason(name, error)
            for name, record in delivery.records:
                assert name not in self.outcomes, f"{name} left twice"
                self.outcomes[name] = record.outcome
            deliver(delivery)

        self.loop = Loop(model, scheduler, inbox, checked, threads=threads, clock=self.clock)
        return self.loop

    def decide(self, groups: Sequence[Rows]) -> DecodeResult:
        """Fails a decode now and then; counts everything out now and then. Called while the model decodes."""
        assert self.loop is not None
        serving = self.loop.pulse.serving
        # Nobody is served while rows run one by one after a failure: then the model is ahead of the books.
        if serving and self.model.decodes % DECODES_BETWEEN_COUNTS == 0:
            self.scheduler.check_integrity()
            assert len(self.model.pool) == self.scheduler.cells[0]
        (result,) = self.random.choices([*FAILURES, DecodeResult.OK], [*FAILURES.values(), 1 - sum(FAILURES.values())])
        if result is DecodeResult.LOST:
            self.losses.update(serving)
        self.failed += result is not DecodeResult.OK
        self.failed_alone += not serving and result is not DecodeResult.OK
        return result

    def check_reason(self, name: str, error: ServiceError) -> None:
        """Requests fail by their deadline, by rows that fail alone too, or by a state that was lost three times."""
        if "more than once" in str(error):
            assert self.losses[name] == MOST_LOSSES + 1
        elif isinstance(error, RequestFailed):
            self.failed_alone -= 1


@dataclass
class Tally:
    """The engine's observer, and what the readers saw."""

    records: Counter[Outcome] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    accepted: set[str] = field(default_factory=set)
    refused: int = 0
    merged: int = 0
    preemptions: int = 0
    reused: int = 0

    def step(self, stats: StepStats) -> None:
        self.preemptions += stats.preemptions
        self.reused += stats.reused_tokens

    def ended(self, record: RequestRecord) -> None:
        self.records[record.outcome] += 1


@dataclass
class Client:
    """Sends one request after the other and is in a different mood each time."""

    engine: Engine
    tally: Tally
    names: list[str]
    random: Random

    async def work(self) -> None:
        while self.names:
            request = self.request(self.names.pop())
            while (generation := self.submit(request)) is None:  # noqa: ASYNC110 (there is nothing to wait for but a place)
                await asyncio.sleep(0.02)
            try:
                await self.read(generation)
            except DeadlineExceeded:
                assert request.deadline, "overdue without a deadline"
                self.tally.seen["overdue"] += 1
            except RequestFailed:
                self.tally.seen["failed"] += 1
            except InvalidRequest:
                assert refused(request), "refused without a reason"
                self.tally.seen["failed"] += 1

    def request(self, name: str) -> GenerationRequest:
        random = self.random
        prompt = random.choice(BEGINNINGS) + random.choice([b"a", b"bc", b"def"]) + name.encode()[-1:]
        return make_request(
            name,
            prompt,
            max_tokens=random.choice([0, 1, 3, 5, 8, 16, 40, -1]),
            priority=random.choice([0, 0, 0, -3, 5]),
            deadline=random.choice([0.0, 0.0, 0.0, 0.02, 1.0, 7200.0]),
            salt=random.choice(["", "", "other"]),
            reuse_cache=random.random() < 0.9,
            sampling=REFUSED_SAMPLING if random.random() < 0.02 else SamplingParams(),
        )

    def submit(self, request: GenerationRequest) -> Generation | None:
        try:
            generation = self.engine.submit(request)
        except QueueFull:
            self.tally.refused += 1
            return None
        self.tally.accepted.add(request.id)
        return generation

    async def read(self, generation: Generation) -> None:
        """To the end, slowly or not, or not to the end."""
        leaves_after = self.random.choice([None] * 7 + [0, 1, 3])
        naps = self.random.choice([0.0, 0.0, 0.0, 0.001, 0.01])
        wanted = alone(generation.request.prompt, _length(generation.request))
        whole = Delta()
        reading, count = deltas(generation), 0
        try:
            while count != leaves_after:
                delta = await anext(reading, None)
                if delta is None:
                    break
                count += 1
                whole = whole.then(delta)
                assert whole.tokens == wanted[: len(whole.tokens)]
                self.tally.merged += len(delta.tokens) > 1
                await asyncio.sleep(naps)
        finally:
            generation.abort()
        self.note(whole, wanted, left=count == leaves_after and whole.summary is None)

    def note(self, whole: Delta, wanted: tuple[int, ...], *, left: bool) -> None:
        if left:
            self.tally.seen["left"] += 1
            return
        assert whole.summary is not None, "a text ended without saying so"
        assert whole.tokens == wanted
        assert whole.text == bytes(token for token in wanted if token != END).decode()
        assert (whole.summary.reason is StopReason.END) == (wanted[-1:] == (END,))
        self.tally.seen["well"] += 1


def refused(request: GenerationRequest) -> bool:
    return request.sampling is REFUSED_SAMPLING


def _length(request: GenerationRequest) -> int:
    room = CELLS - len(request.prompt)
    return min(request.max_tokens, room) if request.max_tokens >= 0 else room


def living() -> int:
    """How many of the engine's objects of a request there are."""
    gc.collect()
    return sum(isinstance(thing, Generation | RequestInFlight | Answer | FakeSampler) for thing in gc.get_objects())


async def storm(engine: Engine, tally: Tally, requests: range) -> None:
    names = [f"r{number}" for number in requests]
    clients = [Client(engine, tally, names, Random(f"{SEED}/{requests.start}/{number}")) for number in range(CLIENTS)]
    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(client.work())
    assert await engine.wait_idle(10), "requests were lost"


async def settled(model: FakeModel, watch: Watch, tally: Tally) -> None:
    """The loop has heard of the last client that left, and asyncio of the loop's last word."""
    async with asyncio.timeout(10):
        while watch.scheduler.has_work or tally.records.total() < len(tally.accepted) or model.samplers:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def check_books(engine: Engine, watch: Watch) -> None:
    """Nothing is left of any request but cached prefixes."""
    scheduler, loop = watch.scheduler, watch.loop
    scheduler.check_integrity()
    assert engine._door is not None
    assert loop is not None
    assert (engine.running, engine.waiting, engine._door.inside, engine._door.waiting) == (0, 0, 0, 0)
    assert (engine._open, loop._samplers, loop._left, loop._failures) == ({}, {}, [], [])
    assert (scheduler.running, scheduler.waiting, scheduler._answers) == (0, 0, {})
    used, cached, _ = scheduler.cells
    assert used == cached, "cells that nobody uses and nobody may evict"
    assert len(scheduler._deadlines) <= 128, "deadlines of requests that are gone pile up"


@pytest.mark.timeout(120 + REQUESTS // 50)
async def test_in_a_storm_no_request_is_lost_none_answers_twice_and_nothing_stays_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = FakeModel(cells=CELLS, sequences=12, batch=48, end_every=END_EVERY, refuses=refused)
    watch, tally = Watch(model), Tally()
    model.fails = watch.decide
    monkeypatch.setattr("service.engine.engine.Loop", watch.make_loop)
    monkeypatch.setattr("service.engine.engine.monotonic", watch.clock)
    before = living()
    engine = Engine(lambda progress: model, OPTIONS, tally)
    engine.start()
    await engine.wait_loaded()
    try:
        await storm(engine, tally, range(REQUESTS))
        await settled(model, watch, tally)
        check_books(engine, watch)
    finally:
        await engine.stop()
    assert len(tally.accepted) == REQUESTS == tally.records.total()
    assert tally.records == Counter(watch.outcomes.values())
    check_outcomes(watch, tally)
    assert model.fetched, "nothing came back from the shelf"
    assert living() <= before + OPTIONS.parallel, "beside the last step's"
    assert model.closed
    assert model.samplers == 0


def check_outcomes(watch: Watch, tally: Tally) -> None:
    """The readers' tales agree with the engine's, and of everything there was some."""
    records, seen = tally.records, tally.seen
    well = records[Outcome.STOP] + records[Outcome.LENGTH]
    assert seen.total() == records.total()
    # Who leaves while his text's end is on its way, or is told of his deadline then, is gone for himself and well for the engine.
    assert seen["well"] <= well <= seen["well"] + seen["left"] + seen["overdue"]
    assert records[Outcome.ABORTED] <= seen["left"]
    assert records[Outcome.OVERDUE] <= seen["overdue"] + seen["left"]
    assert seen["failed"] <= records[Outcome.FAILED] <= seen["failed"] + seen["left"] + seen["overdue"]
    assert watch.failed_alone == 0, "rows that failed alone, and no request did"
    if REQUESTS >= 10_000:
        happened = (watch.failed, tally.merged, tally.preemptions, tally.reused, tally.refused)
        assert all([*happened, *(seen[end] for end in ("well", "left", "overdue", "failed"))]), (happened, seen)
    assert seen["well"] > 0.6 * records.total()
