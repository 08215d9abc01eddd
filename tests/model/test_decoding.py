"""Rows, cells and sequences through the real binding."""

from __future__ import annotations

from contextlib import closing
from itertools import count

import numpy as np
import pytest
from llama_cpp import llama_cpp as native

from service.engine.calibration import calibrate
from service.engine.llama.model import LlamaModel
from service.engine.model import CopyPrefix, DecodeResult, Drop, Load, Rows, Save, Trim
from service.engine.pace import LearnedPace
from service.engine.requests import ThreadCount
from service.engine.sizing import copying_of
from tests.support.native import clear, generate, logits_after, prompt_of, request_for, stopping_at, tokens_of

PROMPTS = ["Hello world", "The quick brown fox", "Once upon a time there was", "1 2 3", "Whats the value of pi?"]


def test_greedy_text_is_that_of_the_bindings_own_class(tiny: LlamaModel) -> None:
    llama_cpp = pytest.importorskip("llama_cpp")
    reference = llama_cpp.Llama(tiny.info.path, n_ctx=512, n_threads=2, verbose=False, flash_attn=True)
    for text in PROMPTS:
        prompt = prompt_of(tiny, text)
        reference.reset()
        expected = []
        for token in reference.generate(prompt, temp=0.0, repeat_penalty=1.0):
            expected.append(token)
            if len(expected) == 24:
                break
        clear(tiny)
        assert tokens_of(generate(tiny, [request_for(tiny, text)], 24)[0]) == expected
    reference.close()


def test_sequences_in_one_batch_give_the_texts_they_give_alone(tiny: LlamaModel) -> None:
    requests = [request_for(tiny, text) for text in PROMPTS]
    together = generate(tiny, requests, 20)
    for request, samples in zip(requests, together, strict=True):
        clear(tiny)
        assert generate(tiny, [request], 20) == [samples]


def test_a_prompt_in_pieces_gives_the_logits_of_the_whole(tiny: LlamaModel) -> None:
    prompt = prompt_of(tiny, "one two three four five six seven " * 12)
    whole = logits_after(tiny, 0, 0, prompt)
    assert tiny.decode([Rows(1, 0, prompt[:50], wants_sample=False)]) is DecodeResult.OK
    assert tiny.decode([Rows(1, 50, prompt[50:51], wants_sample=False)]) is DecodeResult.OK
    np.testing.assert_allclose(logits_after(tiny, 1, 51, prompt[51:]), whole, atol=1e-3)


def test_a_copied_prefix_counts_as_computed_and_costs_no_cells(tiny: LlamaModel) -> None:
    prefix = prompt_of(tiny, "shared words " * 60)[:100]
    endings = [prompt_of(tiny, text)[1:] for text in PROMPTS]
    alone = []
    for ending in endings:
        alone.append(logits_after(tiny, 0, 0, [*prefix, *ending]))
        clear(tiny)
    logits_after(tiny, 0, 0, prefix)
    tiny.apply([CopyPrefix(0, target, len(prefix)) for target in range(1, 6)])
    assert 6 * len(prefix) > tiny.cells, "the prefix must not fit six times"
    groups = [Rows(target, len(prefix), endings[target - 1], wants_sample=True) for target in range(1, 6)]
    assert tiny.decode(groups) is DecodeResult.OK
    for index, expected in enumerate(alone):
        np.testing.assert_allclose(tiny.logits(index), expected, atol=1e-3)


def test_only_groups_that_want_a_sample_have_logits(tiny: LlamaModel) -> None:
    prompt = prompt_of(tiny, "Hello world")
    assert (
        tiny.decode([Rows(0, 0, prompt, wants_sample=False), Rows(1, 0, prompt, wants_sample=True)]) is DecodeResult.OK
    )
    assert np.isfinite(tiny.logits(1)).all()
    with pytest.raises(ValueError, match="no logits"):
        tiny.logits(0)
    with (
        closing(tiny.open_sampler(request_for(tiny, "Hello"))) as sampler,
        pytest.raises(ValueError, match="no logits"),
    ):
        sampler.sample(0)


