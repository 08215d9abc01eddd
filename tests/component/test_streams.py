"""A stream says what a whole answer says, in the order that clients rely on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from service.engine.model import DecodeResult
from service.engine.requests import GenerationRequest, Sample
from service.settings import Settings
from tests.support.fake_model import FakeModel, FakeSampler
from tests.support.live_server import LiveServer, live_server

pytestmark = pytest.mark.anyio

CHAT, TEXT, NATIVE = "/v1/chat/completions", "/v1/completions", "/completion"
MESSAGES = {"messages": [{"role": "user", "content": "Hi"}]}
PROMPT = {"prompt": "Hello"}


@pytest.fixture
async def server() -> AsyncIterator[LiveServer]:
    async with live_server() as running:
        yield running


def text_of(chunk: Any) -> str:
    """The text of one chunk's first choice, in any of the three formats."""
    if "content" in chunk:
        return str(chunk["content"])
    choice = chunk["choices"][0] if chunk["choices"] else {}
    return choice.get("text") or choice.get("delta", {}).get("content") or ""


@pytest.mark.parametrize(
    ("path", "body"), [(CHAT, MESSAGES), (TEXT, PROMPT), (NATIVE, PROMPT)], ids=["chat", "text", "native"]
)
@pytest.mark.parametrize("options", [{}, {"stop": ["a", "xy", "\n"]}, {"stop": "zq"}, {"ignore_eos": False}], ids=str)
async def test_the_text_of_a_stream_is_the_text_of_the_whole_answer(
    server: LiveServer, path: str, body: dict[str, Any], options: dict[str, Any]
) -> None:
    asked = {**body, **options, "max_tokens": 40}
    whole = (await server.post(path, asked)).json()
    chunks = await server.chunks(path, {**asked, "stream": True})
    message = whole["content"] if path == NATIVE else whole["choices"][0]
    expected = message if path == NATIVE else message.get("text") or message.get("message", {}).get("content", "")
    assert "".join(text_of(chunk) for chunk in chunks) == expected


async def test_a_chat_stream_tells_role_text_reason_and_end(server: LiveServer) -> None:
    events = await server.events(CHAT, {**MESSAGES, "max_tokens": 5, "stream": True})
    assert all(event.startswith(b"data: ") for event in events)
    assert events[-1] == b"data: [DONE]"
    chunks = [json.loads(event[6:]) for event in events[:-1]]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": None}
    assert all(chunk["choices"][0]["delta"]["content"] for chunk in chunks[1:-1])
    assert all("role" not in chunk["choices"][0]["delta"] for chunk in chunks[1:])
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["length"]
    assert chunks[-1]["choices"][0]["delta"] == {}
    assert chunks[-1]["timings"]["predicted_n"] == 5
    assert all("usage" not in chunk for chunk in chunks)
    assert len({chunk["id"] for chunk in chunks}) == 1


async def test_usage_comes_in_a_chunk_without_choices_when_asked_for(server: LiveServer) -> None:
    asked = {**MESSAGES, "max_tokens": 5, "stream": True, "stream_options": {"include_usage": True}}
    *_, last, usage = await server.chunks(CHAT, asked)
    assert last["choices"][0]["finish_reason"] == "length"
    assert "timings" not in last
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 5
    assert usage["timings"]["predicted_n"] == 5


async def test_a_text_stream_has_usage_in_its_last_chunk_as_llama_server_sends_it(server: LiveServer) -> None:
    *_, last = await server.chunks(TEXT, {**PROMPT, "max_tokens": 5, "stream": True})
    assert last["choices"][0]["text"] == ""
    assert last["choices"][0]["finish_reason"] == "length"
    assert last["usage"]["completion_tokens"] == 5


async def test_a_text_stream_that_was_asked_for_usage_tells_it_once(server: LiveServer) -> None:
    asked = {**PROMPT, "max_tokens": 5, "stream": True, "stream_options": {"include_usage": True}}
    chunks = await server.chunks(TEXT, asked)
    assert ["usage" in chunk for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1]["choices"] == []


async def test_a_native_stream_ends_with_stop_and_without_done(server: LiveServer) -> None:
    events = await server.events(NATIVE, {**PROMPT, "n_predict": 5, "stream": True})
    values = [json.loads(event[6:]) for event in events]
    assert [value["stop"] for value in values] == [False] * (len(values) - 1) + [True]
    assert values[-1]["content"] == ""
    assert values[-1]["tokens_predicted"] == 5
    assert values[-1]["stop_type"] == "limit"


async def test_several_choices_interleave_and_each_is_whole(server: LiveServer) -> None:
    asked = {"prompt": ["one", "two", "three"], "n": 2, "max_tokens": 12}
    whole = (await server.post(TEXT, asked)).json()
    texts = {choice["index"]: "" for choice in whole["choices"]}
    assert sorted(texts) == list(range(6))
    ends = []
    for chunk in await server.chunks(TEXT, {**asked, "stream": True}):
        choice = chunk["choices"][0]
        texts[choice["index"]] += choice["text"]
        ends += [choice["index"]] if choice["finish_reason"] else []
    assert texts == {choice["index"]: choice["text"] for choice in whole["choices"]}
    assert sorted(ends) == list(range(6))


