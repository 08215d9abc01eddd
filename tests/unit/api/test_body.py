"""JSON is taken strictly, and what is wrong is told by the field's name, what it takes and what came."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from service.api.body import decode
from service.api.schemas.chat import ChatRequest
from service.api.schemas.completions import CompletionRequest
from service.errors import InvalidRequest


def chat(**fields: Any) -> bytes:
    return msgspec.json.encode({"messages": [{"role": "user", "content": "Hi"}], **fields})


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        (chat(n=0), "n", "n: expected int >= 1, got 0"),
        (chat(max_tokens="5"), "max_tokens", 'max_tokens: expected int, got "5"'),
        (chat(max_tokens=True), "max_tokens", "max_tokens: expected int, got true"),
        (chat(max_tokens=2.5), "max_tokens", "max_tokens: expected int, got 2.5"),
        (chat(stop={"a": 1}), "stop", "stop: expected str | array, got object"),
        (chat(stop=["a", 5]), "stop[1]", "stop[1]: expected str, got 5"),
        (b"{}", "messages", "'messages' is required"),
        (b'{"messages":[{"content":"Hi"}]}', "messages[0].role", "'messages[0].role' is required"),
        (b'{"messages":[]}', "messages", "messages: expected array of length >= 1"),
        (b'{"messages":"x"}', "messages", 'messages: expected array, got "x"'),
        (b'{"messages":[{"role":"king","content":"Hi"}]}', "messages[0].role",
         "messages[0].role: invalid enum value 'king', expected one of system, developer, user, assistant, tool"),
        (chat(logit_bias={"1": "x"}), "logit_bias", "logit_bias: expected bool | float, got object"),
        (chat(temperature=10**400), "temperature", "temperature: number out of range"),
        (b"[]", None, "the body: expected object, got array"),
        (b"nope", None, "the body is not valid JSON: JSON is malformed: invalid character (byte 4)"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", None, "the body is nested too deeply"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_in_full(body: bytes, param: str | None, message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(body, ChatRequest)
    assert caught.value.param == param
    assert caught.value.message.startswith(message.partition(", got object")[0])


def test_a_long_value_is_not_repeated() -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(chat(max_tokens="x" * 100), ChatRequest)
    assert "xxx" not in caught.value.message


def test_a_whole_number_may_be_written_with_a_point() -> None:
    body = decode(chat(max_tokens=5.0, seed=7.0, temperature=1), ChatRequest)
    assert (body.max_tokens, body.seed, body.temperature) == (5, 7, 1.0)
    assert isinstance(body.max_tokens, int)
    assert isinstance(body.temperature, float)


def test_null_is_as_good_as_absent() -> None:
    every = {name: None for name in ChatRequest.__struct_fields__ if name != "messages"}
    assert decode(chat(**every), ChatRequest) == decode(chat(), ChatRequest)


def test_unknown_fields_are_ignored() -> None:
    assert decode(chat(whatever={"a": [1]}), ChatRequest) == decode(chat(), ChatRequest)


@pytest.mark.parametrize(
    "body", [b'{"prompt":"\\ud800"}', b'{"prompt":"\xff"}', b'{"prompt":NaN}', b'{"prompt":1e999}', b""]
)
def test_what_is_no_text_or_number_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        decode(body, CompletionRequest)
