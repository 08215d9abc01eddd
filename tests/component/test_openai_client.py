"""The official client, unchanged, gets what it looks for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam

from service.engine.interface import EngineOptions
from service.settings import Settings
from tests.support.fake_model import FakeModel
from tests.support.live_server import LiveServer, live_server

pytestmark = pytest.mark.anyio

MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hi"}]


@pytest.fixture
async def server() -> AsyncIterator[LiveServer]:
    async with live_server() as running:
        yield running


@pytest.fixture
async def client(server: LiveServer) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as made:
        yield made


async def test_a_chat(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="gpt-4o", messages=MESSAGES, max_completion_tokens=5, n=2)
    assert answer.object == "chat.completion"
    assert answer.model == "gpt-4o"
    assert [choice.finish_reason for choice in answer.choices] == ["length", "length"]
    assert all(len(choice.message.content or "") == 5 for choice in answer.choices)
    assert answer.choices[0].message.refusal is None
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 10
    assert answer.usage.prompt_tokens_details is not None
    assert answer._request_id


async def test_a_chat_stream_says_the_same(client: AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(model="m", messages=MESSAGES, max_tokens=12)
    stream = await client.chat.completions.create(
        model="m", messages=MESSAGES, max_tokens=12, stream=True, stream_options={"include_usage": True}
    )
    text, reasons, usages = "", [], []
    async for chunk in stream:
        usages += [chunk.usage] if chunk.usage else []
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reasons += [choice.finish_reason] if choice.finish_reason else []
    assert text == whole.choices[0].message.content
    assert reasons == ["length"]
    assert [usage.completion_tokens for usage in usages] == [12]


async def test_the_stream_helper_puts_the_answer_together() -> None:
    # The helper takes an answer that was cut off for an error, so this model comes to an end.
    async with (
        live_server(FakeModel(cells=4096, sequences=64, end_every=6)) as server,
        AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client,
    ):
        whole = await client.chat.completions.create(model="m", messages=MESSAGES, logprobs=True)
        async with client.chat.completions.stream(model="m", messages=MESSAGES, logprobs=True) as stream:
            final = await stream.get_final_completion()
    assert final.choices[0].finish_reason == "stop"
    assert final.choices[0].message.content == whole.choices[0].message.content
    assert final.choices[0].logprobs is not None
    assert whole.choices[0].logprobs is not None
    assert len(final.choices[0].logprobs.content or []) == len(whole.choices[0].logprobs.content or []) > 0


async def test_a_text_completion_with_probabilities(client: AsyncOpenAI) -> None:
    answer = await client.completions.create(model="m", prompt=["one", "two"], max_tokens=4, logprobs=2, seed=1)
    assert [choice.index for choice in answer.choices] == [0, 1]
    logprobs = answer.choices[1].logprobs
    assert logprobs is not None
    assert len(logprobs.tokens or []) == len(logprobs.token_logprobs or []) == len(logprobs.text_offset or []) == 4


async def test_a_text_stream(client: AsyncOpenAI) -> None:
    whole = await client.completions.create(model="m", prompt="one", max_tokens=6)
    stream = await client.completions.create(model="m", prompt="one", max_tokens=6, stream=True)
    assert "".join([chunk.choices[0].text async for chunk in stream]) == whole.choices[0].text


async def test_the_models(client: AsyncOpenAI) -> None:
    models = [model async for model in client.models.list()]
    assert [model.id for model in models] == ["models/fake.gguf"]
    assert (await client.models.retrieve(models[0].id)).owned_by == "llamacpp"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("gpt-4o")


async def test_a_wrong_field_is_a_bad_request_with_its_name(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(model="m", messages=MESSAGES, n=0)
    assert caught.value.param == "n"
    assert caught.value.type == "invalid_request_error"
    assert caught.value.request_id


async def test_tools_are_refused_not_forgotten(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="tools"):
        await client.chat.completions.create(
            model="m", messages=MESSAGES, tools=[{"type": "function", "function": {"name": "f"}}]
        )


async def test_a_stream_that_fails_raises(server: LiveServer, client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    await anext(stream)
    await server.engine.stop()
    with pytest.raises(openai.APIError, match="stopped"):
        _ = [chunk async for chunk in stream]


async def test_a_full_queue_is_a_rate_limit_that_the_client_waits_out() -> None:
    options = EngineOptions(parallel=1, split_context=False, queue=0, calibrate=False)
    asked = {"prompt": "Hi", "max_tokens": 3, "stream": True, "sse_ping_interval": 1}
    async with (
        live_server(options=options) as server,
        AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as hasty,
        AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=5) as patient,
    ):
        server.model.gate.clear()
        async with server.client.stream("POST", "/v1/completions", json=asked) as busy:
            with pytest.raises(openai.RateLimitError):
                await hasty.completions.create(model="m", prompt="Hi", max_tokens=2)
            waiting = asyncio.create_task(patient.completions.create(model="m", prompt="Hi", max_tokens=2))
            await asyncio.sleep(0.2)
            server.model.gate.set()
            await busy.aread()
            assert len((await waiting).choices[0].text) == 2


async def test_keys() -> None:
    async with live_server(settings=Settings(api_key=("right",))) as server:
        async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0) as client:
            with pytest.raises(openai.AuthenticationError):
                await client.models.list()
        async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="right", max_retries=0) as client:
            assert [model async for model in client.models.list()]
