"""The native sampler chain: llama-server's order, its seeds, its penalties, its probabilities."""

from __future__ import annotations

import math
from contextlib import closing, suppress
from dataclasses import fields, replace

import pytest
from llama_cpp import llama_cpp as native

from service.engine.llama.chain import Chain
from service.engine.llama.model import LlamaModel
from service.engine.requests import RANDOM_SEED, GenerationRequest, Sample, SamplingParams
from service.errors import InvalidRequest
from tests.support.native import GREEDY, clear, generate, logits_after, prompt_of, request_for, tokens_of

HOT = SamplingParams(temperature=1.5, top_k=0, top_p=1.0, min_p=0.0, seed=42)
ALL_ON = SamplingParams(
    repeat_penalty=1.1, dry_multiplier=0.5, top_n_sigma=2.0, typical_p=0.9, xtc_probability=0.5, dynatemp_range=0.5
)


def chain_of(model: LlamaModel, params: SamplingParams) -> list[str]:
    """The chain's samplers as llama.cpp names them; one that does nothing has a question mark."""
    chain = Chain(model._vocabulary, model._dry, params, model.cells)
    count = native.llama_sampler_chain_n(chain.pointer)
    names = [
        native.llama_sampler_name(native.llama_sampler_chain_get(chain.pointer, index)).decode()
        for index in range(count)
    ]
    chain.close()
    return names


def one(model: LlamaModel, sampling: SamplingParams, text: str = "Hello world", length: int = 16) -> list[Sample]:
    clear(model)
    return generate(model, [request_for(model, text, sampling)], length)[0]


def test_the_chain_stands_in_llama_servers_order(tiny: LlamaModel) -> None:
    expected = ["penalties", "dry", "top-n-sigma", "top-k", "typical", "top-p", "min-p", "xtc", "temp-ext", "dist"]
    assert chain_of(tiny, ALL_ON) == expected
    assert [name.removeprefix("?") for name in chain_of(tiny, SamplingParams())] == expected


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (SamplingParams(samplers=("temperature", "top_k")), ["temp-ext", "top-k", "dist"]),
        (
            SamplingParams(samplers=("TOP-K", "minp", "nucleus", "temp")),
            ["top-k", "min-p", "top-p", "temp-ext", "dist"],
        ),
        (
            SamplingParams(samplers=tuple("kypmt"), typical_p=0.5),
            ["top-k", "typical", "top-p", "min-p", "temp-ext", "dist"],
        ),
        (SamplingParams(samplers=("adaptive_p", "top_k")), ["top-k", "adaptive-p"]),
        (SamplingParams(samplers=()), ["dist"]),
        (SamplingParams(mirostat=1), ["temp", "mirostat"]),
        (SamplingParams(mirostat=2), ["temp", "mirostat-v2"]),
        (SamplingParams(samplers=(), logit_bias=((5, 1.0),)), ["logit-bias", "dist"]),
        (SamplingParams(samplers=(), ignore_eos=True), ["logit-bias", "dist"]),
    ],
)
def test_the_chain_is_the_one_asked_for(tiny: LlamaModel, params: SamplingParams, expected: list[str]) -> None:
    assert chain_of(tiny, params) == expected


def test_the_same_seed_gives_the_same_text_and_another_seed_another(tiny: LlamaModel) -> None:
    first = tokens_of(one(tiny, HOT))
    assert tokens_of(one(tiny, HOT)) == first
    assert tokens_of(one(tiny, replace(HOT, seed=43))) != first


def test_without_a_seed_texts_differ(tiny: LlamaModel) -> None:
    free = replace(HOT, seed=RANDOM_SEED)
    assert tokens_of(one(tiny, free)) != tokens_of(one(tiny, free))


def test_each_sequence_has_its_own_random_state(tiny: LlamaModel) -> None:
    alone = one(tiny, HOT)
    clear(tiny)
    together = generate(tiny, [request_for(tiny, "Hello world", HOT)] * 3, 16)
    assert together == [alone] * 3


def test_the_chain_samples_what_the_bindings_own_chain_samples(tiny: LlamaModel) -> None:
    """The default chain put together by hand, in the order of common/sampling.cpp."""
    prompt = prompt_of(tiny, "Hello world")
    logits_after(tiny, 0, 0, prompt)
    chain = native.llama_sampler_chain_init(native.llama_sampler_chain_default_params())
    for sampler in (
        native.llama_sampler_init_top_k(40),
        native.llama_sampler_init_top_p(0.95, 0),
        native.llama_sampler_init_min_p(0.05, 0),
        native.llama_sampler_init_temp_ext(0.8, 0.0, 1.0),
        native.llama_sampler_init_dist(7),
    ):
        native.llama_sampler_chain_add(chain, sampler)
    expected = [tiny.draw(chain, 0) for _ in range(20)]
    native.llama_sampler_free(chain)
    with closing(tiny.open_sampler(request_for(tiny, "Hello world", SamplingParams(seed=7)))) as sampler:
        assert [sampler.sample(0).token for _ in range(20)] == expected


