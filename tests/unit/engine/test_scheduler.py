"""How steps are filled: who goes first, who waits, who makes way."""

from __future__ import annotations

from typing import Any

from service.engine.loop import Abort
from service.engine.model import DecodeResult
from tests.support.builders import Bench, make_bench, make_request
from tests.support.fake_model import FakeModel, continuation


def submit(bench: Bench, name: str, prompt: bytes, **options: Any) -> None:
    bench.submit(make_request(name, prompt, **options))


def test_a_prompt_alone_takes_the_whole_batch() -> None:
    bench = make_bench(FakeModel(cells=256, batch=64), busy_prefill=8)
    submit(bench, "a", b"x" * 100)
    bench.loop.turn()
    assert [step.stats.prefill_rows for step in bench.steps] == [64]


def test_a_long_prompt_leaves_room_for_those_who_decode() -> None:
    bench = make_bench(FakeModel(cells=256, batch=64), busy_prefill=8)
    submit(bench, "stream", b"hi", max_tokens=20)
    bench.loop.turn()
    submit(bench, "long", b"x" * 100)
    for _ in range(5):
        bench.loop.turn()
    assert [(s.stats.decode_rows, s.stats.prefill_rows) for s in bench.steps[1:]] == [(1, 8)] * 5


def test_a_short_prompt_overtakes_a_long_one_that_still_goes_on() -> None:
    bench = make_bench(FakeModel(cells=512, batch=64), busy_prefill=16)
    submit(bench, "stream", b"hi", max_tokens=30)
    bench.loop.turn()
    submit(bench, "long", b"x" * 200)
    submit(bench, "short", b"quick")
    bench.loop.turn()
    assert bench.texts["short"].generated_tokens == 1
    assert bench.steps[-1].stats.prefill_rows == 16


def test_no_more_than_parallel_run_at_once() -> None:
    bench = make_bench(parallel=2)
    for name in "abc":
        submit(bench, name, name.encode())
    bench.loop.turn()
    assert (bench.scheduler.running, bench.scheduler.waiting) == (2, 1)


def test_a_second_request_does_not_compute_what_stands_in_the_cache() -> None:
    bench = make_bench()
    submit(bench, "a", b"the same beginning, one")
    bench.finish()
    submit(bench, "b", b"the same beginning, two")
    bench.finish()
    assert bench.texts["b"].cached_tokens == 20
    assert bench.model.rows == 23 + 7 + 3 + 7  # type: ignore[attr-defined]


def test_a_request_that_wants_no_cache_computes_all() -> None:
    bench = make_bench()
    submit(bench, "a", b"the same beginning")
    bench.finish()
    submit(bench, "b", b"the same beginning", reuse_cache=False)
    bench.finish()
    assert bench.texts["b"].cached_tokens == 0


def test_a_salt_keeps_tenants_apart() -> None:
    bench = make_bench()
    submit(bench, "a", b"a secret prompt", salt="alice")
    bench.finish()
    submit(bench, "b", b"a secret prompt", salt="bob")
    bench.finish()
    assert bench.texts["b"].cached_tokens == 0


def test_a_pool_too_small_for_all_fails_nobody() -> None:
    bench = make_bench(FakeModel(cells=100, batch=32), parallel=4)
    for name in "abcdef":
        submit(bench, name, f"prompt of {name} ".encode(), max_tokens=60)
    bench.finish()
    assert sum(step.stats.preemptions for step in bench.steps) > 0
    assert {name: list(text.tokens) for name, text in bench.texts.items()} == {
        name: continuation(list(f"prompt of {name} ".encode()), 60) for name in "abcdef"
    }


def test_the_youngest_makes_way_and_the_oldest_never_pauses() -> None:
    bench = make_bench(FakeModel(cells=60, batch=32), parallel=3)
    for name in "abc":
        submit(bench, name, name.encode() * 8, max_tokens=40)
    steps = 0
    while "a" not in bench.outcomes:
        bench.loop.turn()
        steps += 1
    assert steps == 40
    assert "c" not in bench.outcomes


def test_a_text_ends_at_the_context_and_says_so() -> None:
    bench = make_bench(context=32)
    submit(bench, "a", b"x" * 30, max_tokens=-1)
    bench.finish()
    summary = bench.texts["a"].summary
    assert summary is not None
    assert (summary.generated_tokens, summary.truncated, summary.reason.value) == (2, True, "limit")


def test_zero_tokens_computes_the_prompt_for_the_next() -> None:
    bench = make_bench()
    submit(bench, "a", b"warm this prompt", max_tokens=0)
    bench.finish()
    summary = bench.texts["a"].summary
    assert summary is not None
    assert (bench.texts["a"].text, summary.generated_tokens, bench.outcomes["a"]) == ("", 0, "length")
    submit(bench, "b", b"warm this prompt", max_tokens=1)
    bench.finish()
    assert bench.texts["b"].cached_tokens == 15