def test_a_full_pool_says_so_and_stays_as_it_was(tiny: LlamaModel) -> None:
    prompt = prompt_of(tiny, "word " * 600)
    start = 0
    while start + 100 <= tiny.cells:
        assert tiny.decode([Rows(0, start, prompt[start : start + 100], wants_sample=False)]) is DecodeResult.OK
        start += 100
    rest = [Rows(0, start, prompt[start : start + 1], wants_sample=True), Rows(1, 0, prompt[:60], wants_sample=True)]
    assert tiny.decode(rest) is DecodeResult.NO_CELLS
    assert tiny.decode(rest[1:]) is DecodeResult.NO_CELLS
    alone = logits_after(tiny, 0, start, prompt[start : start + 1])
    tiny.apply([Trim(0, 200)])
    assert tiny.decode(rest[1:]) is DecodeResult.OK
    tiny.apply([Trim(1, 0)])
    for begin in (200, 300, 400):
        assert tiny.decode([Rows(0, begin, prompt[begin : begin + 100], wants_sample=False)]) is DecodeResult.OK
    np.testing.assert_allclose(logits_after(tiny, 0, start, prompt[start : start + 1]), alone, atol=1e-3)


def test_an_interrupted_decode_leaves_nothing_behind(tiny: LlamaModel) -> None:
    prompt = prompt_of(tiny, "one two three four five " * 30)[:100]
    expected = logits_after(tiny, 0, 0, prompt)
    clear(tiny)
    assert tiny.decode([Rows(0, 0, prompt[:10], wants_sample=False)]) is DecodeResult.OK
    tiny.interrupt()
    rest = Rows(0, 10, prompt[10:], wants_sample=True)
    assert tiny.decode([rest]) is DecodeResult.ABORTED
    assert tiny.decode([rest]) is DecodeResult.OK
    np.testing.assert_allclose(tiny.logits(0), expected, atol=1e-3)


def test_rows_computed_before_an_interruption_go_too(tiny: LlamaModel) -> None:
    prompt = prompt_of(tiny, "one two three four five " * 30)[:100]
    expected = logits_after(tiny, 0, 0, prompt)
    clear(tiny)
    asked, limit = count(), 1 << 30
    callback = native.ggml_abort_callback(lambda _: next(asked) > limit)
    native.llama_set_abort_callback(tiny._context, callback, None)
    assert tiny.decode([Rows(0, 0, prompt, wants_sample=True)]) is DecodeResult.OK
    clear(tiny)
    asked, limit = count(), next(asked) // 2  # in the second or third of four ubatches
    result = tiny.decode([Rows(0, 0, prompt, wants_sample=True)])
    native.llama_set_abort_callback(tiny._context, tiny._abort.callback, tiny._abort.data)
    assert result is DecodeResult.ABORTED
    assert native.llama_memory_seq_pos_max(tiny._memory, 0) == -1
    np.testing.assert_allclose(logits_after(tiny, 0, 0, prompt), expected, atol=1e-3)


@pytest.mark.parametrize("node", [2, 20, 30])
def test_a_stopped_decode_leaves_others_as_they_were_or_says_that_they_are_lost(kind: LlamaModel, node: int) -> None:
    prompts = {sequence: prompt_of(kind, text) for sequence, text in zip((0, 2, 1), PROMPTS, strict=False)}
    for sequence, prompt in prompts.items():
        before = logits_after(kind, sequence, 0, prompt)
    together = [Rows(sequence, len(prompts[sequence]), [9], wants_sample=True) for sequence in (0, 1)]
    with stopping_at(kind, node):  # to have 0 and 1 side by side, the state of 2 moves
        result = kind.decode(together)
    if kind.keeps_partial:
        assert result is DecodeResult.ABORTED
        beside = logits_after(kind, 2, len(prompts[2]), [9])
        clear(kind)
        logits_after(kind, 2, 0, prompts[2])
        np.testing.assert_allclose(beside, logits_after(kind, 2, len(prompts[2]), [9]), atol=1e-3)
    else:
        assert result is DecodeResult.LOST
        assert [native.llama_memory_seq_pos_max(kind._memory, sequence) for sequence in range(3)] == [-1] * 3
        np.testing.assert_allclose(logits_after(kind, sequence, 0, prompt), before, atol=1e-3)


