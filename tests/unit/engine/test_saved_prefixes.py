"""Copies of prefixes beside everything else: what they take from a step, what the loop says of them, and who comes back by them."""

from __future__ import annotations

import pytest

from service.engine.copying import Copying
from service.engine.loop import Abort
from service.engine.model import DecodeResult, Load, Rows, Save
from service.engine.pace import LearnedPace
from service.engine.requests import StepStats
from service.engine.step_cost import KNOTS, StepCost
from tests.support.builders import Bench, make_bench, make_limits, make_request
from tests.support.fake_model import FakeModel, continuation
from tests.unit.engine.test_copying import copying

OLD, LONG, STREAM = b"o" * 200, b"l" * 150, b"s"
SAVING = 0.0001
"""Seconds a token: 20 ms for the old prefix, of the 50 ms that a step may take at a millisecond a row."""


class KnownCost(StepCost):
    """A step's whole time is made use of."""

    def enough_rows(self, decode_rows: int, attended: object, most: int) -> int:
        """All."""
        return most


class KnownPace(LearnedPace):
    """A millisecond a row, whatever the clock says."""

    def __init__(self, gap: float) -> None:
        cost = KnownCost()
        cost._base = [0.001 * knot for knot in KNOTS]
        super().__init__(gap, cost)

    def learn(self, rows: object, seconds: float) -> None:
        """Nothing."""


class KnownCopying(Copying):
    """The same of copies."""

    def learn(self, operation: object, seconds: float) -> None:
        """Nothing."""


def bench_of(*, gap: float = 0.05, saving: float = SAVING) -> Bench:
    """An old prefix fills most of the pool when a stream runs and a long prompt comes."""
    prices = copying(computing=0.001, saving=saving, fetching=saving)
    prices.__class__ = KnownCopying
    model = FakeModel(cells=256, batch=64)
    limits = make_limits(context=256, batch=64)
    bench = Bench(model, limits, KnownPace(gap), shelf=1000, copying=prices)
    bench.submit(make_request("old", OLD, max_tokens=1))
    bench.finish()
    bench.submit(make_request("stream", STREAM, max_tokens=100))
    bench.loop.turn()
    bench.submit(make_request("long", LONG, max_tokens=1))
    return bench


def test_what_saving_takes_of_a_step_is_taken_from_its_prompt_rows() -> None:
    bench = bench_of()
    for _ in range(3):
        bench.loop.turn()
    steps = [step.stats for step in bench.steps[-3:]]
    assert [(stats.prefill_rows, stats.saved_tokens) for stats in steps] == [(49, 0), (29, 200), (49, 0)]
    assert all(0.048 <= stats.predicted_seconds <= 0.0501 for stats in steps), "the copy is in it"


def test_nothing_is_saved_beside_a_text_where_that_alone_would_be_too_long() -> None:
    bench = bench_of(gap=0.015)
    bench.finish()
    (kept,) = (step.stats.saved_tokens for step in bench.steps if step.stats.saved_tokens)
    assert kept < 140, "only what was left when there was time"
    idle = bench_of(gap=0.015)
    idle.loop.handle(Abort("stream"))
    idle.finish()
    assert sum(step.stats.saved_tokens for step in idle.steps) == 200, "nobody's text waits for it"


def test_the_loop_times_copies_and_tells_who_learns_them() -> None:
    bench = make_bench(FakeModel(cells=256, batch=64), shelf=1000)
    for text in (b"a" * 200, b"b" * 200, b"a" * 210):
        bench.submit(make_request(text.decode(), text, max_tokens=1))
        bench.finish()
    saved = [step.stats for step in bench.steps if step.stats.saved_tokens]
    fetched = [step.stats for step in bench.steps if step.stats.fetched_tokens]
    assert [stats.saved_tokens for stats in saved] == [200, 200]
    assert [stats.fetched_tokens for stats in fetched] == [200]
    assert [round(stats.save_seconds, 6) for stats in saved] == [0.001, 0.001], "a look at the clock before, one after"
    assert round(fetched[0].fetch_seconds, 6) == 0.001
    assert all(abs(own(stats)) < 1e-9 for stats in bench_stats(bench))
    assert round(bench.copying.predict((Save(0, 1, 200), Load(1, 0, 200))), 6) == 0.002


