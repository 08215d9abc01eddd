"""Who runs, and how many tokens of whom go into the next step. Pure: no clock, no thread, no native call.

Theory of operation
-------------------
`plan(now)` returns a value, the loop carries it out, `commit(plan, samples, now)` takes note. Between the two nothing else is called.

A sequence is in exactly one place:

    waiting   deque, oldest first       has no cells; preempted ones stand at the front
    running   list, oldest first        has a sequence id; at most `parallel`
    gone      in neither                ended, aborted or failed; its tokens may stand in the cache

A plan is made in this order, each part within what the parts before left of the batch and of the pool:

    1. one row for each running sequence that decodes            (never held up by a prompt)
    2. waiting sequences are let in, oldest first                (optimistically: for the cells they need now and a reserve)
    3. prompt rows: all of the batch when nobody decodes, else `busy_prefill`; the oldest gets half, short ones the rest

When cells run out: idle prefixes are evicted, then the youngest running sequence is preempted. Its tokens stay, its cells become
an idle prefix, it goes back to the front of the queue and its text just pauses. The oldest can always go on, because one request
never needs more than the pool: so everything ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from service.engine.kv_cache import NO_MATCH, KvCache
from service.engine.model import CacheOp, Rows
from service.engine.requests import (
    Delta,
    EngineLimits,
    GenerationRequest,
    Outcome,
    RequestRecord,
    Sample,
    StopReason,
)
from service.engine.sequence import Sequence

RESERVE_PER_SEQUENCE = 16
"""Cells kept free for each running sequence when another is let in, so that it is not preempted in the very next steps."""


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One step: `operations` first, then all `rows` in one decode. `sequences[i]` owns `rows[i]`."""

    rows: tuple[Rows, ...]
    sequences: tuple[Sequence, ...]
    operations: tuple[CacheOp, ...]
    decode_rows: int
    prefill_rows: int
    reused_tokens: int
    preemptions: int
    evicted_cells: int


@dataclass(slots=True)
class Progress:
    """What a commit (or an abort) brought: text for some requests, and the ones that left."""

    deltas: list[tuple[str, Delta]] = field(default_factory=list)
    left: list[tuple[str, RequestRecord]] = field(default_factory=list)


