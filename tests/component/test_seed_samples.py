"""Every sample of the two projects that this service stands in for gets an answer of the same shape."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.live_server import LiveServer, live_server

pytestmark = pytest.mark.anyio

USAGE = {"prompt_tokens": 18, "completion_tokens": 128, "total_tokens": 146}
TIMINGS = {
    "prompt_n": 21, "prompt_ms": 1647.606, "prompt_per_token_ms": 78.45, "prompt_per_second": 12.7, "predicted_n": 50,
    "predicted_ms": 4171.964, "predicted_per_token_ms": 83.4, "predicted_per_second": 11.9,
}  # fmt: skip
INFER = {
    "resp": {
        "id": "chatcmpl-80b66d39", "object": "chat.completion", "created": 1703743185, "model": "./models/mistral.gguf",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Pi"}, "finish_reason": "stop"}],
        "usage": USAGE,
    }
}  # fmt: skip
CHAT = {
    "choices": [{"finish_reason": "length", "index": 0, "message": {"role": "assistant", "content": "Hi!"}}],
    "created": 1752824276, "model": "gpt-3.5-turbo", "system_fingerprint": "b5921-086cf81e", "object": "chat.completion",
    "usage": USAGE, "id": "chatcmpl-NYMJgjx7Sbj4gNvF67M76TLuxxuz8azK", "timings": TIMINGS,
}  # fmt: skip
COMPLETION = {
    "choices": [{"text": ", I'm", "index": 0, "logprobs": None, "finish_reason": "length"}],
    "created": 1752824592, "model": "gpt-3.5-turbo", "system_fingerprint": "b5921-086cf81e", "object": "text_completion",
    "usage": USAGE, "id": "chatcmpl-GEqN6pWWtRLfUsbA2eyS0XN5yAOmTA3g", "timings": TIMINGS,
}  # fmt: skip
MODELS = {
    "models": [
        {
            "name": "m", "model": "m", "modified_at": "", "size": "", "digest": "", "type": "model", "description": "",
            "tags": [""], "capabilities": ["completion"], "parameters": "",
            "details": {
                "parent_model": "", "format": "gguf", "family": "", "families": [""], "parameter_size": "",
                "quantization_level": "",
            },
        }
    ],
    "object": "list",
    "data": [
        {
            "id": "m", "object": "model", "created": 1752821520, "owned_by": "llamacpp",
            "meta": {
                "vocab_type": 1, "n_vocab": 32000, "n_ctx_train": 32768, "n_embd": 4096, "n_params": 7241732096,
                "size": 4367704064,
            },
        }
    ],
}  # fmt: skip
PARAMS = {
    "n_predict": -1, "seed": 4294967295, "temperature": 0.8, "dynatemp_range": 0.0, "dynatemp_exponent": 1.0, "top_k": 40,
    "top_p": 0.95, "min_p": 0.05, "top_n_sigma": -1.0, "xtc_probability": 0.0, "xtc_threshold": 0.1, "typical_p": 1.0,
    "repeat_last_n": 64, "repeat_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0, "dry_multiplier": 0.0,
    "dry_base": 1.75, "dry_allowed_length": 2, "dry_penalty_last_n": 2048, "dry_sequence_breakers": ["\n"], "mirostat": 0,
    "mirostat_tau": 5.0, "mirostat_eta": 0.1, "stop": [], "max_tokens": -1, "n_keep": 0, "n_discard": 0, "ignore_eos": False,
    "stream": True, "logit_bias": [], "n_probs": 0, "min_keep": 0, "grammar": "", "grammar_lazy": False,
    "grammar_triggers": [], "preserved_tokens": [], "chat_format": "Content-only", "reasoning_format": "none",
    "reasoning_in_content": False, "thinking_forced_open": False, "samplers": ["penalties"], "speculative.n_max": 16,
    "speculative.n_min": 0, "speculative.p_min": 0.75, "timings_per_token": False, "post_sampling_probs": False, "lora": [],
}  # fmt: skip
PROPS = {
    "default_generation_settings": {
        "id": 0, "id_task": -1, "n_ctx": 2048, "speculative": False, "is_processing": False, "params": PARAMS, "prompt": "",
        "next_token": {
            "has_next_token": True, "has_new_line": False, "n_remain": -1, "n_decoded": 0, "stopping_word": "",
        },
    },
    "total_slots": 1, "model_path": "./models/mistral.gguf", "modalities": {"vision": False, "audio": False},
    "chat_template": "{%- for", "bos_token": "<s>", "eos_token": "</s>", "build_info": "b5921-086cf81e",
}  # fmt: skip
USER = [{"role": "user", "content": "Whats the value of pi?"}]


@pytest.fixture
async def server() -> AsyncIterator[LiveServer]:
    async with live_server() as running:
        yield running


def differences(sample: Any, answer: Any, place: str = "answer") -> list[str]:
    """Where an answer lacks a key of the sample or has another kind of value there."""
    if isinstance(sample, dict) and isinstance(answer, dict):
        lacking = [f"{place}.{key}" for key in sample if key not in answer]
        both = [key for key in sample if key in answer]
        return lacking + [wrong for key in both for wrong in differences(sample[key], answer[key], f"{place}.{key}")]
    if isinstance(sample, list) and isinstance(answer, list):
        return differences(sample[0], answer[0], f"{place}[0]") if sample else []
    number = isinstance(sample, (int, float)) and not isinstance(sample, bool)
    alike = isinstance(answer, (int, float)) if number else type(answer) is type(sample)
    return [] if alike else [f"{place}: {answer!r}"]


@pytest.mark.parametrize(
    ("path", "body", "sample"),
    [
        ("/infer", {"messages": USER, "max_tokens": 4}, INFER),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 50}, CHAT),
        ("/chat/completions", {"messages": USER, "max_tokens": 4}, CHAT),
        ("/v1/completions", {"prompt": "Hello", "max_tokens": 10}, COMPLETION),
    ],
)
async def test_a_post_sample_has_its_shape(server: LiveServer, path: str, body: Any, sample: Any) -> None:
    answer = await server.post(path, body)
    assert answer.status_code == 200
    assert differences(sample, answer.json()) == []


@pytest.mark.parametrize(
    ("path", "sample"), [("/v1/models", MODELS), ("/models", MODELS), ("/props", PROPS), ("/health", {"status": "ok"})]
)
async def test_a_get_sample_has_its_shape(server: LiveServer, path: str, sample: Any) -> None:
    answer = await server.client.get(path)
    assert answer.status_code == 200
    assert differences(sample, answer.json()) == []


async def test_health_says_nothing_but_ok(server: LiveServer) -> None:
    assert (await server.client.get("/health")).json() == {"status": "ok"}


async def test_text_becomes_tokens_and_tokens_text(server: LiveServer) -> None:
    assert (await server.post("/tokenize", {"content": "Hi"})).json() == {"tokens": [72, 105]}
    assert (await server.post("/detokenize", {"tokens": [72, 105]})).json() == {"content": "Hi"}


async def test_the_length_of_a_sample_is_what_was_asked_for(server: LiveServer) -> None:
    answer = (await server.post("/v1/completions", {"prompt": "Hello", "max_tokens": 10})).json()
    assert answer["usage"]["completion_tokens"] == 10
    assert answer["choices"][0]["finish_reason"] == "length"
    assert len(answer["choices"][0]["text"]) == 10


async def test_infer_takes_all_of_its_old_fields(server: LiveServer) -> None:
    body = {
        "messages": USER, "temperature": 0.2, "top_p": 0.95, "stream": False, "stop": [], "seed": None, "max_tokens": 3,
    }  # fmt: skip
    answer = (await server.post("/infer", body)).json()
    assert answer["resp"]["model"] == "models/fake.gguf"
    assert len(answer["resp"]["choices"][0]["message"]["content"]) == 3


async def test_infer_streams_events_in_the_same_envelope(server: LiveServer) -> None:
    body = {"messages": USER, "max_tokens": 6}
    whole = (await server.post("/infer", body)).json()["resp"]["choices"][0]["message"]["content"]
    events = await server.events("/infer", {**body, "stream": True})
    assert events[-1] == b"data: [DONE]"
    chunks = await server.chunks("/infer", {**body, "stream": True})
    assert all(chunk["resp"]["object"] == "chat.completion.chunk" for chunk in chunks)
    assert "".join(chunk["resp"]["choices"][0]["delta"].get("content") or "" for chunk in chunks) == whole
