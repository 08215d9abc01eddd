"""The learner, fed a synthetic machine: kinked in rows, linear in context, noisy, with bursts, and changing in the middle."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from service.engine.model import Rows
from service.engine.pace import LearnedPace, Prompt, attended, share_rows
from service.engine.step_cost import StepCost

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
    pace = LearnedPace(0.5, cost)
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
    assert 0.4 < pace.predict(rows) <= 0.5
    assert true_seconds(4 + sum(shares), attended(rows)) < 0.5 * 1.3
