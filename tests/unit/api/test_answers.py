"""Figures of answers: never a NaN, counted as llama-server counts them."""

from __future__ import annotations

import math

import msgspec
import pytest

from service.api.answers import finish_reason, finite, piece_text, timings, token_logprobs, usage
from service.api.completion_shape import CompletionShape
from service.api.generation_settings import generation_settings
from service.api.order import Order
from service.api.sampling import FLOAT32
from service.engine.requests import (
    Delta,
    GenerationRequest,
    SamplingParams,
    StopReason,
    Summary,
    Timings,
    TokenChance,
    TokenProbabilities,
)


def make_order(*, texts: int = 1, copies: int = 1, alternatives: int | None = 2, after: bool = False) -> Order:
    request = GenerationRequest(id="x", prompt=(1, 2, 3), post_sampling_probabilities=after)
    return Order("x", 0, "m", "b0", (request,) * texts * copies, copies=copies, alternatives=alternatives)


def make_summary(prompt: int = 10, cached: int = 4, generated: int = 5) -> Summary:
    return Summary(StopReason.LIMIT, prompt, cached, generated, Timings())


def test_timings_take_the_first_token_as_part_of_the_prompt() -> None:
    clock = Timings(arrived=1.0, started=2.0, first_token=4.0, ended=8.0)
    told = timings(Delta(generated_tokens=5, cached_tokens=4, timings=clock), prompt_tokens=14)
    assert (told.cache_n, told.prompt_n, told.predicted_n) == (4, 10, 5)
    assert (told.prompt_ms, told.prompt_per_token_ms, told.prompt_per_second) == (2000.0, 200.0, 5.0)
    assert (told.predicted_ms, told.predicted_per_token_ms, told.predicted_per_second) == (4000.0, 1000.0, 1.0)


@pytest.mark.parametrize("generated", [0, 1])
@pytest.mark.parametrize("clock", [Timings(), Timings(1, 1, 1, 1), Timings(2, 2, 2, 0)])
def test_timings_are_numbers_even_where_there_is_nothing_to_divide_by(generated: int, clock: Timings) -> None:
    told = timings(Delta(generated_tokens=generated, cached_tokens=3, timings=clock), prompt_tokens=3)
    assert all(math.isfinite(value) and value >= 0 for value in msgspec.structs.asdict(told).values())


def test_usage_counts_a_prompt_once_for_all_its_copies() -> None:
    told = usage(make_order(texts=2, copies=3), [make_summary(10)] * 3 + [make_summary(20)] * 3)
    assert (told.prompt_tokens, told.completion_tokens, told.total_tokens) == (30, 30, 60)
    assert told.prompt_tokens_details.cached_tokens == 8


@pytest.mark.parametrize(
    ("reason", "word"), [(StopReason.END, "stop"), (StopReason.WORD, "stop"), (StopReason.LIMIT, "length")]
)
def test_reasons_have_openai_s_words(reason: StopReason, word: str) -> None:
    assert finish_reason(Summary(reason, 1, 0, 1, Timings())) == word


def test_json_has_no_infinity() -> None:
    assert finite(-math.inf) == -FLOAT32
    assert finite(-0.5) == -0.5
    settings = generation_settings(
        GenerationRequest(id="", prompt=(), sampling=SamplingParams(logit_bias=((5, -math.inf), (6, 1.0)))),
        stream=False,
    )
    assert settings["logit_bias"] == [{"bias": None, "token": 5}, {"bias": 1.0, "token": 6}]


@pytest.mark.parametrize(
    ("piece", "text"), [(b"abc", "abc"), ("é".encode(), "é"), (b"a\xc3", "a"), (b"\xc3", ""), (b"\xa9x", "\ufffdx")]
)
def test_a_token_is_told_by_its_whole_characters(piece: bytes, text: str) -> None:
    assert piece_text(piece) == text


@pytest.mark.parametrize(("after", "keys"), [(False, ("logprob", "top_logprobs")), (True, ("prob", "top_probs"))])
def test_probabilities_are_named_by_where_they_come_from(after: bool, keys: tuple[str, str]) -> None:
    chance = TokenChance(5, b"a", -0.5)
    (entry,) = msgspec.to_builtins(
        token_logprobs(make_order(after=after), [TokenProbabilities(chance, (chance, chance, chance))])
    )
    assert set(entry) == {"id", "token", "bytes", *keys}
    assert len(entry[keys[1]]) == 2
    assert set(entry[keys[1]][0]) == {"id", "token", "bytes", keys[0]}


@pytest.mark.parametrize(("after", "values"), [(False, (-0.5, -math.inf)), (True, (math.exp(-0.5), 0.0))])
def test_openai_s_columns_are_logarithms_wherever_the_probabilities_come_from(
    after: bool, values: tuple[float, float]
) -> None:
    chosen, other = TokenChance(5, b"a", values[0]), TokenChance(6, b"b", values[1])
    answer = Delta(probabilities=(TokenProbabilities(chosen, (chosen, other)),), summary=make_summary())
    logprobs = CompletionShape(make_order(after=after)).whole([answer]).choices[0].logprobs
    assert logprobs is not None
    assert logprobs.token_logprobs == [pytest.approx(-0.5)]
    assert logprobs.top_logprobs == [{"a": pytest.approx(-0.5), "b": -FLOAT32}]