def own(stats: StepStats) -> float:
    parts = stats.decode_seconds + stats.sample_seconds + stats.save_seconds + stats.fetch_seconds
    return stats.seconds - parts - stats.own_seconds


def bench_stats(bench: Bench) -> list[StepStats]:
    return [step.stats for step in bench.steps]


def test_a_paused_text_comes_back_from_the_host_s_memory_and_computes_nothing_again() -> None:
    model = FakeModel(cells=100, batch=32)
    bench = make_bench(model, parallel=4, shelf=1000)
    prompts = {name: name.encode() * 12 for name in "abcdef"}
    for name, prompt in prompts.items():
        bench.submit(make_request(name, prompt, max_tokens=60))
    while bench.scheduler.has_work:
        bench.loop.turn()
        bench.scheduler.check_integrity()
    assert sum(step.stats.preemptions for step in bench.steps) > 2
    assert model.fetched > 2
    assert model.rows == sum(len(prompt) + 59 for prompt in prompts.values()), "every token once"
    assert {name: list(text.tokens) for name, text in bench.texts.items()} == {
        name: continuation(list(prompt), 60) for name, prompt in prompts.items()
    }


def test_what_a_paused_request_left_is_nobody_s_when_it_has_gone() -> None:
    model = FakeModel(cells=100, batch=32)
    bench = make_bench(model, parallel=3, shelf=1000)
    for name in "abc":
        bench.submit(make_request(name, name.encode() * 20, max_tokens=60))
    while not bench.cache.wanted_by():
        bench.loop.turn()
        bench.scheduler.check_integrity()
    (name,) = bench.cache.wanted_by()
    bench.loop.handle(Abort(name))
    assert bench.cache.wanted_by() == set()
    bench.finish()


def test_a_pool_that_fails_beside_a_copy_changes_no_text() -> None:
    answers = iter([DecodeResult.OK] * 20 + [DecodeResult.ABORTED, DecodeResult.NO_CELLS, DecodeResult.FAILED])
    model = FakeModel(cells=100, batch=32, fails=lambda groups: next(answers, DecodeResult.OK))
    bench = make_bench(model, parallel=4, shelf=1000)
    for name in "abcdef":
        bench.submit(make_request(name, f"prompt of {name} ".encode(), max_tokens=60))
    bench.finish()
    for name in "abcdef":
        assert list(bench.texts[name].tokens) == continuation(f"prompt of {name} ".encode(), 60)


def test_a_step_s_time_without_texts_has_no_end() -> None:
    pace = KnownPace(0.05)
    assert pace.spare([]) == float("inf")
    assert pace.spare([Rows(0, 5, [1], wants_sample=True)] * 20) == 0.05 - 0.02
    assert pace.spare([Rows(0, 5, [1], wants_sample=True)] * 60) == pytest.approx(0.006)


def test_where_the_cells_for_a_fetch_are_not_there_the_pool_s_beginning_is_shared_instead() -> None:
    """What is fetched shares no cells. Waiting for as many as the whole text has could be for the rest of another's."""
    bench = make_bench(FakeModel(cells=260, batch=200), shelf=1000)
    shared = b"s" * 150
    for name in "ab":
        bench.submit(make_request(name, shared + name.encode() * 20, max_tokens=60))
        while name not in bench.texts:
            bench.loop.turn()
    paused = bench.scheduler._answers["b"].sequence
    bench.scheduler._preempt(paused)
    bench.cache.make_room(85)
    bench.loop.turn()
    assert bench.steps[-1].stats.saved_tokens > 150
    assert (paused.slot is not None, bench.steps[-1].stats.fetched_tokens) == (True, 0)
    bench.finish()
    assert list(bench.texts["b"].tokens) == continuation(shared + b"b" * 20, 60)
