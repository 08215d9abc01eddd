"""Every field is looked at: a wrong value is refused by name, one that is not served yet too, one that changes nothing passes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.live_server import LiveServer, live_server

pytestmark = pytest.mark.anyio

CHAT, TEXT, NATIVE = "/v1/chat/completions", "/v1/completions", "/completion"
HI = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[LiveServer]:
    # One for all of them: none of these requests leaves anything behind.
    async with live_server() as running:
        yield running
        await running.until_idle()


def chat(**fields: Any) -> dict[str, Any]:
    return {"messages": HI, "max_tokens": 2, **fields}


def text(**fields: Any) -> dict[str, Any]:
    return {"prompt": "Hi", "max_tokens": 2, **fields}


WRONG: list[tuple[str, dict[str, Any], str]] = [
    (CHAT, {}, "messages"),
    (CHAT, chat(messages=[]), "messages"),
    (CHAT, chat(messages=None), "messages"),
    (CHAT, chat(messages="Hi"), "messages"),
    (CHAT, chat(messages=["Hi"]), "messages[0]"),
    (CHAT, chat(messages=[{"role": "king", "content": "Hi"}]), "messages[0].role"),
    (CHAT, chat(messages=[{"content": "Hi"}]), "messages[0].role"),
    (CHAT, chat(messages=[{"role": "user"}]), "messages[0].content"),
    (CHAT, chat(messages=[{"role": "assistant", "content": None}]), "messages[0].content"),
    (CHAT, chat(messages=[{"role": "user", "content": 5}]), "messages[0].content"),
    (CHAT, chat(messages=[{"role": "user", "content": [{"type": "text"}]}]), "messages[0].content[0].text"),
    (
        CHAT,
        chat(messages=[{"role": "user", "content": [{"type": "song", "text": "la"}]}]),
        "messages[0].content[0].type",
    ),
    (CHAT, chat(messages=[*HI, *[{"role": "assistant", "content": "a"}] * 2]), "messages"),
    (CHAT, chat(messages=[{"role": "assistant", "content": "a"}], add_generation_prompt=True), "add_generation_prompt"),
    (CHAT, chat(continue_final_message="all"), "continue_final_message"),
    (CHAT, chat(model="x" * 10_000), "model"),
    (CHAT, chat(max_tokens="5"), "max_tokens"),
    (CHAT, chat(max_tokens=True), "max_tokens"),
    (CHAT, chat(max_tokens=-2), "max_tokens"),
    (CHAT, chat(max_tokens=2.5), "max_tokens"),
    (CHAT, chat(max_tokens=10**30), "max_tokens"),
    (CHAT, chat(max_completion_tokens=-5), "max_completion_tokens"),
    (CHAT, chat(n=0), "n"),
    (CHAT, chat(n=129), "n"),
    (CHAT, chat(temperature="hot"), "temperature"),
    (CHAT, chat(top_k=[40]), "top_k"),
    (CHAT, chat(repeat_penalty=0), "repeat_penalty"),
    (CHAT, chat(repeat_last_n=-2), "repeat_last_n"),
    (CHAT, chat(min_keep=-1), "min_keep"),
    (CHAT, chat(adaptive_decay=1.5), "adaptive_decay"),
    (CHAT, chat(dry_sequence_breakers=[]), "dry_sequence_breakers"),
    (CHAT, chat(samplers=["top_k", "magic"]), "samplers"),
    (CHAT, chat(samplers="k!"), "samplers"),
    (CHAT, chat(logit_bias={"999999": 1}), "logit_bias"),
    (CHAT, chat(logit_bias={"-1": 1}), "logit_bias"),
    (CHAT, chat(logit_bias={"5": True}), "logit_bias"),
    (CHAT, chat(logit_bias=[[5, "x"]]), "logit_bias[0][1]"),
    (CHAT, chat(logit_bias=[[5]]), "logit_bias[0]"),
    (CHAT, chat(stop=[1]), "stop[0]"),
    (CHAT, chat(stop=["x"] * 129), "stop"),
    (CHAT, chat(stream="yes"), "stream"),
    (CHAT, chat(stream_options=[]), "stream_options"),
    (CHAT, chat(seed="x"), "seed"),
    (CHAT, chat(top_logprobs=3), "top_logprobs"),
    (CHAT, chat(logprobs=True, top_logprobs=-1), "top_logprobs"),
    (CHAT, chat(chat_template_kwargs="x"), "chat_template_kwargs"),
    (CHAT, chat(sse_ping_interval=-2), "sse_ping_interval"),
    (TEXT, {}, "prompt"),
    (TEXT, text(prompt=None), "prompt"),
    (TEXT, text(prompt=""), "prompt"),
    (TEXT, text(prompt=[]), "prompt"),
    (TEXT, text(prompt=[[]]), "prompt[0]"),
    (TEXT, text(prompt=["Hi", ""]), "prompt[1]"),
    (TEXT, text(prompt=5), "prompt"),
    (TEXT, text(prompt={"prompt_string": "Hi"}), "prompt"),
    (TEXT, text(prompt=[True]), "prompt[0]"),
    (TEXT, text(prompt=[1.5]), "prompt[0]"),
    (TEXT, text(prompt=["Hi", None]), "prompt[1]"),
    (TEXT, text(prompt=[72, None]), "prompt[1]"),
    (TEXT, text(prompt=[72, 258]), "prompt[1]"),
    (TEXT, text(prompt=[-1]), "prompt[0]"),
    (TEXT, text(prompt=[10**30]), "prompt[0]"),
    (TEXT, text(prompt=[[72], [300]]), "prompt[1][0]"),
    (TEXT, text(prompt=["x"] * 300), "prompt"),
    (TEXT, text(logprobs=True), "logprobs"),
    (TEXT, text(logprobs=-1), "logprobs"),
    (TEXT, text(echo="yes"), "echo"),
    (NATIVE, text(n_probs=-1), "n_probs"),
    (NATIVE, text(response_fields="content"), "response_fields"),
    ("/infer", {"messages": []}, "messages"),
    ("/infer", {"messages": HI, "temperature": "x"}, "temperature"),
    ("/tokenize", {"content": 5}, "content"),
    ("/tokenize", {"content": [None]}, "content[0]"),
    ("/tokenize", {"content": [300]}, "content[0]"),
    ("/tokenize", {"content": "x", "add_special": 1}, "add_special"),
    ("/detokenize", {"tokens": ["x"]}, "tokens[0]"),
    ("/detokenize", {"tokens": [72, 258]}, "tokens[1]"),
    ("/detokenize", {"tokens": [-1]}, "tokens[0]"),
    ("/apply-template", {"messages": []}, "messages"),
]


@pytest.mark.parametrize(("path", "body", "param"), WRONG, ids=lambda value: str(value)[:60])
async def test_a_wrong_field_is_named(server: LiveServer, path: str, body: dict[str, Any], param: str) -> None:
    answer = await server.post(path, body)
    error = answer.json()["error"]
    assert answer.status_code == 400, error
    assert error["param"] == param
    assert error["code"] == 400
    assert error["type"] == "invalid_request_error"
    assert param in error["message"]


@pytest.mark.parametrize(("path", "body", "param"), WRONG, ids=lambda value: str(value)[:60])
async def test_a_stream_is_refused_in_the_same_way(
    server: LiveServer, path: str, body: dict[str, Any], param: str
) -> None:
    answer = await server.post(path, {"stream": True, **body})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize(
    ("path", "field", "value"),
    [
        (CHAT, "tools", [{"type": "function", "function": {"name": "f"}}]),
        (CHAT, "tool_choice", "required"),
        (CHAT, "tool_choice", {"type": "function", "function": {"name": "f"}}),
        (CHAT, "functions", [{"name": "f"}]),
        (CHAT, "function_call", {"name": "f"}),
        (CHAT, "response_format", {"type": "json_object"}),
        (CHAT, "response_format", {"type": "json_schema", "json_schema": {"schema": {}}}),
        (CHAT, "grammar", 'root ::= "a"'),
        (CHAT, "json_schema", {}),
        (CHAT, "lora", [{"id": 0, "scale": 1}]),
        (CHAT, "n_indent", 4),
        (CHAT, "t_max_predict_ms", 100),
        (CHAT, "return_progress", True),
        (CHAT, "verbose", True),
        (CHAT, "reasoning_format", "deepseek"),
        (CHAT, "reasoning_budget_tokens", 0),
        (CHAT, "thinking_budget_tokens", 100),
        (CHAT, "reasoning_control", True),
        (CHAT, "continue_final_message", "reasoning_content"),
        (CHAT, "modalities", ["text", "audio"]),
        (CHAT, "audio", {"voice": "x"}),
        (CHAT, "web_search_options", {}),
        (CHAT, "min_tokens", 5),
        (CHAT, "stop_token_ids", [2]),
        (CHAT, "bad_words", ["no"]),
        (CHAT, "allowed_token_ids", [1, 2]),
        (CHAT, "include_stop_str_in_output", True),
        (CHAT, "repetition_detection", {"max_pattern_size": 5}),
        (CHAT, "truncate_prompt_tokens", -1),
        (CHAT, "structured_outputs", {"choice": ["yes", "no"]}),
        (CHAT, "return_token_ids", True),
        (TEXT, "prompt_logprobs", 0),
        (TEXT, "logprob_token_ids", [1]),
        (TEXT, "suffix", "end"),
        (TEXT, "best_of", 5),
        (NATIVE, "grammar", "root ::= [a-z]"),
        ("/apply-template", "tools", [{"type": "function"}]),
        ("/infer", "tools", [{"type": "function"}]),
    ],
)
async def test_a_field_that_is_not_served_yet_is_refused_by_name(
    server: LiveServer, path: str, field: str, value: Any
) -> None:
    body = text() if path in (TEXT, NATIVE) else chat()
    answer = await server.post(path, {**body, field: value})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == field
    assert "not served" in answer.json()["error"]["message"] or "only the content" in answer.json()["error"]["message"]


async def test_pictures_are_refused_where_they_stand(server: LiveServer) -> None:
    parts = [{"type": "text", "text": "what is this?"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    answer = await server.post(CHAT, chat(messages=[{"role": "user", "content": parts}]))
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "messages[0].content[1].type"


async def test_echo_and_probabilities_together_are_refused(server: LiveServer) -> None:
    answer = await server.post(TEXT, text(echo=True, logprobs=1))
    assert answer.json()["error"]["param"] == "logprobs"


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [], "tool_choice": "none", "parallel_tool_calls": True, "functions": [], "function_call": "auto"},
        {
            "tools": None,
            "tool_choice": None,
            "response_format": None,
            "grammar": None,
            "json_schema": None,
            "lora": None,
        },
        {"min_tokens": 0, "stop_token_ids": [], "bad_words": [], "include_stop_str_in_output": False},
        {"response_format": {"type": "text"}, "grammar": "", "lora": [], "tool_choice": "auto"},
        {"n_indent": 0, "t_max_predict_ms": -1, "return_progress": False, "verbose": False, "modalities": ["text"]},
        {"reasoning_format": "auto", "reasoning_budget_tokens": -1, "reasoning_control": False, "logit_bias": None},
        {
            "user": "me",
            "store": True,
            "metadata": {"a": "b"},
            "service_tier": "auto",
            "prediction": None,
            "whatever": [1],
        },
        {"stream_options": None, "stop": None, "seed": None, "max_tokens": None, "max_completion_tokens": 2, "n": None},
        {"temperature": None, "top_p": None, "logprobs": None, "top_logprobs": None, "model": None, "samplers": None},
        {"temperature": -1, "top_p": 7, "min_p": -3, "top_k": -5, "mirostat": 9, "xtc_threshold": 2, "dry_base": 0.1},
        {
            "max_tokens": 2.0,
            "n": 1.0,
            "temperature": 1,
            "seed": 2**62,
            "n_keep": -1,
            "id_slot": 0,
            "cache_prompt": False,
        },
        {"samplers": [], "logit_bias": {}, "stop": [], "dry_sequence_breakers": ["\n"], "ignore_eos": True},
        {"samplers": "kpt", "logit_bias": [[5, -1.5], ["Hi", False]], "stop": "", "sse_ping_interval": 0},
        {
            "samplers": ["top-k", "TOP_P", "temp", "typical_p"],
            "logit_bias": {"5": -100, " the": 3},
            "repeat_last_n": -1,
        },
    ],
    ids=lambda fields: next(iter(fields)),
)
async def test_values_that_change_nothing_and_unknown_fields_pass(server: LiveServer, fields: dict[str, Any]) -> None:
    answer = await server.post(CHAT, {**chat(), **fields} | {"max_tokens": fields.get("max_tokens", 2) or 2})
    assert answer.status_code == 200, answer.text
