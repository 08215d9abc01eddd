"""The engine over real models of every kind: whatever else runs, a request's text is the one it has alone."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from functools import cache

import pytest

from service.engine.llama.model import LlamaModel
from service.engine.loop import Abort
from service.engine.requests import GenerationRequest, SamplingParams
from tests.support.builders import Bench, FixedPace, make_limits
from tests.support.native import GREEDY, clear, prompt_of, stopping_at

TEXTS = ["Hello world", "The quick brown fox", "Once upon a time there was", "1 2 3", "Whats the value of pi?"]
WARM = SamplingParams(temperature=0.8, seed=7)
PREFIX = "You are a patient assistant who answers in few words. " * 12  # longer than every window and every ubatch

NEVER = -1
Tokens = dict[str, list[int]]


def bench_of(model: LlamaModel, *, parallel: int = 4, prompt_rows: int = 24, shelf: int = 0) -> Bench:
    """An engine's loop over an empty model, turned by hand. `shelf` tokens may lie in the host's memory."""
    clear(model)
    limits = make_limits(context=model.cells, parallel=parallel, batch=model.batch)
    return Bench(model, limits, FixedPace(prompt_rows), shelf=shelf if model.saves else 0)


def request(
    name: str, prompt: Iterable[int], length: int = 24, sampling: SamplingParams = GREEDY, *, reuse_cache: bool = True
) -> GenerationRequest:
    return GenerationRequest(name, tuple(prompt), sampling, max_tokens=length, reuse_cache=reuse_cache)


def finish(bench: Bench) -> None:
    """Turns to the end, the books counted out after each step. Nothing may fail."""
    while bench.scheduler.has_work:
        bench.loop.turn()
        bench.scheduler.check_integrity()
    assert bench.failures == {}


def run(bench: Bench, requests: Iterable[GenerationRequest]) -> Tokens:
    for each in requests:
        bench.submit(each)
    finish(bench)
    return tokens_of(bench)


def tokens_of(bench: Bench) -> Tokens:
    return {name: list(delta.tokens) for name, delta in bench.texts.items()}


@cache
def text_alone(model: LlamaModel, prompt: tuple[int, ...], length: int, sampling: SamplingParams) -> list[int]:
    """What a request gives on an empty model."""
    return run(bench_of(model), [request("alone", prompt, length, sampling)])["alone"]


def alone(model: LlamaModel, requests: Iterable[GenerationRequest]) -> Tokens:
    return {each.id: text_alone(model, each.prompt, each.max_tokens, each.sampling) for each in requests}


def preemptions(bench: Bench) -> int:
    return sum(step.stats.preemptions for step in bench.steps)


def requests_of(model: LlamaModel, length: int = 24, sampling: SamplingParams = GREEDY) -> list[GenerationRequest]:
    return [request(text, prompt_of(model, text), length, sampling) for text in TEXTS]


def behind_prefix(model: LlamaModel, length: int = 24) -> list[GenerationRequest]:
    return [request(text, prompt_of(model, PREFIX + text), length) for text in TEXTS]


def test_a_greedy_text_is_that_of_the_bindings_own_class(kind: LlamaModel) -> None:
    llama_cpp = pytest.importorskip("llama_cpp")
    reference = llama_cpp.Llama(kind.info.path, n_ctx=512, n_threads=2, verbose=False, flash_attn=True)
    expected: Tokens = {}
    tried = [*requests_of(kind), *behind_prefix(kind)[:2]]
    for each in tried:
        reference.reset()
        text = expected[str(each.prompt)] = []
        for token in reference.generate(list(each.prompt), temp=0.0, repeat_penalty=1.0):
            text.append(token)
            if len(text) == each.max_tokens:
                break
    reference.close()
    assert alone(kind, [replace(each, id=str(each.prompt)) for each in tried]) == expected


@pytest.mark.parametrize("parallel", [1, 2, 5, 8])
@pytest.mark.parametrize("count", [1, 3, 9])
def test_every_text_of_a_grid_of_requests_and_slots_is_the_text_alone(
    kind: LlamaModel, count: int, parallel: int
) -> None:
    requests = [request(f"r{i}", prompt_of(kind, TEXTS[i % 5] + " again" * i), 8 + i) for i in range(count)]
    assert run(bench_of(kind, parallel=parallel), requests) == alone(kind, requests)


def test_the_same_seed_gives_the_same_text_whatever_else_runs(kind: LlamaModel) -> None:
    requests = requests_of(kind, sampling=WARM)
    expected = alone(kind, requests)
    assert run(bench_of(kind), requests) == expected
    bench = bench_of(kind, parallel=8)
    for index, each in enumerate(requests):
        bench.submit(request(f"other {index}", prompt_of(kind, "x " * (9 + 30 * index)), 30))
        bench.submit(each)
        bench.loop.turn()
    finish(bench)
    assert {name: tokens for name, tokens in tokens_of(bench).items() if name in expected} == expected


def test_requests_that_do_not_fit_together_pause_and_give_their_texts(kind: LlamaModel) -> None:
    requests = [request(f"r{i}", prompt_of(kind, TEXTS[i % 5] + " and" * 5 * i), 60) for i in range(8)]
    bench = bench_of(kind, parallel=8)
    assert run(bench, requests) == alone(kind, requests)
    assert preemptions(bench) > 0


@pytest.mark.parametrize("loaded_kind", ["tiny-mistral"], indirect=True)
def test_those_who_paused_go_on_from_the_host_s_memory_and_compute_nothing_twice(kind: LlamaModel) -> None:
    requests = [request(f"r{i}", [1000 + i, *prompt_of(kind, TEXTS[i % 5] + " and" * 5 * i)], 60) for i in range(8)]
    expected = alone(kind, requests)
    bench = bench_of(kind, parallel=8, shelf=8 * kind.cells)
    assert run(bench, requests) == expected
    steps = [step.stats for step in bench.steps]
    assert preemptions(bench) > 0
    paused = sum(stats.fetched_tokens for stats in steps)
    assert 0 < paused <= sum(stats.saved_tokens for stats in steps)
    rows = sum(stats.prefill_rows + stats.decode_rows for stats in steps)
    assert rows == sum(len(each.prompt) + each.max_tokens - 1 for each in requests), "each token was computed once"


def test_a_cached_beginning_gives_the_text_of_a_computed_one(kind: LlamaModel) -> None:
    requests = behind_prefix(kind)
    expected = alone(kind, requests)
    bench = bench_of(kind)
    for each in requests:
        run(bench, [each])
    assert tokens_of(bench) == expected


def test_a_beginning_that_all_wait_for_gives_the_text_of_a_computed_one(kind: LlamaModel) -> None:
    requests = behind_prefix(kind)
    expected = alone(kind, requests)
    bench = bench_of(kind, parallel=8)
    assert run(bench, requests) == expected


def test_those_who_leave_change_nothing_for_those_who_stay(kind: LlamaModel) -> None:
    staying = [*requests_of(kind, 30), *behind_prefix(kind, 20)[:1]]
    staying = [request(f"stay {i}", each.prompt, each.max_tokens) for i, each in enumerate(staying)]
    expected = alone(kind, staying)
    bench = bench_of(kind, parallel=6)
    for index, each in enumerate(staying):
        bench.submit(request(f"leave {index}", prompt_of(kind, PREFIX + "bye " * index), 40))
        bench.submit(each)
        bench.loop.turn()
        bench.loop.handle(Abort(f"leave {index - 1}"))
        bench.loop.turn()
    bench.loop.handle(Abort(f"leave {len(staying) - 1}"))
    finish(bench)
    assert {name: tokens for name, tokens in tokens_of(bench).items() if name in expected} == expected
    assert [name for name, outcome in bench.outcomes.items() if outcome == "aborted"]


def test_a_conversation_s_next_turn_finds_its_previous_one(kind: LlamaModel) -> None:
    bench = bench_of(kind)
    prompt = prompt_of(kind, PREFIX)
    previous: list[int] = []
    for turn in range(3):
        others = [request(f"other {turn} {i}", prompt_of(kind, TEXTS[i]), 6) for i in range(3)]
        mine = request(f"turn {turn}", prompt, 20)
        answer = run(bench, [mine, *others])[mine.id]
        assert answer == alone_beside(bench, mine)
        assert bench.texts[mine.id].cached_tokens == (len(previous) - 1 if turn else 0)
        previous = [*prompt, *answer]
        prompt = [*previous, *prompt_of(kind, "And then?")[1:]]


def alone_beside(bench: Bench, wanted: GenerationRequest) -> list[int]:
    """The text that `wanted` has without the cache, on the same model beside what it holds."""
    name = f"{wanted.id} anew"
    return run(bench, [request(name, wanted.prompt, wanted.max_tokens, reuse_cache=False)])[name]


def test_a_beginning_whose_cells_others_have_got_is_computed_again(kind: LlamaModel) -> None:
    texts = (("1 2 ", 180), ("a b ", 300), ("? ! ", 190))
    filler, base, last = (prompt_of(kind, text * 400)[:length] for text, length in texts)
    bench = bench_of(kind)
    for name, prompt in (("filler", filler), ("base", base), ("last", last)):  # the last one's place was the filler's
        run(bench, [request(name, prompt, 1, reuse_cache=False)])
    late = request("late", [*base[:50], *prompt_of(kind, "pi?")], 12)
    assert run(bench, [late])["late"] == alone(kind, [late])["late"]


def test_a_prompt_alone_is_computed_for_those_who_go_on_from_it(kind: LlamaModel) -> None:
    longer = prompt_of(kind, PREFIX + "Whats the value of pi?")
    bench = bench_of(kind)
    assert run(bench, [request("warm up", longer[:-3], 0)])["warm up"] == []
    assert bench.outcomes["warm up"] == "length"
    question = request("question", longer)
    assert run(bench, [question])["question"] == alone_beside(bench, question)
    assert bench.texts["question"].cached_tokens == len(longer) - 3


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_step_that_is_stopped_changes_no_text(kind: LlamaModel, share: float) -> None:
    requests = [*requests_of(kind, 30), request("long", prompt_of(kind, PREFIX), 10)]
    expected = alone(kind, requests)
    bench = bench_of(kind, parallel=8)
    for each in requests[:-1]:
        bench.submit(each)
    for _ in range(5):
        bench.loop.turn()
    bench.submit(requests[-1])
    with stopping_at(kind, int(share * 400)):
        bench.loop.turn()
    finish(bench)
    assert tokens_of(bench) == expected


@pytest.mark.parametrize("seed", range(3))
def test_any_traffic_gives_each_the_text_it_has_alone(kind: LlamaModel, seed: int) -> None:
    chance = random.Random(seed)
    words = [prompt_of(kind, PREFIX), prompt_of(kind, "Once upon a time " * 20), prompt_of(kind, "1 2 3")]
    bench = bench_of(kind, parallel=chance.choice([2, 4, 12]), prompt_rows=chance.choice([3, 24, 100]), shelf=700)
    asked: dict[str, GenerationRequest] = {}
    for index in range(16):
        beginning = chance.choice([*words, *talks(bench, asked)])[: chance.choice([20, 60, 120, 200])]
        prompt = [*beginning, *(chance.randrange(300, 30_000) for _ in range(chance.choice([1, 5, 40])))]
        each = asked[f"r{index}"] = request(f"r{index}", prompt, chance.choice([0, 1, 8, 24]))
        bench.submit(each)
        # Twice, for a request whose state is lost a third time fails.
        with stopping_at(kind, chance.randrange(800) if index in (6, 12) else NEVER):
            for _ in range(chance.randrange(1, 8)):
                bench.loop.turn()
                bench.scheduler.check_integrity()
        if chance.random() < 0.3:
            bench.loop.handle(Abort(chance.choice(list(asked))))
    finish(bench)
    got = tokens_of(bench)
    expected = alone(kind, asked.values())
    for name in asked:
        whole = bench.outcomes[name] != "aborted"
        assert got.get(name, []) == (expected[name] if whole else expected[name][: len(got.get(name, []))]), name


def talks(bench: Bench, asked: dict[str, GenerationRequest]) -> list[list[int]]:
    """What has been said so far: prompts with their answers."""
    return [[*asked[name].prompt, *delta.tokens] for name, delta in bench.texts.items()]
