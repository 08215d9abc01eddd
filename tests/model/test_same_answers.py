"""A sequence's logits, bit for bit, whatever runs beside it, wherever its cells lie and however its rows were divided."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray

from service.engine.llama.loading import load_model
from service.engine.llama.model import LlamaModel
from service.engine.llama.options import LlamaOptions
from service.engine.model import DecodeResult, Rows, Trim
from service.engine.requests import ThreadCount
from tests.support.native import clear, logits_after, prompt_of

TEXT = "The quick brown fox jumps over the lazy dog while one two three four five six seven. " * 6
OTHERS = (5, 6)


@pytest.fixture(scope="module", params=["default", "tiny"])
def model(request: pytest.FixtureRequest) -> Iterator[LlamaModel]:
    path: Path = request.getfixturevalue(f"{request.param}_model_path")
    options = LlamaOptions(
        str(path), context=2048, batch=256, ubatch=64, sequences=16, threads=2, threads_batch=2, warmup=False
    )
    loaded = load_model(replace(options, flash_attn="on"), lambda _: None)
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def tokens(model: LlamaModel) -> list[int]:
    return prompt_of(model, TEXT)[:100]


@pytest.fixture(scope="module")
def alone(model: LlamaModel, tokens: list[int]) -> list[NDArray[np.float32]]:
    """The logits after each token, computed one by one in an empty pool."""
    clear(model)
    return [logits_after(model, 0, place, [token]) for place, token in enumerate(tokens)]


@pytest.mark.parametrize("parts", [[64], [100], [1, 7, 30], [3], [8], [17, 1, 1, 1]], ids=str)
def test_parts_change_nothing(
    model: LlamaModel, tokens: list[int], alone: list[NDArray[np.float32]], parts: list[int]
) -> None:
    clear(model)
    start = 0
    while start < len(tokens):
        for size in parts:
            part = tokens[start : start + size]
            if part:
                found = logits_after(model, 0, start, part)
                start += len(part)
                assert (found == alone[start - 1]).all(), start


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_nothing(
    model: LlamaModel, tokens: list[int], alone: list[NDArray[np.float32]], threads: int
) -> None:
    clear(model)
    before = ThreadCount(model.runtime.threads, model.runtime.threads_batch)
    model.set_threads(ThreadCount(threads, threads))
    try:
        prompt = logits_after(model, 0, 0, tokens[:-1])
        last = logits_after(model, 0, len(tokens) - 1, tokens[-1:])
    finally:
        model.set_threads(before)
    assert (prompt == alone[-2]).all()
    assert (last == alone[-1]).all()


def test_others_change_nothing(model: LlamaModel, tokens: list[int], alone: list[NDArray[np.float32]]) -> None:
    """Others decode, are cut and prefill beside it, so its cells lie scattered, and later ones before earlier ones."""
    clear(model)
    random = Random(1)
    lengths = dict.fromkeys(OTHERS, 200)
    for other in OTHERS:
        assert model.decode([Rows(other, 0, tokens + tokens[::-1], wants_sample=False)]) is DecodeResult.OK
    for place, token in enumerate(tokens):
        groups = []
        for other in OTHERS:
            if random.random() < 0.7:
                rows = random.choice((1, 1, 5, 40))
                groups.append(
                    Rows(other, lengths[other], [random.randrange(3, 900) for _ in range(rows)], wants_sample=True)
                )
                lengths[other] += rows
        here = random.randint(0, len(groups))
        groups.insert(here, Rows(0, place, [token], wants_sample=True))
        assert model.decode(groups) is DecodeResult.OK
        assert (model.logits(here) == alone[place]).all(), place
        for other in OTHERS:
            if random.random() < 0.15 or lengths[other] > 600:
                lengths[other] = 50
                model.apply([Trim(other, 50)])
