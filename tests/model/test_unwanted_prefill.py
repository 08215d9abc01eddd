"""The engine over the real model: a step that nobody waits for any more ends, and the next request finds the cache in order."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from time import process_time

import pytest

from service.engine.engine import Engine
from service.engine.interface import EngineOptions
from service.engine.llama.loading import load_model
from service.engine.llama.options import LlamaOptions
from service.engine.requests import GenerationRequest
from tests.support.native import GREEDY
from tests.support.reading import collect

pytestmark = pytest.mark.model

ROWS, PROMPTS = 8192, 4
"""All of one step: several seconds of the tiny model on two CPUs."""
SECONDS, THREADS = 1.0, 2
"""The time is the CPU's, so that a busy machine does not count."""


def request(name: int, length: int) -> GenerationRequest:
    return GenerationRequest(str(name), tuple(300 + (name + i * i) % 900 for i in range(length)), GREEDY, max_tokens=4)


async def until_computing(engine: Engine, requests: int) -> None:
    async with asyncio.timeout(30):
        while len(engine._pulse.serving) < requests:  # noqa: ASYNC110 (another thread writes it)
            await asyncio.sleep(0.005)


async def test_a_prefill_that_nobody_waits_for_ends_within_a_second(tiny_model_path: Path) -> None:
    options = LlamaOptions(
        str(tiny_model_path), context=ROWS, batch=ROWS, ubatch=512, sequences=8, threads=THREADS,
        threads_batch=THREADS, flash_attn="off", warmup=False,
    )  # fmt: skip
    engine = Engine(
        lambda progress: load_model(options, progress),
        EngineOptions(parallel=PROMPTS, split_context=False, queue=PROMPTS, calibrate=False),
    )
    engine.start()
    await engine.wait_loaded()
    try:
        before = await collect(engine.submit(request(99, 50)))
        generations = [engine.submit(request(number, ROWS // PROMPTS - 100)) for number in range(PROMPTS)]
        await until_computing(engine, PROMPTS)
        await asyncio.sleep(0.2)
        for generation in generations:
            generation.abort()
        began = process_time()
        after = await collect(engine.submit(replace(request(99, 50), id="after", reuse_cache=False)))
        assert process_time() - began < THREADS * SECONDS
        assert after.tokens == before.tokens
    finally:
        await engine.stop()