def test_a_stop_string_ends_the_text_in_its_step() -> None:
    prompt = b"tell me"
    text = bytes(continuation(prompt, 30)).decode()
    bench = make_bench()
    submit(bench, "a", prompt, max_tokens=30, stop=(text[10:13],))
    bench.finish()
    summary = bench.texts["a"].summary
    assert summary is not None
    assert (bench.texts["a"].text, summary.stopping_word) == (text[: text.find(text[10:13])], text[10:13])


def test_a_vanished_client_frees_its_place_before_the_next_step() -> None:
    bench = make_bench(parallel=1)
    submit(bench, "a", b"x" * 100, max_tokens=50)
    submit(bench, "b", b"y", max_tokens=1)
    bench.loop.turn()
    bench.loop.handle(Abort("a"))
    bench.loop.turn()
    assert bench.outcomes == {"a": "aborted", "b": "length"}


def test_an_abort_without_work_left_is_still_reported() -> None:
    bench = make_bench(parallel=1)
    submit(bench, "a", b"x")
    bench.loop.handle(Abort("a"))
    bench.loop.turn()
    assert bench.outcomes == {"a": "aborted"}
    assert (bench.steps[-1].stats.running, bench.steps[-1].stats.prefill_rows) == (0, 0)


def test_a_failing_decode_fails_only_its_own_request() -> None:
    model = FakeModel()
    bench = make_bench(model)
    for name in "abc":
        submit(bench, name, name.encode() * 5)
    bench.loop.turn()
    bad = bench.scheduler._answers["b"].sequence.slot
    model.fails = lambda groups: DecodeResult.FAILED if bad in {g.sequence for g in groups} else DecodeResult.OK
    bench.loop.turn()
    model.fails = lambda groups: DecodeResult.OK
    bench.finish()
    assert bench.outcomes == {"a": "length", "b": "failed", "c": "length"}
    assert bench.failures == {"b": "request_failed"}
    assert list(bench.texts["c"].tokens) == continuation(b"ccccc", 8)


def test_what_a_failed_request_computed_is_not_trusted() -> None:
    model = FakeModel()
    bench = make_bench(model)
    submit(bench, "a", b"x" * 100)
    bench.loop.turn()
    model.fails = lambda groups: DecodeResult.FAILED
    bench.loop.turn()
    model.fails = lambda groups: DecodeResult.OK
    submit(bench, "b", b"x" * 100)
    bench.finish()
    assert bench.texts["b"].cached_tokens == 0


def test_a_decode_without_cells_is_tried_again_smaller() -> None:
    model = FakeModel()
    bench = make_bench(model)
    submit(bench, "old", b"an idle prefix")
    bench.finish()
    submit(bench, "a", b"hello")
    answers = iter([DecodeResult.NO_CELLS])
    model.fails = lambda groups: next(answers, DecodeResult.OK)
    bench.finish()
    assert bench.outcomes["a"] == "length"


def test_those_who_begin_alike_wait_for_the_one_who_computes_it() -> None:
    bench = make_bench(FakeModel(cells=512, batch=64), parallel=8)
    beginning = b"You are a helpful assistant. " * 7
    for name in "abcdefgh":
        submit(bench, name, beginning + name.encode(), max_tokens=4)
    bench.finish()
    assert bench.model.rows == len(beginning) + 8 * (1 + 3)  # type: ignore[attr-defined]
    assert {name: list(text.tokens) for name, text in bench.texts.items()} == {
        name: continuation(beginning + name.encode(), 4) for name in "abcdefgh"
    }


def test_another_takes_over_where_a_leader_that_went_away_stood() -> None:
    bench = make_bench(FakeModel(cells=512, batch=64), parallel=8)
    beginning = b"a long shared beginning of many words " * 6
    for name in "abc":
        submit(bench, name, beginning + name.encode(), max_tokens=1)
    bench.loop.turn()
    bench.loop.handle(Abort("a"))
    bench.finish()
    assert bench.model.rows == len(beginning) + 2  # type: ignore[attr-defined]
    assert bench.texts["b"].cached_tokens == 64


def test_nobody_waits_for_a_leader_of_another_salt() -> None:
    bench = make_bench(FakeModel(cells=512, batch=64), parallel=8)
    for name in "ab":
        submit(bench, name, b"the same long beginning of two tenants" + name.encode(), salt=name)
    bench.loop.turn()
    assert bench.scheduler.running == 2