def test_a_banned_token_is_never_chosen(tiny: LlamaModel) -> None:
    likeliest = one(tiny, GREEDY, length=1)[0].token
    assert one(tiny, replace(GREEDY, logit_bias=((likeliest, -math.inf),)), length=1)[0].token != likeliest
    assert one(tiny, replace(GREEDY, logit_bias=((777, 1e6),)), length=1)[0].token == 777


def test_ignoring_the_end_bans_the_end_token(tiny: LlamaModel) -> None:
    end = replace(GREEDY, logit_bias=((2, 1e6),))
    [sample] = one(tiny, end, length=1)
    assert (sample.token, sample.is_end, sample.piece) == (2, True, b"")
    assert not one(tiny, replace(end, ignore_eos=True), length=1)[0].is_end


def test_penalties_look_at_the_prompt(tiny: LlamaModel) -> None:
    likeliest = one(tiny, GREEDY, length=1)[0].token
    request = GenerationRequest(
        "r", (1, likeliest, *prompt_of(tiny, "Hello world")[1:]), replace(GREEDY, presence_penalty=100.0)
    )
    clear(tiny)
    logits = logits_after(tiny, 0, 0, prompt_of(tiny, "Hello world"))
    assert int(logits.argmax()) == likeliest
    with closing(tiny.open_sampler(request)) as sampler:
        assert sampler.sample(0).token != likeliest
    with closing(tiny.open_sampler(replace(request, sampling=replace(request.sampling, repeat_last_n=2)))) as sampler:
        assert sampler.sample(0).token == likeliest, "the penalty must not see further back than it was told"


@pytest.mark.parametrize(
    ("params", "history"),
    [
        (SamplingParams(), 0),
        (SamplingParams(repeat_penalty=1.1), 64),
        (SamplingParams(presence_penalty=1.0, repeat_last_n=7), 7),
        (SamplingParams(frequency_penalty=1.0, repeat_last_n=-1), 512),
        (SamplingParams(repeat_penalty=1.1, repeat_last_n=2**31 - 1), 512),
        (SamplingParams(repeat_penalty=1.1, samplers=("top_k",)), 0),
        (SamplingParams(repeat_penalty=1.1, mirostat=2), 0),
        (SamplingParams(dry_multiplier=0.8), 64),
        (SamplingParams(dry_multiplier=0.8, dry_penalty_last_n=-1), 512),
    ],
)
def test_only_as_much_of_the_prompt_is_shown_as_the_samplers_look_at(
    tiny: LlamaModel, params: SamplingParams, history: int
) -> None:
    with closing(Chain(tiny._vocabulary, tiny._dry, params, tiny.cells)) as chain:
        assert chain.history == history


def test_dry_ends_a_repetition(tiny: LlamaModel) -> None:
    words = prompt_of(tiny, "one two three four five")[1:]
    prompt = (1, *words, *words, *words[:-1])
    logits_after(tiny, 0, 0, prompt)
    repeat = words[-1]
    tempted = replace(GREEDY, logit_bias=((repeat, 30.0),), dry_penalty_last_n=-1)
    with closing(tiny.open_sampler(GenerationRequest("r", prompt, tempted))) as sampler:
        assert sampler.sample(0).token == repeat
    with closing(tiny.open_sampler(GenerationRequest("r", prompt, replace(tempted, dry_multiplier=50.0)))) as sampler:
        assert sampler.sample(0).token != repeat


def test_dry_samplers_are_kept_apart_by_their_parameters(tiny: LlamaModel) -> None:
    words = prompt_of(tiny, "one two three four five")[1:]
    prompt = (1, *words, *words, *words[:-1])
    logits_after(tiny, 0, 0, prompt)
    tempted = replace(GREEDY, logit_bias=((words[-1], 30.0),), dry_penalty_last_n=-1)
    for allowed in (*range(2, 14), 2, 13):  # more than are kept
        params = replace(tempted, dry_multiplier=50.0, dry_base=1.0, dry_allowed_length=allowed)
        with closing(tiny.open_sampler(GenerationRequest("r", prompt, params))) as sampler:
            assert (sampler.sample(0).token == words[-1]) == (allowed > len(words) * 2 - 1)