async def test_several_chat_choices_each_begin_with_the_role(server: LiveServer) -> None:
    chunks = await server.chunks(CHAT, {**MESSAGES, "n": 3, "max_tokens": 4, "stream": True})
    roles = [chunk["choices"][0]["index"] for chunk in chunks if "role" in chunk["choices"][0]["delta"]]
    assert roles == [0, 1, 2]
    assert ["timings" in chunk for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


async def test_timings_come_with_every_chunk_when_asked_for(server: LiveServer) -> None:
    chunks = await server.chunks(CHAT, {**MESSAGES, "max_tokens": 4, "stream": True, "timings_per_token": True})
    assert all("timings" in chunk for chunk in chunks[1:])


async def test_comments_keep_the_connection_while_a_prompt_is_computed() -> None:
    settings = Settings(sse_ping_interval=1)
    async with live_server(settings=settings) as server:
        server.model.gate.clear()
        async with server.client.stream("POST", CHAT, json={**MESSAGES, "max_tokens": 2, "stream": True}) as answer:
            assert answer.status_code == 200
            blocks = answer.aiter_raw()
            assert await anext(blocks) == b":\n\n"
            assert await anext(blocks) == b":\n\n"
            server.model.gate.set()
            rest = b"".join([block async for block in blocks])
    assert rest.startswith(b'data: {"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant"')
    assert rest.endswith(b"data: [DONE]\n\n")


async def test_comments_can_be_switched_off_by_the_request() -> None:
    async with live_server(settings=Settings(sse_ping_interval=1)) as server:
        server.model.gate.clear()
        asked = {**MESSAGES, "max_tokens": 2, "stream": True, "sse_ping_interval": -1}
        answer = asyncio.create_task(server.events(CHAT, asked))
        await asyncio.sleep(1.5)
        server.model.gate.set()
        assert b":" not in await answer


async def test_an_error_before_the_first_text_is_an_error_status() -> None:
    model = FakeModel(cells=4096, sequences=64, fails=lambda groups: DecodeResult.FAILED)
    async with live_server(model) as server:
        answer = await server.post(CHAT, {**MESSAGES, "stream": True})
        assert answer.status_code == 500
        assert answer.json()["error"]["type"] == "server_error"


async def test_an_error_after_the_first_text_is_one_event_and_the_end() -> None:
    model = FakeModel(cells=4096, sequences=64)
    model.fails = lambda groups: DecodeResult.FAILED if model.decodes > 5 else DecodeResult.OK
    async with live_server(model) as server:
        events = await server.events(CHAT, {**MESSAGES, "stream": True})
        await server.until_idle()
        failed = server.metrics.render()[0]
    error = json.loads(events[-1][6:])
    assert error["error"]["type"] == "server_error"
    assert error["error"]["code"] == 500
    assert not any(b"[DONE]" in event for event in events)
    assert len(events) > 2
    assert b'mistral_api_errors_total{error="request_failed"} 1.0' in failed


async def test_events_come_one_by_one_as_the_model_computes() -> None:
    async with live_server(FakeModel(cells=4096, sequences=64, pause=0.03)) as server:
        times: list[float] = []
        clock = asyncio.get_running_loop().time
        async with server.client.stream("POST", TEXT, json={**PROMPT, "max_tokens": 8, "stream": True}) as answer:
            times.extend([clock() async for _ in answer.aiter_raw()])
    assert len(times) >= 8
    assert times[-1] - times[0] > 0.15


async def test_stream_headers_tell_proxies_not_to_hold_anything_back(server: LiveServer) -> None:
    answer = await server.post(CHAT, {**MESSAGES, "max_tokens": 2, "stream": True})
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("stream", [False, True])
async def test_probabilities_are_the_same_in_both(server: LiveServer, stream: bool) -> None:
    asked = {**MESSAGES, "max_tokens": 6, "logprobs": True, "top_logprobs": 2, "stop": ["zz"], "stream": stream}
    if stream:
        chunks = await server.chunks(CHAT, asked)
        entries = [
            entry
            for chunk in chunks
            if "logprobs" in chunk["choices"][0]
            for entry in chunk["choices"][0]["logprobs"]["content"]
        ]
    else:
        entries = (await server.post(CHAT, asked)).json()["choices"][0]["logprobs"]["content"]
    assert len(entries) == 6
    assert all(len(entry["top_logprobs"]) == 2 for entry in entries)
    assert all(set(entry) == {"id", "token", "bytes", "logprob", "top_logprobs"} for entry in entries)


class Speller(FakeModel):
    """Answers the bytes of one text, one a step."""

    answer = "h\u00e9llo \U0001f999 \u00abend\u00bb".encode()

    def open_sampler(self, request: GenerationRequest) -> FakeSampler:
        super().open_sampler(request)
        return SpellingSampler(self, 0, prompt_length=len(request.prompt))


@dataclass
class SpellingSampler(FakeSampler):
    """The byte that stands as far into the answer as there are tokens after the prompt."""

    prompt_length: int = 0

    def sample(self, row: int) -> Sample:
        token = Speller.answer[len(self.model.logits[row]) - self.prompt_length]
        return Sample(token, bytes([token]), is_end=False)


async def test_a_character_of_several_tokens_is_never_split() -> None:
    async with live_server(Speller(cells=4096, sequences=64)) as server:
        chunks = await server.chunks(TEXT, {**PROMPT, "max_tokens": len(Speller.answer), "stream": True})
    assert "".join(text_of(chunk) for chunk in chunks) == Speller.answer.decode()
    assert not any("\ufffd" in text_of(chunk) for chunk in chunks)