def test_a_beginning_that_can_be_reached_has_all_that_a_sequence_needs(kind: LlamaModel) -> None:
    first, ending = prompt_of(kind, "one two three four five " * 60)[:300], prompt_of(kind, "six")
    expected = {length: logits_after(kind, length // 50, 0, [*first[:length], *ending]) for length in (50, 120)}
    clear(kind)
    decode_in_parts(kind, 0, first[:50])
    decode_in_parts(kind, 1, first)
    kind.apply([Trim(0, 0)])
    decode_in_parts(kind, 2, first[100:200])  # places that the window of 1 has left are as good as the free ones behind
    assert kind.reaches(1, 300)
    assert kind.reaches(1, 50) is not kind.info.path.endswith("tiny-window.gguf")
    for target, (length, logits) in enumerate(expected.items(), start=3):
        if kind.keeps_partial and kind.reaches(1, length):
            kind.apply([CopyPrefix(1, target, length)])
            np.testing.assert_allclose(logits_after(kind, target, length, ending), logits, atol=1e-3)


def decode_in_parts(model: LlamaModel, sequence: int, tokens: list[int]) -> None:
    for start in range(0, len(tokens), 100):
        logits_after(model, sequence, start, tokens[start : start + 100])


def test_whole_states_are_not_interrupted(kind: LlamaModel) -> None:
    kind.interrupt()
    result = kind.decode([Rows(0, 0, prompt_of(kind, "Hello world"), wants_sample=True)])
    assert result is (DecodeResult.ABORTED if kind.keeps_partial else DecodeResult.OK)


def test_a_batch_that_llama_refuses_fails_and_leaves_nothing_behind(tiny: LlamaModel) -> None:
    prompt = prompt_of(tiny, "Hello world")
    assert (
        tiny.decode([Rows(0, 0, prompt, wants_sample=True), Rows(1, 0, [40_000], wants_sample=True)])
        is DecodeResult.FAILED
    )
    assert tiny.decode([Rows(0, 0, prompt, wants_sample=True)]) is DecodeResult.OK
    assert tiny.decode([Rows(0, 9, prompt, wants_sample=True)]) is DecodeResult.FAILED, "a hole in the positions"
    assert tiny.decode([Rows(0, len(prompt), prompt, wants_sample=True)]) is DecodeResult.OK


@pytest.mark.parametrize("counts", [[], [0], [3, 0], [100, 29]])
def test_no_rows_or_too_many_never_reach_the_library(tiny: LlamaModel, counts: list[int]) -> None:
    with pytest.raises(ValueError, match=f"{sum(counts)} rows in a batch of 128"):
        tiny.decode([Rows(index, 0, [5] * count, wants_sample=True) for index, count in enumerate(counts)])


def test_threads_can_be_changed_between_decodes(tiny: LlamaModel) -> None:
    prompt = prompt_of(tiny, "Hello world")
    before = logits_after(tiny, 0, 0, prompt)
    tiny.set_threads(ThreadCount(1, 1))
    after = logits_after(tiny, 1, 0, prompt)
    tiny.set_threads(ThreadCount(2, 2))
    np.testing.assert_allclose(after, before, atol=1e-3)


def test_a_sequence_that_was_saved_comes_back_as_it_was(tiny: LlamaModel) -> None:
    prompt = prompt_of(tiny, "Hello world, how are you today?")
    expected = logits_after(tiny, 0, 0, prompt)
    tiny.apply([Trim(0, len(prompt) - 1), Save(0, 7, len(prompt) - 1), Trim(0, 0)])
    logits_after(tiny, 1, 0, prompt[:3])
    tiny.apply([Load(7, 2, len(prompt) - 1)])
    back = logits_after(tiny, 2, len(prompt) - 1, prompt[-1:])
    np.testing.assert_allclose(back, expected, atol=1e-3)
    tiny.apply([Drop(7)])
    with pytest.raises(KeyError):
        tiny.apply([Load(7, 3, len(prompt) - 1)])


def test_the_trial_at_the_start_finds_that_fetching_is_faster_than_computing(tiny: LlamaModel) -> None:
    pace = LearnedPace(0.5)
    copying = copying_of(tiny, pace)
    calibrate(tiny, pace, copying, 1 << 30)
    assert 0 < copying.predict((Save(0, 1, 100), Load(1, 0, 100))) < pace.computing(0, 100, tiny.batch)
    assert copying.pays_saving(100)
    assert copying.pays_fetching(100, 0, 100)