@pytest.mark.parametrize(
    ("params", "field"),
    [
        (SamplingParams(samplers=("top_k", "magic")), "samplers"),
        (SamplingParams(samplers=("infill",)), "samplers"),
        (SamplingParams(samplers=("top_k", "infill"), top_k=0), "samplers"),
        (SamplingParams(samplers=("top_k",) * 33), "samplers"),
        (SamplingParams(repeat_penalty=0.0), "repeat_penalty"),
        (SamplingParams(repeat_penalty=math.nan), "repeat_penalty"),
        (SamplingParams(temperature=math.inf), "temperature"),
        (SamplingParams(top_k=2**31), "top_k"),
        (SamplingParams(min_keep=-2), "min_keep"),
        (SamplingParams(mirostat=3), "mirostat"),
        (SamplingParams(logit_bias=((32_000, 1.0),)), "logit_bias"),
        (SamplingParams(logit_bias=((-1, 1.0),)), "logit_bias"),
        (SamplingParams(logit_bias=((5, math.inf),)), "logit_bias"),
        (SamplingParams(dry_sequence_breakers=("a",) * 17), "dry_sequence_breakers"),
    ],
)
def test_what_the_chain_cannot_take_is_refused_by_name(tiny: LlamaModel, params: SamplingParams, field: str) -> None:
    for refuse in (tiny.check_sampling, lambda given: tiny.open_sampler(GenerationRequest("r", (1,), given))):
        with pytest.raises(InvalidRequest) as caught:
            refuse(params)
        assert caught.value.param == field
        assert field in caught.value.message


EXTREMES = (-1.0, 0.0, 1e-30, 0.5, 1.0, 1e9)


@pytest.mark.parametrize("name", [field.name for field in fields(SamplingParams) if field.type == "float"])
@pytest.mark.parametrize("mirostat", [0, 1, 2])
def test_no_number_that_is_let_through_ends_the_process(tiny: LlamaModel, name: str, mirostat: int) -> None:
    logits_after(tiny, 0, 0, prompt_of(tiny, "Hello world"))
    base = replace(
        ALL_ON,
        mirostat=mirostat,
        samplers=(*SamplingParams().samplers, "adaptive_p"),
        logit_bias=((5, -math.inf), (6, 1e9)),
    )
    for value in EXTREMES:
        params = replace(base, **{name: value})  # type: ignore[arg-type]
        request = GenerationRequest("r", (1, 5, 5, 6), params)
        with suppress(InvalidRequest), closing(tiny.open_sampler(request)) as sampler:
            assert all(0 <= sampler.sample(0).token < tiny.info.vocabulary for _ in range(3))


@pytest.mark.parametrize(
    "name", ["top_k", "repeat_last_n", "min_keep", "dry_allowed_length", "dry_penalty_last_n", "seed"]
)
def test_no_count_that_is_let_through_ends_the_process(tiny: LlamaModel, name: str) -> None:
    logits_after(tiny, 0, 0, prompt_of(tiny, "Hello world"))
    for value in (-1, 0, 1, 2**31 - 1):
        params = replace(ALL_ON, **{name: value})  # type: ignore[arg-type]
        with closing(tiny.open_sampler(GenerationRequest("r", (1, 5, 5, 6), params))) as sampler:
            assert all(0 <= sampler.sample(0).token < tiny.info.vocabulary for _ in range(3))


def test_everything_banned_still_gives_a_token(tiny: LlamaModel) -> None:
    banned = tuple((token, -math.inf) for token in range(tiny.info.vocabulary))
    [sample] = one(tiny, SamplingParams(logit_bias=banned), length=1)
    assert 0 <= sample.token < tiny.info.vocabulary


@pytest.mark.parametrize(
    ("params", "greedy"),
    [
        (GREEDY, True),
        (replace(GREEDY, ignore_eos=True, top_k=0, top_n_sigma=1.0), True),
        (replace(GREEDY, temperature=-1.0, samplers=("temperature", "top_k")), True),
        (replace(GREEDY, repeat_penalty=1.1, repeat_last_n=0), True),
        (SamplingParams(), False),
        (replace(GREEDY, dynatemp_range=0.5), False),
        (replace(GREEDY, repeat_penalty=1.1), False),
        (replace(GREEDY, dry_multiplier=0.5), False),
        (replace(GREEDY, logit_bias=((5, 1.0),)), False),
        (replace(GREEDY, typical_p=0.5), False),
        (replace(GREEDY, xtc_probability=0.5), False),
        (replace(GREEDY, samplers=("top_k",)), False),
        (replace(GREEDY, samplers=("temperature", "adaptive_p")), False),
        (replace(GREEDY, mirostat=2), False),
    ],
)
def test_the_likeliest_token_is_taken_without_the_chain_only_where_the_chain_would_take_it(
    tiny: LlamaModel, params: SamplingParams, greedy: bool
) -> None:
    with closing(Chain(tiny._vocabulary, tiny._dry, params, tiny.cells)) as chain:
        assert chain.greedy is greedy
        logits_after(tiny, 0, 0, prompt_of(tiny, "Hello world"))
        if greedy:
            assert tiny.draw(chain.pointer, 0) == int(tiny.logits(0).argmax())


def test_the_likeliest_token_is_left_to_the_chain_when_it_is_forbidden(tiny: LlamaModel) -> None:
    params = replace(GREEDY, ignore_eos=True)
    request = request_for(tiny, "Hello world", params)
    with closing(tiny.open_sampler(request)) as sampler:
        logits_after(tiny, 0, 0, request.prompt)
        logits = tiny.logits(0)
        likeliest = int(logits.argmax())
        logits[min(tiny._vocabulary.end_tokens)] = logits.max() + 1
        assert sampler.sample(0).token == likeliest