class Scheduler:
    """Plans steps over one KV cache. All calls come from the engine's thread."""

    def __init__(self, limits: EngineLimits, cache: KvCache) -> None:
        self._limits = limits
        self._cache = cache
        self._waiting: deque[Sequence] = deque()
        self._running: list[Sequence] = []
        self._by_id: dict[str, Sequence] = {}
        self._chosen: dict[str, tuple[Sequence, int]] = {}
        self._reused = 0
        self._preempted = 0

    # Questions

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def has_work(self) -> bool:
        return bool(self._by_id)

    @property
    def cells(self) -> tuple[int, int, int]:
        """Cells of the pool that are used, that only idle prefixes use, and that there are."""
        return self._cache.used, self._cache.idle_cells(), self._cache.total

    def check_integrity(self) -> None:
        """Raises AssertionError where the books do not agree."""
        self._cache.check_integrity()
        places = [*self._waiting, *self._running]
        if len(places) != len(self._by_id) or any(self._by_id.get(s.request.id) is not s for s in places):
            raise AssertionError(f"{len(places)} sequences in line, {len(self._by_id)} known")
        if any(s.slot is not None or s.computed for s in self._waiting) or any(s.slot is None for s in self._running):
            raise AssertionError("a waiting sequence holds cells, or a running one has none")
        arrivals = [s.arrived for s in self._running]
        if arrivals != sorted(arrivals):
            raise AssertionError("running sequences are out of order")

    # Commands

    def add(self, request: GenerationRequest, now: float) -> None:
        """Takes a request in. Its prompt is shorter than the context (the engine's door checks that)."""
        sequence = Sequence(request, self._limits.context, now)
        self._by_id[request.id] = sequence
        self._waiting.append(sequence)

    def remove(self, request_id: str, outcome: Outcome, now: float) -> RequestRecord | None:
        """A request leaves before its end, in whatever state it is. None if it has left already."""
        sequence = self._by_id.pop(request_id, None)
        if sequence is None:
            return None
        if sequence.slot is None:
            self._waiting.remove(sequence)
        self._leave(sequence, keep=outcome is not Outcome.FAILED)
        return sequence.record(outcome, now)

    def plan(self, now: float) -> StepPlan | None:
        """The next step, or None when there is nothing to compute."""
        self._chosen = {}
        self._reused = self._preempted = 0
        evicted = self._cache.evicted
        decode_rows = self._plan_decoding()
        if not self._preempted:
            self._admit(now)
        prefill_rows = self._plan_prefill(self._prefill_budget(decode_rows))
        if not self._chosen:
            if self._running:
                raise AssertionError(f"none of {self.running} running sequences can go on")
            return None
        return StepPlan(
            rows=tuple(_rows(sequence, count) for sequence, count in self._chosen.values()),
            sequences=tuple(sequence for sequence, _ in self._chosen.values()),
            operations=self._cache.take_operations(),
            decode_rows=decode_rows,
            prefill_rows=prefill_rows,
            reused_tokens=self._reused,
            preemptions=self._preempted,
            evicted_cells=self._cache.evicted - evicted,
        )

    def commit(self, plan: StepPlan, samples: Mapping[int, Sample], now: float) -> Progress:
        """The rows of `plan` are computed; `samples[i]` is what rows[i] yielded, where it wanted a sample."""
        progress = Progress()
        for index, (rows, sequence) in enumerate(zip(plan.rows, plan.sequences, strict=True)):
            if sequence.slot != rows.sequence:
                continue
            self._cache.extend(rows.sequence, rows.tokens)
            sequence.computed += len(rows.tokens)
            if sequence.pending == 0:
                self._advance(sequence, samples.get(index), now, progress)
        self._cache.cancel_reservations()
        return progress

    def cancel(self) -> None:
        """The plan was not carried out, and the model is as before it but for the plan's operations."""
        self._cache.cancel_reservations()

    def relieve(self) -> bool:
        """The model had no cells where the books had some: gives up what can be given. False: one sequence alone does not fit."""
        self._cache.cancel_reservations()
        if self._cache.idle_cells():
            self._cache.drop_idle()
            return True
        if len(self._running) > 1:
            self._preempt(self._running[-1])
            return True
        return False

    # Planning

    def _plan_decoding(self) -> int:
        for sequence in list(self._running):
            if sequence.slot is not None and sequence.decoding and self._make_way(sequence):
                self._choose(sequence, 1)
        return len(self._chosen)

    def _make_way(self, sequence: Sequence) -> bool:
        """Reserves a cell for `sequence`, from younger ones if need be. False: it was the youngest and is preempted itself."""
        while not self._cache.reserve(1):
            youngest = self._running[-1]
            self._preempt(youngest)
            if youngest is sequence:
                return False
        return True

    def _prefill_budget(self, decode_rows: int) -> int:
        room = self._limits.batch - decode_rows
        return min(room, self._limits.busy_prefill) if decode_rows else room

    def _plan_prefill(self, budget: int) -> int:
        """Prompt rows: half of them to the oldest, so that it ends; the rest to the shortest first, so that they need not wait."""
        prompts = [s for s in self._running if not s.decoding and s.pending]
        if not prompts:
            return 0
        shares = dict.fromkeys((s.request.id for s in prompts), 0)
        oldest, left = prompts[0], budget
        half = budget if len(prompts) == 1 else (budget + 1) // 2
        for sequence, most in [(oldest, half), *((s, budget) for s in sorted(prompts, key=lambda s: s.pending))]:
            share = min(most, left, sequence.pending - shares[sequence.request.id])
            shares[sequence.request.id] += share
            left -= share
        return sum(self._grant(s, shares[s.request.id]) for s in prompts if shares[s.request.id])

    def _grant(self, sequence: Sequence, rows: int) -> int:
        """Reserves as many of `rows` as there are cells for; younger ones are not preempted for a prompt."""
        if not self._cache.reserve(rows):
            rows = self._cache.free
            self._cache.reserve(rows)
        if rows:
            self._choose(sequence, rows)
        return rows

    def _admit(self, now: float) -> None:
        while self._waiting and len(self._running) < self._limits.parallel:
            sequence = self._waiting[0]
            request = sequence.request
            match = self._cache.match(sequence.tokens, request.salt) if request.reuse_cache else NO_MATCH
            if self._running and not self._cache.would_fit(match, self._needed(sequence, match.length)):
                return
            claimed = self._cache.claim(match, request.salt)
            if claimed is None:
                return
            self._waiting.popleft()
            sequence.slot, reused = claimed
            sequence.begin(reused, now)
            self._reused += sequence.cached if not sequence.generated else 0
            self._insert(sequence)

    def _needed(self, sequence: Sequence, reused: int) -> int:
        """Cells that `sequence` and those before it will take soon, and a reserve for everyone's next tokens."""
        promised = sum(s.pending for s in self._running if not s.decoding)
        return len(sequence.tokens) - reused + promised + RESERVE_PER_SEQUENCE * len(self._running)

    def _insert(self, sequence: Sequence) -> None:
        """Running stays sorted by arrival, also when a preempted one comes back."""
        at = len(self._running)
        while at and self._running[at - 1].arrived > sequence.arrived:
            at -= 1
        self._running.insert(at, sequence)

    def _choose(self, sequence: Sequence, rows: int) -> None:
        self._chosen[sequence.request.id] = (sequence, rows)

    def _preempt(self, sequence: Sequence) -> None:
        self._leave(sequence)
        self._waiting.appendleft(sequence)
        self._preempted += 1

    # Committing

    def _advance(self, sequence: Sequence, sample: Sample | None, now: float, progress: Progress) -> None:
        if sample is not None:
            delta = sequence.take(sample, now)
        elif sequence.generates:
            return
        else:
            summary = sequence.finish(StopReason.LIMIT, now)
            delta = Delta(cached_tokens=sequence.cached, timings=summary.timings, summary=summary)
        progress.deltas.append((sequence.request.id, delta))
        if delta.summary is not None:
            del self._by_id[sequence.request.id]
            self._leave(sequence)
            outcome = Outcome.LENGTH if delta.summary.reason is StopReason.LIMIT else Outcome.STOP
            progress.left.append((sequence.request.id, sequence.record(outcome, now)))

    def _leave(self, sequence: Sequence, *, keep: bool = True) -> None:
        """It runs no longer. Its cells stay as an idle prefix, if they are to be trusted."""
        if sequence.slot is not None:
            self._running.remove(sequence)
            self._cache.release(sequence.slot, keep=keep)
            sequence.rest()


def _rows(sequence: Sequence, count: int) -> Rows:
    slot = sequence.slot
    if slot is None:
        raise AssertionError("rows for a sequence that does not run")
    end = sequence.computed + count
    wants = end == len(sequence.tokens) and sequence.generates
    return Rows(slot, sequence.computed, sequence.tokens[sequence.computed : end].tolist(), wants)