def test_a_stranger_is_not_held_up_by_those_who_wait_for_a_leader() -> None:
    bench = make_bench(FakeModel(cells=512, batch=64), parallel=4)
    for name in "abc":
        submit(bench, name, b"the same long beginning " * 8 + name.encode())
    submit(bench, "d", b"something else")
    bench.loop.turn()
    assert "d" in bench.texts


def test_the_place_of_one_that_waits_for_a_leader_is_not_given_to_those_behind_it() -> None:
    turns = {}
    for salt in ("", "alone"):
        bench = make_bench(FakeModel(cells=1024, batch=64), parallel=2)
        submit(bench, "leader", b"the same long beginning " * 8 + b"l", max_tokens=200)
        bench.loop.turn()
        submit(bench, "follower", b"the same long beginning " * 8 + b"f", salt=salt)
        submit(bench, "stranger", b"something else", max_tokens=200)
        turns[salt] = 0
        while "follower" not in bench.outcomes:
            bench.loop.turn()
            turns[salt] += 1
    assert turns[""] <= turns["alone"]


def test_another_goes_on_where_a_leader_that_was_paused_stood() -> None:
    """A running text takes the cells that a leader's prompt is computed in; the rest of the prompt is computed once all the same."""
    bench = make_bench(FakeModel(cells=200, batch=64), busy_prefill=8, parallel=4)
    shared = b"a beginning that two begin with. " * 4
    submit(bench, "text", b"t", max_tokens=60)
    bench.loop.turn()
    for name in "ab":
        submit(bench, name, shared + name.encode(), max_tokens=2)
    for _ in range(4):
        bench.loop.turn()
    leader, follower = (bench.scheduler._answers[name].sequence for name in "ab")
    assert follower.leader is leader
    assert 0 < leader.computed < len(shared)
    bench.scheduler._preempt(leader)
    bench.scheduler.check_integrity()
    bench.loop.turn()
    assert leader.slot is not None, "first in line, it takes over from itself"
    bench.loop.handle(Abort("a"))
    bench.finish()
    assert bench.model.rows == 1 + 59 + len(shared) + 1 + 1  # type: ignore[attr-defined]
    assert list(bench.texts["b"].tokens) == continuation(shared + b"b", 2)


def test_waiting_for_a_leader_never_takes_longer_than_computing_alone() -> None:
    """A leader stands behind a longer prompt; whoever waits for its beginning would be the shortest, or the first, alone."""
    turns = {}
    for salt in ("", "alone"):
        for priority in (0, -100):
            bench = make_bench(FakeModel(cells=4096, batch=64), parallel=8)
            shared = b"beginning " * 20
            submit(bench, "first", b"f" * 1500)
            submit(bench, "leader", shared + b"l" * 1200)
            bench.loop.turn()
            submit(bench, "short", b"s" * 600)
            submit(bench, "follower", shared + b"f", salt=salt, priority=priority)
            turns[salt, priority] = 0
            while "follower" not in bench.texts:
                bench.loop.turn()
                turns[salt, priority] += 1
    assert turns["", 0] <= turns["alone", 0] + 1, "the step after the join computes its own rest"
    assert turns["", -100] <= turns["alone", -100] + 1


def test_nobody_waits_for_a_leader_that_a_window_makes_forget() -> None:
    bench = make_bench(FakeModel(cells=512, batch=64, window=12), parallel=4)
    for name in "ab":
        submit(bench, name, b"the same long beginning " * 8 + name.encode())
    bench.loop.turn()
    assert bench.scheduler.running == 2


def test_a_lower_priority_number_is_let_in_sooner() -> None:
    bench = make_bench(parallel=1)
    submit(bench, "first", b"1", max_tokens=1)
    submit(bench, "late", b"2", max_tokens=1, priority=1)
    submit(bench, "urgent", b"3", max_tokens=1, priority=-1)
    bench.finish()
    assert list(bench.outcomes) == ["urgent", "first", "late"]


def test_nobody_starves_behind_urgent_ones() -> None:
    bench = make_bench(parallel=1)
    submit(bench, "patient", b"1", max_tokens=1, priority=5)
    for number in range(12):
        submit(bench, f"urgent{number}", b"2", max_tokens=1)
        bench.loop.turn()
        bench.now += 10
    assert list(bench.outcomes).index("patient") < 7


def test_the_time_between_two_tokens_has_the_pauses_in_it() -> None:
    answers = iter([DecodeResult.OK, DecodeResult.ABORTED, DecodeResult.OK])
    bench = make_bench(FakeModel(fails=lambda groups: next(answers)))
    submit(bench, "a", b"x", max_tokens=2)
    bench.loop.turn()
    bench.now += 3
    bench.loop.turn()
    bench.now += 4
    bench.loop.turn()
    assert [round(gap) for step in bench.steps for gap in step.stats.token_gaps] == [7]


