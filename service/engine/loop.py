"""The engine's one thread: take messages, plan, run, commit, deliver."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from time import monotonic

from service.engine.model import CacheOp, DecodeResult, Load, Model, Rows, Sampler, Save
from service.engine.pulse import Pulse
from service.engine.requests import Delta, GenerationRequest, Outcome, RequestRecord, Sample, StepStats
from service.engine.scheduler import Scheduler
from service.engine.step import NO_STEP, News, StepPlan
from service.engine.threads import ThreadWatch
from service.errors import DeadlineExceeded, RequestFailed, ServiceError

log = logging.getLogger("engine")


IDLE_BEFORE_CHECK = 1.0
"""Seconds without work after which the books are counted out once."""


@dataclass(frozen=True, slots=True)
class Submit:
    """A request came in at the time `arrived`, by the loop's clock."""

    request: GenerationRequest
    arrived: float


@dataclass(frozen=True, slots=True)
class Abort:
    """Nobody waits for this request any more."""

    request_id: str


@dataclass(frozen=True, slots=True)
class Stop:
    """The loop ends after the step that runs."""


Message = Submit | Abort | Stop


@dataclass(slots=True)
class Delivery:
    """What one step (or a batch of messages) brought; crosses to the other thread in one call."""

    stats: StepStats
    started: list[str] = field(default_factory=list)
    deltas: list[tuple[str, Delta]] = field(default_factory=list)
    failures: list[tuple[str, ServiceError]] = field(default_factory=list)
    records: list[tuple[str, RequestRecord]] = field(default_factory=list)


@dataclass(slots=True)
class _Run:
    """What carrying out a plan brought: a sample for each row index that wanted one, an error for each that failed. `states_lost`: whatever
    it computed, no sequence can be gone on from. `token_gaps`: seconds since the last token of each text that went on."""

    samples: dict[int, Sample] = field(default_factory=dict)
    failures: dict[int, ServiceError] = field(default_factory=dict)
    predicted_seconds: float = 0.0
    decode_seconds: float = 0.0
    sample_seconds: float = 0.0
    saved_tokens: int = 0
    save_seconds: float = 0.0
    fetched_tokens: int = 0
    fetch_seconds: float = 0.0
    states_lost: bool = False
    token_gaps: list[float] = field(default_factory=list)


