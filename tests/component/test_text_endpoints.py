"""What the endpoints answer beyond the samples: fields of both families of clients."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from service.settings import Settings
from tests.support.fake_model import FakeModel, continuation
from tests.support.live_server import LiveServer, live_server

pytestmark = pytest.mark.anyio

CHAT, TEXT, NATIVE = "/v1/chat/completions", "/v1/completions", "/completion"
MESSAGES = [{"role": "user", "content": "Hi"}]


@pytest.fixture
async def server() -> AsyncIterator[LiveServer]:
    async with live_server() as running:
        yield running


async def test_the_model_goes_on_with_exactly_the_prompt(server: LiveServer) -> None:
    answer = (await server.post(TEXT, {"prompt": "Hello", "max_tokens": 8})).json()
    assert answer["choices"][0]["text"].encode() == bytes(continuation([256, *b"Hello"], 8))


async def test_token_ids_are_taken_as_they_are(server: LiveServer) -> None:
    answer = (await server.post(TEXT, {"prompt": [72, 105], "max_tokens": 8})).json()
    assert answer["choices"][0]["text"].encode() == bytes(continuation([72, 105], 8))
    assert answer["usage"]["prompt_tokens"] == 2


async def test_texts_and_ids_mix_in_one_prompt(server: LiveServer) -> None:
    for prompt, tokens in [([72, "ey"], [72, *b"ey"]), (["He", 121, "!"], [256, *b"Hey!"])]:
        answer = (await server.post(TEXT, {"prompt": prompt, "max_tokens": 5})).json()
        assert answer["choices"][0]["text"].encode() == bytes(continuation(tokens, 5))


async def test_a_list_of_prompts_has_a_choice_for_each_in_order(server: LiveServer) -> None:
    prompts = ["one", [72, 105], "three"]
    answer = (await server.post(TEXT, {"prompt": prompts, "max_tokens": 4})).json()
    alone = [(await server.post(TEXT, {"prompt": prompt, "max_tokens": 4})).json() for prompt in prompts]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert [choice["text"] for choice in answer["choices"]] == [one["choices"][0]["text"] for one in alone]
    assert answer["usage"]["prompt_tokens"] == 4 + 2 + 6
    assert answer["usage"]["completion_tokens"] == 12


async def test_a_prompt_counts_once_for_several_choices(server: LiveServer) -> None:
    answer = (await server.post(CHAT, {"messages": MESSAGES, "n": 3, "max_tokens": 4})).json()
    one = (await server.post(CHAT, {"messages": MESSAGES, "max_tokens": 4})).json()
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert answer["usage"]["prompt_tokens"] == one["usage"]["prompt_tokens"]
    assert answer["usage"]["completion_tokens"] == 12


async def test_more_choices_than_run_at_once_wait_for_each_other(server: LiveServer) -> None:
    answer = (await server.post(TEXT, {"prompt": "x", "n": 20, "max_tokens": 3})).json()
    assert len(answer["choices"]) == 20


async def test_what_was_computed_before_is_told_as_cached(server: LiveServer) -> None:
    for cached in (0, 13):
        answer = (await server.post(TEXT, {"prompt": "a long prompt", "max_tokens": 3})).json()
        assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == cached
        assert answer["timings"]["cache_n"] == cached
        assert answer["timings"]["prompt_n"] == 14 - cached
    fresh = (await server.post(TEXT, {"prompt": "a long prompt", "max_tokens": 3, "cache_prompt": False})).json()
    assert fresh["usage"]["prompt_tokens_details"]["cached_tokens"] == 0


async def test_no_tokens_at_all_are_generated_when_none_are_wanted(server: LiveServer) -> None:
    for stream in (False, True):
        asked = {"prompt": "Hi", "max_tokens": 0, "stream": stream}
        if stream:
            (last,) = await server.chunks(TEXT, asked)
        else:
            last = (await server.post(TEXT, asked)).json()
        assert last["choices"][0]["text"] == ""
        assert last["choices"][0]["finish_reason"] == "length"
        assert last["usage"]["completion_tokens"] == 0
        assert last["timings"]["predicted_per_second"] == 0.0


async def test_the_three_names_of_the_length_mean_the_same(server: LiveServer) -> None:
    for name in ("max_tokens", "max_completion_tokens", "n_predict"):
        answer = (await server.post(CHAT, {"messages": MESSAGES, name: 3})).json()
        assert answer["usage"]["completion_tokens"] == 3


async def test_the_setting_bounds_an_answer_that_names_no_length() -> None:
    async with live_server(settings=Settings(n_predict=5)) as server:
        absences: list[dict[str, Any]] = [{}, {"max_tokens": None}]
        for absent in absences:
            answer = (await server.post(CHAT, {"messages": MESSAGES, **absent})).json()
            assert answer["usage"]["completion_tokens"] == 5


async def test_the_model_s_own_end_is_a_stop() -> None:
    async with live_server(FakeModel(cells=4096, sequences=64, end_every=5)) as server:
        answer = (await server.post(TEXT, {"prompt": "Hi"})).json()
        assert answer["choices"][0]["finish_reason"] == "stop"
        assert "</s>" not in answer["choices"][0]["text"]


async def test_a_stop_text_ends_the_answer_and_is_not_part_of_it(server: LiveServer) -> None:
    whole = (await server.post(TEXT, {"prompt": "Hi", "max_tokens": 20})).json()["choices"][0]["text"]
    stop = whole[7:9]
    answer = (await server.post(TEXT, {"prompt": "Hi", "max_tokens": 20, "stop": [stop]})).json()["choices"][0]
    assert answer["text"] == whole[: whole.index(stop)]
    assert answer["finish_reason"] == "stop"


async def test_echo_begins_with_the_prompt(server: LiveServer) -> None:
    plain = (await server.post(TEXT, {"prompt": "Hi", "max_tokens": 4})).json()["choices"][0]["text"]
    echoed = (await server.post(TEXT, {"prompt": ["Hi", [72, 105]], "n": 2, "max_tokens": 4, "echo": True})).json()
    assert [choice["text"][:2] for choice in echoed["choices"]] == ["Hi"] * 4
    assert echoed["choices"][0]["text"] == "Hi" + plain
    chunks = await server.chunks(TEXT, {"prompt": "Hi", "max_tokens": 4, "echo": True, "stream": True})
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "Hi" + plain


@pytest.mark.parametrize("count", [0, 2])
async def test_probabilities_of_a_text_suit_both_families(server: LiveServer, count: int) -> None:
    answer = (await server.post(TEXT, {"prompt": "Hi", "max_tokens": 4, "logprobs": count})).json()
    logprobs = answer["choices"][0]["logprobs"]
    assert len(logprobs["tokens"]) == len(logprobs["content"]) == 4
    assert "".join(logprobs["tokens"]) == answer["choices"][0]["text"]
    assert logprobs["text_offset"] == [0, 1, 2, 3]
    assert logprobs["token_logprobs"] == [-0.5] * 4
    for token, top in zip(logprobs["tokens"], logprobs["top_logprobs"], strict=True):
        assert top[token] == -0.5
    assert [len(entry["top_logprobs"]) for entry in logprobs["content"]] == [count] * 4


async def test_offsets_go_on_from_chunk_to_chunk(server: LiveServer) -> None:
    asked = {"prompt": "Hi", "max_tokens": 4, "logprobs": 1, "stream": True}
    chunks = [chunk["choices"][0] for chunk in await server.chunks(TEXT, asked)]
    assert [offset for chunk in chunks if chunk["logprobs"] for offset in chunk["logprobs"]["text_offset"]] == [
        0,
        1,
        2,
        3,
    ]


async def test_probabilities_after_the_samplers_have_their_own_names(server: LiveServer) -> None:
    asked = {"prompt": "Hi", "n_predict": 2, "n_probs": 3, "post_sampling_probs": True}
    entries = (await server.post(NATIVE, asked)).json()["completion_probabilities"]
    assert [sorted(entry) for entry in entries] == [["bytes", "id", "prob", "token", "top_probs"]] * 2


async def test_chat_probabilities_default_to_twenty_alternatives(server: LiveServer) -> None:
    wanted: list[tuple[dict[str, Any], int]] = [
        ({"logprobs": True}, 20),
        ({"logprobs": True, "top_logprobs": 0}, 0),
        ({"n_probs": 4}, 4),
    ]
    for asked, count in wanted:
        answer = (await server.post(CHAT, {"messages": MESSAGES, "max_tokens": 2, **asked})).json()
        entries = answer["choices"][0]["logprobs"]["content"]
        assert [len(entry["top_logprobs"]) for entry in entries] == [count] * 2
    plain = (await server.post(CHAT, {"messages": MESSAGES, "max_tokens": 2})).json()
    assert plain["choices"][0]["logprobs"] is None


async def test_the_native_format_tells_everything(server: LiveServer) -> None:
    asked = {"prompt": "Hi", "n_predict": 6, "temperature": 0.5, "seed": 7, "stop": ["zz"], "return_tokens": True}
    answer = (await server.post(NATIVE, asked)).json()
    assert answer["tokens"] == list(answer["content"].encode())
    assert (answer["stop"], answer["stop_type"], answer["stopping_word"]) == (True, "limit", "")
    assert (answer["tokens_predicted"], answer["tokens_evaluated"], answer["tokens_cached"]) == (6, 3, 8)
    assert answer["prompt"] == "Hi"
    assert answer["truncated"] is False
    settings = answer["generation_settings"]
    assert (settings["temperature"], settings["seed"], settings["n_predict"], settings["stop"]) == (0.5, 7, 6, ["zz"])
    assert (await server.post("/completions", asked)).json()["content"] == answer["content"]


async def test_the_native_format_has_a_list_for_several_prompts(server: LiveServer) -> None:
    answers = (await server.post(NATIVE, {"prompt": ["one", "two"], "n_predict": 2})).json()
    assert [(answer["index"], answer["prompt"]) for answer in answers] == [(0, "one"), (1, "two")]


async def test_every_copy_of_a_prompt_has_its_own_seed(server: LiveServer) -> None:
    for seed, seeds in [(7, [7, 8, 9]), (-1, [2**32 - 1] * 3), (2**32 - 2, [2**32 - 2, 0, 1])]:
        answers = (await server.post(NATIVE, {"prompt": "one", "n": 3, "seed": seed, "n_predict": 1})).json()
        assert [answer["generation_settings"]["seed"] for answer in answers] == seeds


async def test_the_native_format_can_be_cut_down(server: LiveServer) -> None:
    fields = ["content", "generation_settings/n_predict", "nothing/there"]
    answer = (await server.post(NATIVE, {"prompt": "Hi", "n_predict": 2, "response_fields": fields})).json()
    assert set(answer) == {"content", "n_predict"}
    assert answer["n_predict"] == 2


async def test_an_unfinished_answer_is_gone_on_with(server: LiveServer) -> None:
    messages = [*MESSAGES, {"role": "assistant", "content": "Well"}]
    prompt = (await server.post("/apply-template", {"messages": messages})).json()["prompt"]
    assert prompt == "<user>Hi</user>\n<assistant>Well"
    chat = (await server.post(CHAT, {"messages": messages, "max_tokens": 5})).json()
    text = (await server.post(TEXT, {"prompt": prompt, "max_tokens": 5})).json()
    assert chat["choices"][0]["message"]["content"] == text["choices"][0]["text"]


async def test_roles_and_parts_become_what_the_template_knows(server: LiveServer) -> None:
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function"}]},
        {"role": "tool", "content": "42", "tool_call_id": "1", "name": "f"},
    ]
    prompt = (await server.post("/apply-template", {"messages": messages})).json()["prompt"]
    assert prompt == (
        "<system>Be brief.</system>\n<user>a\nb</user>\n<assistant></assistant>\n<tool>42</tool>\n<assistant>"
    )


async def test_the_template_can_be_set() -> None:
    async with live_server(settings=Settings(chat_template="chatml")) as server:
        prompt = (await server.post("/apply-template", {"messages": MESSAGES})).json()["prompt"]
        assert prompt == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


async def test_tokens_come_with_their_pieces(server: LiveServer) -> None:
    asked = {"content": "é", "add_special": True, "with_pieces": True}
    assert (await server.post("/tokenize", asked)).json()["tokens"] == [
        {"id": 256, "piece": "<s>"},
        {"id": 195, "piece": [195]},
        {"id": 169, "piece": [169]},
    ]


async def test_nothing_to_tokenize_is_no_error(server: LiveServer) -> None:
    assert (await server.post("/tokenize", {})).json() == {"tokens": []}
    assert (await server.post("/detokenize", {})).json() == {"content": ""}


async def test_the_model_is_found_by_every_name_it_has() -> None:
    settings = Settings(aliases=("mistral", "org/mistral-7b.v0.2"))
    async with live_server(settings=settings) as server:
        listed = (await server.client.get("/v1/models")).json()
        assert listed["data"][0]["id"] == "mistral"
        assert listed["data"][0]["aliases"] == ["mistral", "org/mistral-7b.v0.2"]
        for name in (
            "mistral",
            "org/mistral-7b.v0.2",
            "org%2Fmistral-7b.v0.2",
            "models/fake.gguf",
            "./models/fake.gguf",
        ):
            answer = await server.client.get(f"/v1/models/{name}")
            assert answer.status_code == 200, name
            assert answer.json()["id"] == "mistral"
        assert (await server.client.get("/models/mistral")).status_code == 200
        unknown = await server.client.get("/v1/models/gpt-4")
        assert unknown.status_code == 404
        assert unknown.json()["error"]["type"] == "not_found_error"


@pytest.mark.parametrize(
    ("asked", "told"),
    [({"model": "gpt-4"}, "gpt-4"), ({}, "mistral"), ({"model": ""}, "mistral"), ({"model": None}, "mistral")],
    ids=str,
)
async def test_an_answer_names_the_model_that_was_asked_for_else_the_alias(asked: dict[str, Any], told: str) -> None:
    async with live_server(settings=Settings(aliases=("mistral",))) as server:
        answer = (await server.post(CHAT, {"messages": MESSAGES, "max_tokens": 1, **asked})).json()
        assert answer["model"] == told
        infer = (await server.post("/infer", {"messages": MESSAGES, "max_tokens": 1, **asked})).json()
        assert infer["resp"]["model"] == "models/fake.gguf"


@pytest.mark.parametrize("asked", [True, False])
async def test_settings_say_whether_each_token_has_timings(server: LiveServer, asked: bool) -> None:
    answer = await server.post("/completion", {"prompt": "Hi", "n_predict": 1, "timings_per_token": asked})
    assert answer.json()["generation_settings"]["timings_per_token"] is asked
