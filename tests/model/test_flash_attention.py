"""Flash attention in a pool that others fill: our patch of it passes over their cells, and what a row sees is the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from service.engine.llama.loading import load_model
from service.engine.llama.model import LlamaModel
from service.engine.model import DecodeResult, Rows
from tests.model.conftest import tiny_options
from tests.support.native import clear, logits_after, prompt_of

TEXT = "one two three four five six seven eight "
HALF_PRECISION = 0.05
"""Of the logits' range: the sums have 16 bits, and their order differs with the place in the pool."""


@pytest.fixture(scope="module", params=[("f16", 2), ("f32", 2), ("f16", 1)], ids=str)
def attentive(request: pytest.FixtureRequest, tiny_model_path: Path) -> Iterator[LlamaModel]:
    cells, threads = request.param
    options = replace(
        tiny_options(tiny_model_path), context=2048, batch=1024, ubatch=256, flash_attn="on", cache_type_k=cells,
        cache_type_v=cells, threads=threads, threads_batch=threads,
    )  # fmt: skip
    model = load_model(options, lambda _: None)
    yield model
    model.close()


def tolerance(logits: NDArray[np.float32]) -> float:
    return HALF_PRECISION * float(logits.max() - logits.min())


def fill(model: LlamaModel, sequence: int, cells: int) -> None:
    tokens = prompt_of(model, "a b c d e f g " * 400)[:cells]
    assert model.decode([Rows(sequence, 0, tokens, wants_sample=False)]) is DecodeResult.OK


@pytest.mark.parametrize("last", [1, 3, 100])
@pytest.mark.parametrize(("before", "after"), [(0, 700), (700, 0), (333, 600), (31, 601)])
def test_cells_of_others_change_nothing(attentive: LlamaModel, before: int, after: int, last: int) -> None:
    """The last call has one row (shared out among threads by cells), a few (row by row), or many (by tiles)."""
    prompt = prompt_of(attentive, TEXT * 40)[:300]
    clear(attentive)
    alone, start = logits_after(attentive, 0, 0, prompt), len(prompt) - last
    clear(attentive)
    if before:
        fill(attentive, 1, before)
    assert attentive.decode([Rows(0, 0, prompt[:start], wants_sample=False)]) is DecodeResult.OK
    if after:
        fill(attentive, 2, after)
    np.testing.assert_allclose(logits_after(attentive, 0, start, prompt[start:]), alone, atol=tolerance(alone))


def test_rows_of_several_sequences_see_their_own_cells_only(attentive: LlamaModel) -> None:
    prompts = [prompt_of(attentive, text * 60)[:200] for text in (TEXT, "x y z ", "The quick brown fox ", "1 2 3 ")]
    alone = []
    for prompt in prompts:
        clear(attentive)
        alone.append(logits_after(attentive, 0, 0, prompt))
    clear(attentive)
    groups = [Rows(index, 0, prompt[:-1], wants_sample=False) for index, prompt in enumerate(prompts)]
    assert attentive.decode(groups) is DecodeResult.OK
    ends = [Rows(index, len(prompt) - 1, prompt[-1:], wants_sample=True) for index, prompt in enumerate(prompts)]
    assert attentive.decode(ends) is DecodeResult.OK
    for index, expected in enumerate(alone):
        np.testing.assert_allclose(attentive.logits(index), expected, atol=tolerance(expected))
