"""What copies cost, learned from synthetic machines, and what is made of it."""

from __future__ import annotations

import random

import pytest

from service.engine.calibration import calibrate
from service.engine.copy_cost import HALVED_BY, CopyCost
from service.engine.copying import FIRST_TOKENS, LEAST_TOKENS, Copying
from service.engine.model import DecodeResult, Drop, Load, Rows, Save, Trim
from service.engine.pace import LearnedPace
from service.engine.step_cost import StepCost
from tests.support.fake_model import FakeModel


def taught(rate: float) -> CopyCost:
    """Seconds a token, nothing for the start."""
    cost = CopyCost()
    cost._rate = rate
    return cost


def copying(*, computing: float, saving: float, fetching: float) -> Copying:
    """All three in seconds a token."""
    made = Copying(lambda start, end: computing * (end - start))
    made._saving, made._fetching = taught(saving), taught(fetching)
    return made


def feed(cost: CopyCost, copies: int, start: float, rate: float, seed: int = 1) -> float:
    """Random prefixes; returns the mean relative error of the predictions over the last half."""
    rnd, errors = random.Random(seed), []
    for _ in range(copies):
        tokens = rnd.choice([70, 200, 1000, rnd.randrange(64, 8000)])
        seconds = start + rate * tokens
        errors.append(abs(cost.predict(tokens) - seconds) / seconds)
        cost.observe(tokens, seconds * rnd.lognormvariate(0, 0.08) * (4 if rnd.random() < 0.01 else 1))
    return sum(errors[copies // 2 :]) / (copies - copies // 2)


@pytest.mark.parametrize(("start", "rate"), [(0.0005, 2e-5), (0.02, 2e-5), (0.0, 1e-3), (0.01, 1e-7)])
def test_it_learns_the_start_and_the_rate_of_a_noisy_machine(start: float, rate: float) -> None:
    cost = CopyCost()
    feed(cost, 300, start, rate)
    assert feed(cost, 300, start, rate, seed=2) < 0.12


@pytest.mark.parametrize("scale", [4.0, 0.25])
def test_it_follows_a_machine_that_becomes_another(scale: float) -> None:
    cost = CopyCost()
    feed(cost, 300, 0.001, 2e-5)
    feed(cost, 60, 0.001 * scale, 2e-5 * scale, seed=2)
    assert feed(cost, 200, 0.001 * scale, 2e-5 * scale, seed=3) < 0.2


def test_a_prefix_is_copied_where_that_is_clearly_faster_than_computing() -> None:
    made = copying(computing=0.01, saving=0.001, fetching=0.001)
    assert made.pays_saving(100)
    assert made.pays_fetching(100, 0, 100)
    assert made.pays_fetching(100, 70, 100), "30 tokens in 0.1 s, computed in 0.3 s"
    assert not made.pays_fetching(100, 85, 100), "15 tokens would take 0.15 s"


@pytest.mark.parametrize(("computing", "copied"), [(0.01, 0.006), (1e-5, 6e-6), (0.01, 1.0)])
def test_where_copying_is_slow_or_computing_fast_nothing_is_copied(computing: float, copied: float) -> None:
    made = copying(computing=computing, saving=copied, fetching=copied)
    assert not any(made.pays_saving(tokens) for tokens in (10, 100, 10_000))
    assert not any(made.pays_fetching(tokens, 0, tokens) for tokens in (10, 100, 10_000))


def test_short_prefixes_are_not_worth_the_start_of_a_copy() -> None:
    made = copying(computing=0.001, saving=1e-5, fetching=1e-5)
    made._saving._start = made._fetching._start = 0.02
    assert not made.pays_saving(50)
    assert made.pays_saving(100)


def test_the_price_drifts_and_the_decision_with_it() -> None:
    made = copying(computing=0.01, saving=0.001, fetching=0.001)
    for _ in range(60):
        made.learn(Save(0, 1, 500), 500 * 0.01)
        made.learn(Load(1, 0, 500), 500 * 0.01)
    assert not made.pays_saving(500)
    assert not made.pays_fetching(500, 0, 500)
    for _ in range(60):
        made.learn(Save(0, 1, 500), 500 * 0.001)
        made.learn(Load(1, 0, 500), 500 * 0.001)
    assert made.pays_saving(500)
    assert made.pays_fetching(500, 0, 500)


def test_a_price_that_was_only_once_so_high_is_tried_again() -> None:
    made = Copying(lambda start, end: 0.01 * (end - start))
    made.learn(Save(0, 1, 100), 100.0)
    refused = next(number for number in range(20 * HALVED_BY) if made.pays_saving(100))
    assert refused > HALVED_BY
    made.learn(Save(0, 1, 100), 0.01)
    assert made.pays_saving(100)


def test_a_machine_that_copies_slowly_is_seldom_tried() -> None:
    made, tries = copying(computing=0.01, saving=0.1, fetching=0.1), 0
    for _ in range(3000):
        if made.pays_saving(100):
            tries += 1
            made.learn(Save(0, 1, 100), 10.0)
            made.learn(Load(1, 0, 100), 10.0)
    assert 0 < tries < 15


def test_while_nothing_is_known_there_is_a_shortest_and_beside_texts_a_longest() -> None:
    made = Copying(lambda start, end: 0.01 * (end - start))
    assert not made.pays_saving(LEAST_TOKENS - 1)
    assert made.pays_saving(LEAST_TOKENS)
    assert not made.pays_fetching(1000, 1000 - LEAST_TOKENS + 1, 1000)
    assert made.time_to_save(10_000), "nobody decodes"
    made.begin(0.5)
    assert made.time_to_save(FIRST_TOKENS)
    assert not made.time_to_save(FIRST_TOKENS + 1)
    assert not made.time_to_fetch(FIRST_TOKENS + 1)


def test_copies_of_a_step_share_its_time() -> None:
    made = copying(computing=1.0, saving=0.001, fetching=0.002)
    made.begin(0.5)
    assert made.time_to_save(500)
    assert made.plan_fetching(200)
    assert made.planned == pytest.approx(0.4)
    assert made.time_to_save(100)
    assert not made.time_to_save(101)
    assert not made.plan_fetching(51)
    assert made.time_to_fetch(250), "in another step"
    made.begin(0.5)
    assert made.planned == 0


def test_what_has_never_been_fetched_costs_what_saving_does() -> None:
    made = Copying(lambda start, end: 0.0)
    made.learn(Save(0, 1, 100), 0.1)
    assert made.predict((Load(1, 0, 100), Trim(0, 5), Drop(1))) == pytest.approx(0.1)
    made.learn(Load(1, 0, 100), 0.3)
    assert made.predict((Save(0, 1, 100), Load(1, 0, 100))) == pytest.approx(0.4)


def test_computing_is_priced_by_steps_and_by_what_the_rows_look_at() -> None:
    cost = StepCost()
    pace = LearnedPace(0.5, cost)
    assert pace.computing(0, 1000, 512) == 0.0
    for rows in (1, 512):
        pace.learn([Rows(0, 0, [0] * rows, wants_sample=True)], 0.001 * rows)
    cost._attention = 1e-7
    short, long = pace.computing(0, 100, 512), pace.computing(0, 5000, 512)
    assert 40 * short < long < 80 * short
    behind = pace.computing(4900, 5000, 512)
    assert behind == pytest.approx(short + 100 * 4900 * 1e-7)


class Stopwatch:
    """Each look takes a millisecond."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


@pytest.mark.parametrize(("room", "known"), [(0, False), (63, False), (64, True)])
def test_the_start_s_trial_teaches_what_copies_cost_where_they_have_room(room: int, known: bool) -> None:
    model, pace = FakeModel(cells=100, batch=64), LearnedPace(0.5)
    made = Copying(lambda start, end: pace.computing(start, end, model.batch))
    calibrate(model, pace, made, room, clock=Stopwatch())
    assert pace.predict([Rows(0, 0, [0] * 64, wants_sample=True)]) == pytest.approx(0.001, rel=0.1)
    assert made.predict((Save(0, 1, 64), Load(1, 0, 64))) == pytest.approx(0.002 if known else 0.0)
    assert (model.pool, model.saved) == ([], {})


def test_a_trial_that_fails_teaches_nothing_more_and_leaves_nothing() -> None:
    model, pace = FakeModel(cells=100, batch=64), LearnedPace(0.5)
    model.fails = lambda groups: DecodeResult.FAILED if len(groups[0].tokens) > 8 else DecodeResult.OK
    made = Copying(lambda start, end: 0.0)
    calibrate(model, pace, made, 1000, clock=Stopwatch())
    assert made.predict((Save(0, 1, 64),)) == 0.0
    assert (model.pool, model.saved) == ([], {})