class Loop:
    """Runs steps until it is stopped. `deliver` is called in this thread and must not block."""

    def __init__(
        self,
        model: Model,
        scheduler: Scheduler,
        inbox: SimpleQueue[Message],
        deliver: Callable[[Delivery], None],
        *,
        threads: ThreadWatch | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._model = model
        self._scheduler = scheduler
        self._inbox = inbox
        self._deliver = deliver
        self._threads = threads
        self._clock = clock
        self._samplers: dict[str, Sampler] = {}
        self._stopping = False
        self.pulse = Pulse()
        self._left: list[tuple[str, RequestRecord]] = []
        self._failures: list[tuple[str, ServiceError]] = []

    def run(self) -> None:
        """Turns until a Stop comes. What raises here is a bug or a broken model: the engine is dead then."""
        while self._take_messages():
            self.turn()
        self.close()

    def turn(self) -> None:
        """One step, if there is anything to compute."""
        began = self.pulse.since = self._clock()
        self._expire(began)
        if self._threads is not None and (count := self._threads.poll(began)) is not None:
            self._model.set_threads(count)
        plan = self._scheduler.plan(began)
        self.pulse.running = self._scheduler.running
        if plan is not None:
            # Before anything native runs: what is stuck in it is to be told from what takes long.
            self.pulse.predicted = self._scheduler.predict(plan)
            self._step(plan, began)
        if self._left:
            self._deliver(self._delivery(NO_STEP, _Run(), 0.0))
        self.pulse.running = self._scheduler.running
        if not self._scheduler.has_work:
            self.pulse.since = None

    def close(self) -> None:
        """Frees every sampler."""
        for sampler in self._samplers.values():
            sampler.close()
        self._samplers.clear()

    # Messages

    def _take_messages(self) -> bool:
        """Blocks only when there is nothing to do. False: stop."""
        message = self._next_message() if self._scheduler.has_work else self._wait_for_message()
        while message is not None and not self._stopping:
            self.handle(message)
            message = self._next_message()
        return not self._stopping

    def _next_message(self) -> Message | None:
        try:
            return self._inbox.get_nowait()
        except Empty:
            return None

    def _wait_for_message(self) -> Message:
        try:
            return self._inbox.get(timeout=IDLE_BEFORE_CHECK)
        except Empty:
            self._scheduler.check_integrity()
            return self._inbox.get()

    def handle(self, message: Message) -> None:
        """Takes note of one message."""
        match message:
            case Submit(request, arrived):
                self._scheduler.add(request, arrived)
            case Abort(request_id):
                self._drop(request_id, Outcome.ABORTED)
            case Stop():
                self._stopping = True

    def _drop(self, request_id: str, outcome: Outcome, error: ServiceError | None = None) -> None:
        """A request leaves before its end, if it has not left yet; its reader is told why, if there is one."""
        record = self._scheduler.remove(request_id, outcome, self._clock())
        if record is None:
            return
        self._forget(request_id)
        self._left.append((request_id, record))
        if error is not None:
            self._failures.append((request_id, error))

    def _forget(self, request_id: str) -> None:
        if (sampler := self._samplers.pop(request_id, None)) is not None:
            sampler.close()

    def _expire(self, now: float) -> None:
        """Fails the requests whose deadline has come, wherever they are."""
        for request in self._scheduler.overdue(now):
            self._drop(request.id, Outcome.OVERDUE, DeadlineExceeded(request.deadline))

    # One step

    def _step(self, plan: StepPlan, began: float) -> None:
        run = _Run(predicted_seconds=self.pulse.predicted)
        self._apply(plan.operations, run)
        if not self._carry_out(plan, run):
            return
        for index, error in run.failures.items():
            self._drop(plan.sequences[index].request.id, Outcome.FAILED, error)
        progress = self._scheduler.commit(plan, run.samples, self._clock())
        if run.states_lost:
            self._start_again(plan)
        for request_id, _ in progress.left:
            self._forget(request_id)
        self._left += progress.left
        run.token_gaps = progress.gaps
        delivery = self._delivery(plan, run, self._clock() - began)
        delivery.deltas = progress.deltas
        self._deliver(delivery)

    def _apply(self, operations: tuple[CacheOp, ...], run: _Run) -> None:
        """Only copies between the pool and the host's memory take time."""
        for operation in operations:
            if not isinstance(operation, Save | Load):
                self._model.apply((operation,))
                continue
            began = self._clock()
            self._model.apply((operation,))
            seconds = self._clock() - began
            self._scheduler.learn_copy(operation, seconds)
            if isinstance(operation, Save):
                run.saved_tokens += operation.length
                run.save_seconds += seconds
            else:
                run.fetched_tokens += operation.length
                run.fetch_seconds += seconds

    def _carry_out(self, plan: StepPlan, run: _Run) -> bool:
        """Decodes and samples. False: nothing was computed, and the next plan will be another one."""
        self.pulse.serving = frozenset(sequence.request.id for sequence in plan.sequences)
        result = self._decode(plan.rows, run)
        self.pulse.serving = frozenset()
        if result is DecodeResult.OK:
            self._scheduler.learn(plan, run.decode_seconds)
            self._sample(plan, run, range(len(plan.rows)))
            return True
        if result is DecodeResult.ABORTED:
            self._scheduler.cancel()
            return False
        if result is DecodeResult.NO_CELLS and self._scheduler.relieve():
            log.warning(
                "the model had no cells for a step of %d rows; cached prefixes or a request gave way", len(plan.rows)
            )
            return False
        if result is DecodeResult.LOST:
            self._start_again(plan)
            return False
        self._isolate(plan, run)
        return True

    def _start_again(self, plan: StepPlan) -> None:
        for request_id in self._scheduler.rewind(plan):
            self._drop(request_id, Outcome.FAILED, RequestFailed("the model lost this request's state more than once"))

    def _decode(self, groups: tuple[Rows, ...], run: _Run) -> DecodeResult:
        began = self._clock()
        result = self._model.decode(groups)
        run.decode_seconds += self._clock() - began
        return result

    def _isolate(self, plan: StepPlan, run: _Run) -> None:
        """A step failed: each sequence's rows run alone, and only those that fail again fail their request."""
        for index, rows in enumerate(plan.rows):
            result = self._decode((rows,), run)
            if result is DecodeResult.OK:
                self._sample(plan, run, (index,))
            else:
                run.failures[index] = RequestFailed(f"the model could not compute this request ({result.value})")
            if result is DecodeResult.LOST and not self._model.keeps_partial:
                run.states_lost = True
                break
        log.error("a step failed; of %d requests %d failed alone too", len(plan.rows), len(run.failures))

    def _sample(self, plan: StepPlan, run: _Run, computed: range | tuple[int, ...]) -> None:
        """Samples for the rows `computed`, which were the groups 0, 1, 2 … of the last decode."""
        began = self._clock()
        for group, index in enumerate(computed):
            if plan.rows[index].wants_sample:
                try:
                    run.samples[index] = self._sampler(plan.sequences[index].request).sample(group)
                except ServiceError as error:
                    run.failures[index] = error
        run.sample_seconds += self._clock() - began

    def _sampler(self, request: GenerationRequest) -> Sampler:
        sampler = self._samplers.get(request.id)
        if sampler is None:
            sampler = self._samplers[request.id] = self._model.open_sampler(request)
        return sampler

    # Reports

    def _delivery(self, plan: StepPlan, run: _Run, seconds: float) -> Delivery:
        """All news since the last one, but for the text."""
        news = self._scheduler.take_news()
        delivery = Delivery(self._stats(plan, run, seconds, news), news.started, [], self._failures, self._left)
        self._failures, self._left = [], []
        return delivery

    def _stats(self, plan: StepPlan, run: _Run, seconds: float, news: News) -> StepStats:
        used, cached, total = self._scheduler.cells
        return StepStats(
            seconds=seconds,
            decode_seconds=run.decode_seconds,
            sample_seconds=run.sample_seconds,
            save_seconds=run.save_seconds,
            fetch_seconds=run.fetch_seconds,
            decode_rows=plan.decode_rows,
            prefill_rows=plan.prefill_rows,
            sampled_tokens=len(run.samples),
            saved_tokens=run.saved_tokens,
            fetched_tokens=run.fetched_tokens,
            reused_tokens=news.reused_tokens,
            preemptions=news.preemptions,
            evicted_cells=news.evicted_cells,
            running=self._scheduler.running,
            waiting=self._scheduler.waiting,
            predicted_seconds=run.predicted_seconds,
            used_cells=used,
            cached_cells=cached,
            total_cells=total,
            token_gaps=tuple(run.token_gaps),
        )
