"""The learner, fed a synthetic machine: kinked in rows, linear in context, noisy, with bursts, and changing in the middle."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

import pytest

from service.engine.model import Rows
from service.engine.pace import LearnedPace, Prompt, attended, share_rows
from service.engine.step_cost import KNOTS, StepCost

MEASURED = [(1, 35), (4, 50), (8, 93), (12, 120), (16, 114), (24, 176), (32, 205), (64, 381), (128, 746), (512, 3322)]
"""Milliseconds by rows of a 1B model on two cores."""


def true_seconds(rows: int, attended: int) -> float:
    for (left, low), (right, high) in pairwise(MEASURED):
        if left <= rows <= right:
            return (low + (high - low) * (rows - left) / (right - left) + 0.005 * attended) / 1000
    raise ValueError(rows)


def feed(cost: StepCost, steps: int, *, scale: float = 1.0, seed: int = 1) -> float:
    """Random traffic; returns the mean relative error of the predictions over the last half."""
    rnd, errors = random.Random(seed), []
    for _ in range(steps):
        decoding, prompt = rnd.choice([1, 2, 4, 8, 8]), rnd.choice([0, 0, 0, 64, 128, rnd.randrange(1, 300)])
        context = rnd.randrange(2000)
        attended = decoding * rnd.randrange(50, 1500) + prompt * context + prompt * prompt // 2
        seconds = scale * true_seconds(decoding + prompt, attended)
        errors.append(abs(cost.predict(decoding + prompt, attended) - seconds) / seconds)
        burst = 3 if rnd.random() < 0.01 else 1
        cost.observe(decoding + prompt, attended, seconds * rnd.lognormvariate(0, 0.08) * burst)
    return sum(errors[steps // 2 :]) / (steps - steps // 2)


def prompt(pending: int, computed: int = 0) -> Prompt:
    return Prompt(computed, pending, wanted=pending)


def test_it_converges_on_a_noisy_machine() -> None:
    cost = StepCost()
    feed(cost, 600)
    assert feed(cost, 600, seed=2) < 0.08


@pytest.mark.parametrize("scale", [1.8, 0.6, 0.3])
def test_it_follows_a_machine_that_becomes_another(scale: float) -> None:
    cost = StepCost()
    feed(cost, 600)
    feed(cost, 150, scale=scale, seed=2)
    assert feed(cost, 300, scale=scale, seed=3) < 0.10


def test_one_burst_does_not_change_its_mind() -> None:
    cost = StepCost()
    feed(cost, 1000)
    before = cost.predict(8, 4000)
    cost.observe(8, 4000, 60.0)
    assert cost.predict(8, 4000) < 1.5 * before


def test_what_was_never_seen_is_guessed_from_its_neighbours() -> None:
    cost = StepCost()
    cost.observe(1, 0, 0.030)
    cost.observe(64, 0, 0.400)
    assert 0.030 < cost.predict(32, 0) < 0.400
    assert cost.predict(512, 0) == pytest.approx(cost.predict(64, 0) * 8, rel=0.01)
    assert cost.predict(16384, 0) == pytest.approx(cost.predict(64, 0) * 256, rel=0.01), (
        "the largest batch that can be set"
    )


@pytest.mark.parametrize("gap", [0.1, 0.3, 0.75, 2.0])
def test_the_rows_it_allows_keep_within_the_time(gap: float) -> None:
    cost = StepCost()
    feed(cost, 2000)
    for context in (0, 500, 1600):
        rows = cost.rows_within(gap, 4, lambda n, behind=context: 4 * 300 + n * behind + n * n // 2, 500)  # type: ignore[misc]
        if rows:
            assert true_seconds(4 + rows, 1200 + rows * context + rows * rows // 2) < gap * 1.2
        if rows < 490:
            more = rows + 10
            assert true_seconds(4 + more, 1200 + more * context + more * more // 2) > gap * 0.8


def known(base: Callable[[int], float]) -> StepCost:
    """A machine without noise, known at every knot; attention is free."""
    cost = StepCost()
    cost._base = [base(knot) for knot in KNOTS]
    return cost


def test_a_step_is_no_longer_than_pays() -> None:
    """Beside four decoding rows, 14 ms, each more costs the same; 96 is the first knot with which the step takes six times that."""
    cost = known(lambda rows: 0.010 + 0.001 * rows)
    assert cost.enough_rows(4, lambda _: 0, 350) == 96
    assert cost.enough_rows(4, lambda _: 0, 80) == 80, "no more than there are, or than the gap allows"
    assert cost.enough_rows(4, lambda _: 0, 0) == 0


def test_rows_that_are_cheaper_in_a_longer_step_make_it_longer() -> None:
    """A GPU: the first 256 rows are nearly free."""
    cost = known(lambda rows: 0.001 + 0.00001 * rows + 0.0001 * max(0, rows - 256))
    assert cost.enough_rows(8, lambda _: 0, 256) == 256
    unpacking = known(lambda rows: 0.001 * rows + 0.2 * (rows > 8))
    assert unpacking.enough_rows(4, lambda _: 0, 2000) == 1024, "what a step costs once is spread over enough of them"


def test_who_decodes_keeps_a_sixth_of_its_speed_where_the_gap_allows_it() -> None:
    cost = StepCost()
    feed(cost, 2000)
    pace = LearnedPace(10.0, cost)
    decoding = [Rows(slot, 300, [1], wants_sample=True) for slot in range(4)]
    rows = pace.prompt_rows(decoding, [prompt(500)], 500, 0.0)
    longer = pace.predict([*decoding, Rows(9, 0, [1] * rows, wants_sample=False)])
    assert 6 <= longer / pace.predict(decoding) < 10
    assert rows < 150


def test_a_prompt_always_goes_on() -> None:
    pace = LearnedPace(gap=0.001)
    pace.learn([Rows(0, 0, [0] * 64, wants_sample=True)], 5.0)
    assert pace.prompt_rows([Rows(0, 10, [1], wants_sample=True)], [prompt(100)], 100, 0.0) == 8


@pytest.mark.parametrize(
    ("pending", "budget", "shares"),
    [
        ([1000], 64, [64]),
        ([1000, 5], 64, [59, 5]),
        ([1000, 40, 10], 64, [32, 22, 10]),
        ([10, 1000], 64, [10, 54]),
        ([5, 5], 64, [5, 5]),
        ([7, 7, 7], 0, [0, 0, 0]),
    ],
)
def test_half_goes_to_the_first_and_the_rest_to_the_shortest(
    pending: list[int], budget: int, shares: list[int]
) -> None:
    assert share_rows([prompt(rows) for rows in pending], budget) == shares


def test_what_somebody_waits_for_is_as_short_as_that() -> None:
    assert share_rows([prompt(1000), Prompt(0, 5000, wanted=20), prompt(30)], 100) == [50, 20, 30]
    assert share_rows([prompt(10), Prompt(0, 5000, wanted=20), prompt(30)], 100) == [10, 60, 30]


def test_the_gap_holds_whoever_of_the_prompts_stands_behind_many_tokens() -> None:
    cost = StepCost()
    feed(cost, 2000)
    pace = LearnedPace(0.3, cost)
    decoding = [Rows(slot, 300, [1], wants_sample=True) for slot in range(4)]
    prompts = [prompt(600), prompt(500, computed=8000)]
    shares = share_rows(prompts, pace.prompt_rows(decoding, prompts, 500, 0.0))
    rows = [
        *decoding,
        *(
            Rows(9, each.computed, [1] * share, wants_sample=False)
            for each, share in zip(prompts, shares, strict=True)
            if share
        ),
    ]
    assert shares[1] > 0
    assert 0.25 < pace.predict(rows) <= 0.3
    assert true_seconds(4 + sum(shares), attended(rows)) < 0.3 * 1.3
