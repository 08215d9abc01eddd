"""Who runs, and how many tokens of whom go into the next step. Pure: no clock, no thread, no native call.

Theory of operation
-------------------
`plan(now)` returns a value, the loop carries it out, `commit(plan, samples, now)` takes note. Between the two nothing else is called.

A sequence is in exactly one place, in the order of its rank (when it came, moved by its priority):

    waiting   has no cells; a preempted one is back here, its tokens with it
    running   has a sequence id; at most `parallel`
    gone      ended, aborted, overdue or failed; its tokens may stand in the cache

A plan is made in this order, each part within what the parts before left of the batch and of the pool:

    1. one row for each running sequence that decodes       (never held up by a prompt)
    2. waiting sequences are let in, lowest rank first      (optimistically: for the cells they need now and a reserve)
    3. prompt rows: all of the batch when nobody decodes, else as many as the pace allows;
       the first in rank gets half, the shortest ones the rest (a prompt that others wait for stands in line for them too)

A waiting sequence that begins like one whose prompt is being computed does not compute the same: it waits until the tokens that
both have stand in the cache, and shares them. If that leader goes away, the next plan lets the first of those that waited in, on
what the leader had computed, and the others wait for it.

When cells run out: idle prefixes are evicted, then the running sequence of the highest rank is preempted. Its tokens stay, its
cells become an idle prefix that is evicted after all others, it waits again and its text just pauses. The first in rank can always
go on, because one request never needs more than the pool: so everything ends.

While texts run, copies of prefixes to the host's memory and back take their time from the step's prompt rows.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping

from service.engine.answer import Answer
from service.engine.copying import Copying
from service.engine.deadlines import Deadlines
from service.engine.following import follow, in_line, is_led
from service.engine.holder import NO_MATCH, Match
from service.engine.kv_cache import KvCache
from service.engine.model import Load, Save
from service.engine.pace import Pace, Prompt, share_rows
from service.engine.requests import (
    EngineLimits,
    GenerationRequest,
    Outcome,
    RequestRecord,
    Sample,
    StopReason,
)
from service.engine.sequence import Sequence
from service.engine.step import News, Progress, StepPlan, rows_of

RESERVE_PER_SEQUENCE = 16
"""Cells kept free for each running sequence when another is let in, so that it is not preempted in the very next steps."""
MOST_LOSSES = 2
"""How often a sequence starts again after the model lost its state, before its request fails."""


class Scheduler:
    """Plans steps over one KV cache. All calls come from the engine's thread."""

    def __init__(self, limits: EngineLimits, cache: KvCache, pace: Pace, copying: Copying) -> None:
        self._limits = limits
        self._cache = cache
        self._pace = pace
        self._copying = copying
        self._waiting: list[Sequence] = []
        self._running: list[Sequence] = []
        self._answers: dict[str, Answer] = {}
        self._chosen: dict[str, tuple[Sequence, int]] = {}
        self._deadlines = Deadlines()
        self._news = News()

    # Questions

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def has_work(self) -> bool:
        return bool(self._answers)

    @property
    def cells(self) -> tuple[int, int, int]:
        """Cells of the pool that are used, that only idle prefixes use, and that there are."""
        return self._cache.used, self._cache.idle_cells(), self._cache.total

    def check_integrity(self) -> None:
        """Raises AssertionError where the books do not agree."""
        self._cache.check_integrity()
        places = [*self._waiting, *self._running]
        if len(places) != len(self._answers) or any(self._answers[s.request.id].sequence is not s for s in places):
            raise AssertionError(f"{len(places)} sequences in line, {len(self._answers)} known")
        if any(s.slot is not None or s.computed for s in self._waiting) or any(s.slot is None for s in self._running):
            raise AssertionError("a waiting sequence holds cells, or a running one has none")
        if strangers := self._cache.wanted_by() - {s.request.id for s in self._waiting}:
            raise AssertionError(f"prefixes are kept for {strangers}, who do not wait")
        for line in (self._waiting, self._running):
            if [s.rank for s in line] != sorted(s.rank for s in line):
                raise AssertionError("sequences are out of order")

    # Commands

    def add(self, request: GenerationRequest, now: float) -> None:
        """Takes a request in. Its prompt is shorter than the context (the engine's door checks that)."""
        sequence = Sequence(request, self._limits.context, now)
        self._answers[request.id] = Answer(sequence)
        insort(self._waiting, sequence, key=_rank)
        if request.deadline:
            self._deadlines.add(sequence.due, request.id, self._answers)

    def remove(self, request_id: str, outcome: Outcome, now: float) -> RequestRecord | None:
        """A request leaves before its end, in whatever state it is. None if it has left already."""
        answer = self._answers.pop(request_id, None)
        if answer is None:
            return None
        sequence = answer.sequence
        if sequence.slot is None:
            self._waiting.remove(sequence)
            self._cache.settle(request_id)
        self._leave(sequence, keep=outcome is not Outcome.FAILED)
        return sequence.record(outcome, now)

    def overdue(self, now: float) -> list[GenerationRequest]:
        """Requests whose deadline has come. Each is named once; the caller removes it."""
        answers = (self._answers.get(request_id) for request_id in self._deadlines.take(now))
        return [answer.sequence.request for answer in answers if answer is not None and answer.sequence.due <= now]

    def plan(self, now: float) -> StepPlan | None:
        """The next step, or None when there is nothing to compute."""
        self._chosen = {}
        preemptions = self._news.preemptions
        self._copying.begin(self._pace.spare([rows_of(s, 1) for s in self._running if s.decoding]))
        decode_rows = self._plan_decoding()
        if self._news.preemptions == preemptions:
            self._admit(now)
        prefill_rows = self._plan_prefill(decode_rows)
        if not self._chosen:
            if self._running:
                raise AssertionError(f"none of {self.running} running sequences can go on")
            return None
        return StepPlan(
            rows=tuple(rows_of(sequence, count) for sequence, count in self._chosen.values()),
            sequences=tuple(sequence for sequence, _ in self._chosen.values()),
            operations=self._cache.take_operations(),
            decode_rows=decode_rows,
            prefill_rows=prefill_rows,
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

    def rewind(self, plan: StepPlan) -> list[str]:
        """The model has lost the sequences of `plan`, with whole states all others too: they start again. Names those of `plan` that
        this has happened to too often."""
        self._cache.cancel_reservations()
        for sequence in plan.sequences:
            sequence.losses += 1
        for sequence in plan.sequences if self._cache.partial else list(self._running):
            self._pause(sequence, keep=False)
        if not self._cache.partial:
            self._cache.drop_idle()
        return [sequence.request.id for sequence in plan.sequences if sequence.losses > MOST_LOSSES]

    def learn(self, plan: StepPlan, seconds: float) -> None:
        """The model took so long for the rows of `plan`."""
        self._pace.learn(plan.rows, seconds)

    def learn_copy(self, operation: Save | Load, seconds: float) -> None:
        """The model took so long for a copy."""
        self._copying.learn(operation, seconds)

    def predict(self, plan: StepPlan) -> float:
        """Seconds that the model should take for `plan`; 0.0 where nothing is known."""
        return self._pace.predict(plan.rows) + self._copying.predict(plan.operations)

    def take_news(self) -> News:
        """What has happened since the last call."""
        news, self._news = self._news, News()
        news.evicted_cells, self._cache.evicted = self._cache.evicted, 0
        return news

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
        """Reserves a cell for `sequence`, from later ones if need be. False: it was the last and is preempted itself."""
        while not self._cache.reserve(1):
            last = self._running[-1]
            self._preempt(last)
            if last is sequence:
                return False
        return True

    def _plan_prefill(self, decode_rows: int) -> int:
        line = in_line((s for s in self._running if s.request.id not in self._chosen), self._waiting)
        if not line:
            return 0
        budget = self._limits.batch - decode_rows
        prompts = [Prompt(s.computed, s.pending, wanted) for s, wanted in line]
        if decode_rows:
            budget = self._rows_beside(prompts, budget)
        shares = share_rows(prompts, budget)
        return sum(self._grant(s, rows) for (s, _), rows in zip(line, shares, strict=True) if rows)

    def _rows_beside(self, prompts: list[Prompt], most: int) -> int:
        """Prompt rows beside those who decode. Who makes way for them is saved first: that takes time from the step."""
        decoding = [rows_of(sequence, count) for sequence, count in self._chosen.values()]
        taken, most = self._copying.planned, min(most, sum(prompt.pending for prompt in prompts))
        rows = self._pace.prompt_rows(decoding, prompts, most, taken)
        self._cache.make_room(rows)
        if self._copying.planned == taken:
            return rows
        return self._pace.prompt_rows(decoding, prompts, rows, self._copying.planned)

    def _grant(self, sequence: Sequence, rows: int) -> int:
        """Reserves as many of `rows` as there are cells for; nobody is preempted for a prompt."""
        if not self._cache.reserve(rows):
            rows = self._cache.free
            self._cache.reserve(rows)
        if rows:
            self._choose(sequence, rows)
        return rows

    def _admit(self, now: float) -> None:
        followers: list[Sequence] = []
        for sequence in list(self._waiting):
            # A place is kept for each that waits for a leader: else a later one's long text could be in it when the prefix stands.
            if len(self._running) + len(followers) >= self._limits.parallel:
                return
            if is_led(sequence):
                followers.append(sequence)
                continue
            match = self._match(sequence)
            if self._cache.shares_running and follow(sequence, match, self._running):
                followers.append(sequence)
                continue
            if not self._fits(sequence, match, followers):
                # What is fetched shares no cells with anybody: what the pool has of it may fit all the same.
                match = self._match(sequence, fetch=False)
            if not self._fits(sequence, match, followers):
                return
            claimed = self._cache.claim(match, sequence.request.salt)
            if claimed is None:
                return
            self._start(sequence, *claimed, now)

    def _match(self, sequence: Sequence, *, fetch: bool = True) -> Match:
        if not sequence.request.reuse_cache:
            return NO_MATCH
        return self._cache.match(sequence.tokens, sequence.request.salt, fetch=fetch, resumed=sequence.generated > 0)

    def _fits(self, sequence: Sequence, match: Match, followers: list[Sequence]) -> bool:
        """Whether it may be let in. One alone always is."""
        return not self._running or self._cache.would_fit(match, self._needed(sequence, match.length, followers))

    def _start(self, sequence: Sequence, slot: int, reused: int, now: float) -> None:
        self._waiting.remove(sequence)
        insort(self._running, sequence, key=_rank)
        if sequence.started:
            self._cache.settle(sequence.request.id)
        else:
            self._news.started.append(sequence.request.id)
            self._news.reused_tokens += reused
        sequence.begin(slot, reused, now)

    def _needed(self, sequence: Sequence, reused: int, followers: list[Sequence]) -> int:
        """Cells that `sequence` and those before it will take soon, and a reserve for everyone's next tokens."""
        promised = sum(s.pending for s in self._running if not s.decoding)
        promised += sum(len(s.tokens) - s.join_at for s in followers)
        return len(sequence.tokens) - reused + promised + RESERVE_PER_SEQUENCE * (len(self._running) + len(followers))

    def _choose(self, sequence: Sequence, rows: int) -> None:
        self._chosen[sequence.request.id] = (sequence, rows)

    def _preempt(self, sequence: Sequence) -> None:
        self._pause(sequence, wanted_by=sequence.request.id if sequence.request.reuse_cache else "")
        self._news.preemptions += 1

    def _pause(self, sequence: Sequence, *, keep: bool = True, wanted_by: str = "") -> None:
        self._leave(sequence, keep=keep, wanted_by=wanted_by)
        insort(self._waiting, sequence, key=_rank)

    # Committing

    def _advance(self, sequence: Sequence, sample: Sample | None, now: float, progress: Progress) -> None:
        answer = self._answers[sequence.request.id]
        if sample is not None:
            delta = answer.take(sample, now)
            if sequence.gap is not None:
                progress.gaps.append(sequence.gap)
        elif not sequence.generates:
            delta = answer.end_prompt(now)
        else:
            return
        progress.deltas.append((sequence.request.id, delta))
        if delta.summary is not None:
            del self._answers[sequence.request.id]
            self._leave(sequence)
            outcome = Outcome.LENGTH if delta.summary.reason is StopReason.LIMIT else Outcome.STOP
            progress.left.append((sequence.request.id, sequence.record(outcome, now)))

    def _leave(self, sequence: Sequence, *, keep: bool = True, wanted_by: str = "") -> None:
        """It runs no longer. Its cells stay as an idle prefix, if they are to be trusted."""
        if sequence.slot is not None:
            self._running.remove(sequence)
            self._cache.release(sequence.slot, keep=keep, wanted_by=wanted_by)
            sequence.rest()


def _rank(sequence: Sequence) -> tuple[float, float]:
    return sequence.rank