def test_the_least_important_makes_way_when_cells_run_out() -> None:
    bench = make_bench(FakeModel(cells=60, batch=32), parallel=3)
    submit(bench, "low", b"l" * 8, max_tokens=40, priority=9)
    for name in "ab":
        submit(bench, name, name.encode() * 8, max_tokens=40)
    bench.finish()
    assert list(bench.outcomes)[-1] == "low"


def test_a_deadline_ends_a_request_that_waits() -> None:
    bench = make_bench(parallel=1)
    submit(bench, "running", b"1", max_tokens=50)
    submit(bench, "waiting", b"2", deadline=5.0)
    bench.loop.turn()
    bench.now += 6
    bench.loop.turn()
    assert bench.outcomes == {"waiting": "overdue"}
    assert bench.failures == {"waiting": "deadline_exceeded"}


def test_a_deadline_ends_a_request_that_runs_and_keeps_its_text() -> None:
    bench = make_bench()
    submit(bench, "a", b"go", max_tokens=50, deadline=5.0)
    for _ in range(4):
        bench.loop.turn()
    bench.now += 6
    bench.loop.turn()
    assert bench.texts["a"].generated_tokens == 4
    assert bench.outcomes == {"a": "overdue"}


def test_one_that_resumes_on_all_but_its_last_token_goes_on_at_once() -> None:
    model = FakeModel()
    bench = make_bench(model)
    for name in "ab":
        submit(bench, name, name.encode())
    bench.loop.turn()
    answers = iter([DecodeResult.NO_CELLS])
    model.fails = lambda groups: next(answers, DecodeResult.OK)
    bench.loop.turn()
    bench.loop.handle(Abort("a"))
    bench.finish()
    assert list(bench.texts["b"].tokens) == continuation(b"b", 8)


def test_whole_states_are_all_lost_together() -> None:
    model = FakeModel(keeps_partial=False, batch=4)
    bench = make_bench(model)
    submit(bench, "idle", b"idle")
    bench.finish()
    for name in ("a", "b"):
        submit(bench, name, name.encode() * 12)
        bench.loop.turn()
    answers = iter([DecodeResult.LOST])
    model.fails = lambda groups: next(answers, DecodeResult.OK)
    bench.loop.turn()
    assert (bench.cache.used, bench.scheduler.running) == (0, 0)
    bench.finish()
    for name in ("a", "b"):
        assert list(bench.texts[name].tokens) == continuation(name.encode() * 12, 8)


def test_whole_states_that_are_lost_by_one_alone_are_lost_by_all() -> None:
    model = FakeModel(keeps_partial=False)
    bench = make_bench(model)
    for name in ("a", "b", "c"):
        submit(bench, name, name.encode() * 12)
    bench.loop.turn()
    answers = iter([DecodeResult.FAILED, DecodeResult.OK, DecodeResult.LOST])
    model.fails = lambda groups: next(answers, DecodeResult.OK)
    bench.finish()
    assert bench.outcomes == {"a": "length", "b": "failed", "c": "length"}
    for name in ("a", "c"):
        assert list(bench.texts[name].tokens) == continuation(name.encode() * 12, 8)


def test_a_refused_sampler_leaves_nothing_to_the_next_request() -> None:
    model = FakeModel(refuses=lambda request: request.id == "bad")
    bench = make_bench(model)
    submit(bench, "bad", b"x" * 12, reuse_cache=False)
    bench.finish()
    assert bench.failures == {"bad": "invalid_request"}
    submit(bench, "good", b"y")
    bench.finish()
    assert list(bench.texts["good"].tokens) == continuation(b"y", 8)


def test_nobody_waits_for_a_state_that_cannot_be_shared() -> None:
    bench = make_bench(FakeModel(keeps_partial=False), parallel=4)
    for index in range(4):
        submit(bench, f"r{index}", b"the same beginning for all of them " + bytes([index]))
    bench.loop.turn()
    assert bench.scheduler.running == 4


def test_a_request_whose_state_is_lost_starts_again_but_not_for_ever() -> None:
    model = FakeModel(keeps_partial=False)
    bench = make_bench(model)
    submit(bench, "a", b"hello", max_tokens=3)
    answers = iter([DecodeResult.LOST])
    model.fails = lambda groups: next(answers, DecodeResult.OK)
    bench.finish()
    assert list(bench.texts["a"].tokens) == continuation(b"hello", 3)
    model.fails = lambda groups: DecodeResult.LOST
    submit(bench, "b", b"world")
    bench.finish()
    assert bench.outcomes["b"] == "failed"
