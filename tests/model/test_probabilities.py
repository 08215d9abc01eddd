"""Probabilities beside the tokens, as llama-server counts them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from service.engine.llama.model import LlamaModel
from service.engine.llama.probabilities import LOWEST
from service.engine.requests import SamplingParams
from tests.support.native import GREEDY, clear, generate, request_for, tokens_of

HOT = SamplingParams(temperature=1.5, top_k=0, top_p=1.0, min_p=0.0, seed=42)
ALL_ON = SamplingParams(
    repeat_penalty=1.1, dry_multiplier=0.5, top_n_sigma=2.0, typical_p=0.9, xtc_probability=0.5, dynatemp_range=0.5
)


def test_log_probabilities_are_those_of_the_raw_logits(tiny: LlamaModel) -> None:
    clear(tiny)
    request = request_for(
        tiny, "Hello world", SamplingParams(temperature=0.0, top_k=1, logit_bias=((9, 50.0),)), probabilities=5
    )
    [[sample]] = generate(tiny, [request], 1)
    logits = tiny.logits(0).astype(np.float64)
    expected = logits - np.log(np.exp(logits).sum())
    assert sample.probabilities is not None
    assert sample.token == sample.probabilities.chosen.token == 9
    assert sample.probabilities.chosen.value == pytest.approx(expected[9], abs=1e-5)
    top = np.argsort(-logits)[:5]
    assert [chance.token for chance in sample.probabilities.top] == list(top)
    assert [chance.value for chance in sample.probabilities.top] == pytest.approx(list(expected[top]), abs=1e-5)
    assert [chance.piece for chance in sample.probabilities.top] == [
        tiny.piece(int(token), special=False) for token in top
    ]


def test_all_log_probabilities_sum_to_one(tiny: LlamaModel) -> None:
    clear(tiny)
    [[sample]] = generate(tiny, [request_for(tiny, "Hello world", probabilities=10**6)], 1)
    assert sample.probabilities is not None
    assert len(sample.probabilities.top) == tiny.info.vocabulary
    assert sum(math.exp(chance.value) for chance in sample.probabilities.top) == pytest.approx(1.0, abs=1e-6)
    assert min(chance.value for chance in sample.probabilities.top) > LOWEST


def test_probabilities_after_the_chain_are_those_it_chose_from(tiny: LlamaModel) -> None:
    clear(tiny)
    params = SamplingParams(seed=3, top_k=4, top_p=1.0, min_p=0.0, temperature=2.0)
    request = replace(request_for(tiny, "Hello world", params, probabilities=10), post_sampling_probabilities=True)
    [[sample]] = generate(tiny, [request], 1)
    logits = tiny.logits(0).astype(np.float64)
    top = np.argsort(-logits)[:4]
    expected = np.exp(logits[top] / 2) / np.exp(logits[top] / 2).sum()
    assert sample.probabilities is not None
    assert [chance.token for chance in sample.probabilities.top] == list(top)
    assert [chance.value for chance in sample.probabilities.top] == pytest.approx(list(expected), abs=1e-5)
    assert sample.probabilities.chosen in sample.probabilities.top


@pytest.mark.parametrize(
    "params", [HOT, GREEDY, ALL_ON, replace(HOT, mirostat=2), replace(HOT, xtc_probability=1.0, xtc_threshold=1e-4)]
)
def test_asking_for_probabilities_changes_no_text(tiny: LlamaModel, params: SamplingParams) -> None:
    seeded = replace(params, seed=5)
    clear(tiny)
    plain = tokens_of(generate(tiny, [request_for(tiny, "Hello world", seeded)], 16)[0])
    for post_sampling in (False, True):
        clear(tiny)
        request = replace(request_for(tiny, "Hello world", seeded, 3), post_sampling_probabilities=post_sampling)
        assert tokens_of(generate(tiny, [request], 16)[0]) == plain


def test_greedy_choices_are_certain_after_the_chain(tiny: LlamaModel) -> None:
    clear(tiny)
    request = replace(request_for(tiny, "Hello world", GREEDY, 5), post_sampling_probabilities=True)
    [[sample]] = generate(tiny, [request], 1)
    assert sample.probabilities is not None
    assert sample.probabilities.top == (sample.probabilities.chosen,)
    assert sample.probabilities.chosen.value == 1.0
