"""The real command: the default model asked by the official client, and the seed samples with Mistral's vocabulary."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam

from tests.component.test_seed_samples import CHAT, COMPLETION, INFER, MODELS, PROPS, differences
from tests.support.command import Running, running_command

QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Whats the value of pi?"}]


@pytest.fixture(scope="module")
def served(default_model_path: Path) -> Iterator[Running]:
    with running_command("--model", str(default_model_path), "-c", "1024", "--parallel", "4") as command:
        command.wait_for("ready", 120)
        yield command


@pytest.fixture
async def client(served: Running) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none", timeout=60) as client:
        yield client


async def test_the_value_of_pi_is_streamed(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="any",
        messages=QUESTION,
        temperature=0,
        max_tokens=40,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert "3.14" in text
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 5


async def test_the_whole_answer_is_that_of_the_stream(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="any", messages=QUESTION, temperature=0, max_tokens=24, stream=True
    )
    streamed = "".join([choice.delta.content or "" async for chunk in stream for choice in chunk.choices])
    whole = await client.chat.completions.create(model="any", messages=QUESTION, temperature=0, max_tokens=24)
    assert whole.choices[0].message.content == streamed
    assert "3.14" in streamed


async def test_infer_answers_the_seed_s_own_question(served: Running) -> None:
    async with httpx.AsyncClient(base_url=served.url, timeout=60) as client:
        body = {"messages": QUESTION, "temperature": 0, "max_tokens": 24}
        answer = (await client.post("/infer", json=body)).raise_for_status().json()
    assert set(answer) == {"resp"}
    assert "3.14" in answer["resp"]["choices"][0]["message"]["content"]
    assert answer["resp"]["model"].endswith(".gguf")


@pytest.fixture(scope="module")
def tiny_served(tiny_model_path: Path) -> Iterator[Running]:
    with running_command("--model", str(tiny_model_path), "-c", "512") as command:
        command.wait_for("ready")
        yield command


@pytest.mark.parametrize(
    ("path", "body", "sample"),
    [
        ("/infer", {"messages": QUESTION, "max_tokens": 4}, INFER),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 50}, CHAT),
        ("/v1/completions", {"prompt": "Hello", "max_tokens": 10}, COMPLETION),
    ],
)
def test_a_post_sample_has_its_shape_with_mistral_s_vocabulary(
    tiny_served: Running, path: str, body: dict[str, Any], sample: dict[str, Any]
) -> None:
    answer = httpx.post(tiny_served.url + path, json=body, timeout=60).raise_for_status().json()
    assert differences(sample, answer) == []


@pytest.mark.parametrize(("path", "sample"), [("/v1/models", MODELS), ("/props", PROPS), ("/health", {"status": "ok"})])
def test_a_get_sample_has_its_shape_with_mistral_s_vocabulary(
    tiny_served: Running, path: str, sample: dict[str, Any]
) -> None:
    assert differences(sample, httpx.get(tiny_served.url + path).raise_for_status().json()) == []


def test_the_samples_of_tokens_are_those_of_mistral_s_vocabulary(tiny_served: Running) -> None:
    answer = httpx.post(f"{tiny_served.url}/tokenize", json={"content": "Hello world"})
    assert answer.json() == {"tokens": [22557, 1526]}
    tokens = [22557, 1526, 28725, 910, 460, 368, 1609, 28804]
    answer = httpx.post(f"{tiny_served.url}/detokenize", json={"tokens": tokens})
    assert answer.json() == {"content": " Hello world, how are you Sch?"}
