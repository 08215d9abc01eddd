"""What tests of the real binding do again and again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count

import numpy as np
from llama_cpp import llama_cpp as native
from numpy.typing import NDArray

from service.engine.llama.model import LlamaModel
from service.engine.model import DecodeResult, Rows, Trim
from service.engine.requests import GenerationRequest, Sample, SamplingParams

GREEDY = SamplingParams(temperature=0.0)


def prompt_of(model: LlamaModel, text: str) -> list[int]:
    return model.tokenize(text, add_special=True, parse_special=True)


def clear(model: LlamaModel) -> None:
    model.apply([Trim(sequence, 0) for sequence in range(model.sequences)])


@contextmanager
def stopping_at(model: LlamaModel, node: int) -> Iterator[None]:
    """llama.cpp is told once to stop, before the `node`-th node of all graphs that it computes inside."""
    asked = count()
    callback = native.ggml_abort_callback(lambda _: next(asked) == node)
    native.llama_set_abort_callback(model._context, callback, None)
    try:
        yield
    finally:
        native.llama_set_abort_callback(model._context, model._abort.callback, model._abort.data)


def logits_after(model: LlamaModel, sequence: int, start: int, tokens: Sequence[int]) -> NDArray[np.float32]:
    assert model.decode([Rows(sequence, start, tokens, wants_sample=True)]) is DecodeResult.OK
    return model.logits(0).copy()


def generate(model: LlamaModel, requests: Sequence[GenerationRequest], length: int) -> list[list[Sample]]:
    """Samples of several sequences that decode together, one row each a step, whatever ends them."""
    samplers = [model.open_sampler(request) for request in requests]
    texts: list[list[Sample]] = [[] for _ in requests]
    groups = [Rows(index, 0, request.prompt, wants_sample=True) for index, request in enumerate(requests)]
    for _ in range(length):
        assert model.decode(groups) is DecodeResult.OK
        for index, sampler in enumerate(samplers):
            texts[index].append(sampler.sample(index))
        groups = [
            Rows(group.sequence, group.start + len(group.tokens), [texts[group.sequence][-1].token], wants_sample=True)
            for group in groups
        ]
    for sampler in samplers:
        sampler.close()
    return texts


def tokens_of(samples: Sequence[Sample]) -> list[int]:
    return [sample.token for sample in samples]


def request_for(
    model: LlamaModel, text: str, sampling: SamplingParams = GREEDY, probabilities: int = 0
) -> GenerationRequest:
    return GenerationRequest("request", tuple(prompt_of(model, text)), sampling, probabilities=probabilities)
