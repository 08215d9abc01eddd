"""The whole command on a GPU: what it says, what it answers, how it plans memory, how it ends."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import pytest

from service.engine.llama.devices import Device
from tests.gpu.conftest import LONG_CONTEXT
from tests.support.command import Running, running_command

pytestmark = pytest.mark.usefixtures("gpu")

GIB = 1 << 30
SYSTEM = "You are a patient assistant who answers in few words and never in many. " * 12
LOADING = 120.0


def events(command: Running) -> str:
    return "\n".join(str(line["event"]) for line in command.lines)


def props_of(command: Running) -> dict[str, Any]:
    return dict(httpx.get(f"{command.url}/props").json())


def ready(command: Running) -> Running:
    command.wait_for("ready", LOADING)
    return command


@pytest.fixture(scope="module")
def server(calm: Path) -> Iterator[Running]:
    """All defaults but the context's length."""
    with running_command("--model", str(calm), "--ctx-size", "8192", "--drain-delay", "0") as command:
        yield ready(command)


def ask(number: int, length: int = 32, **more: object) -> dict[str, Any]:
    content = f"{SYSTEM} Question {number}: what comes after {number}?"
    return {
        "messages": [{"role": "user", "content": content}], "max_tokens": length, "temperature": 0, "ignore_eos": True, **more,
    }  # fmt: skip


async def answered(client: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    response = await client.post("/v1/chat/completions", json=body, timeout=120)
    assert response.status_code == 200, response.text
    return dict(response.json())


async def all_of(command: Running, bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(base_url=command.url) as client:
        return list(await asyncio.gather(*(answered(client, body) for body in bodies)))


def test_it_says_where_it_computes(server: Running, gpu: Device) -> None:
    told = events(server)
    assert re.search(rf"using device {gpu.name} \(.+\)", told)
    assert "offloaded 5/5 layers to GPU" in told
    assert re.search(rf"free \({gpu.name}\)", told)
    props = props_of(server)
    assert props["gpu_layers"] == 5
    assert props["cpu_variant"]


async def test_eight_streams_at_once_and_their_beginning_computed_once(server: Running) -> None:
    answers = await all_of(server, [ask(number) for number in range(8)])
    assert [answer["usage"]["completion_tokens"] for answer in answers] == [32] * 8
    prompts = [answer["usage"]["prompt_tokens"] for answer in answers]
    computed = [answer["timings"]["prompt_n"] for answer in answers]
    assert min(prompts) > 150
    assert sum(computed) < 1.5 * prompts[0], (prompts, computed)


async def test_texts_together_begin_as_they_do_alone(server: Running) -> None:
    """The GPU's kernels differ with the number of rows, so a text turns sooner or later."""
    bodies = [ask(number, 48, cache_prompt=False) for number in range(20, 28)]
    alone = [(await all_of(server, [body]))[0]["choices"][0]["message"]["content"] for body in bodies]
    together = [answer["choices"][0]["message"]["content"] for answer in await all_of(server, bodies)]
    shares = [common(one, other) / len(one) for one, other in zip(alone, together, strict=True)]
    print(f"the same: {shares}")  # noqa: T201
    assert sum(share > 0.05 for share in shares) >= 6


def common(one: str, other: str) -> int:
    return next(
        (place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]),
        min(len(one), len(other)),
    )


async def test_who_leaves_during_a_prompt_harms_nobody(server: Running) -> None:
    async with httpx.AsyncClient(base_url=server.url) as client:
        for number in range(4):
            messages = [{"role": "user", "content": f"{number} " + "many words here " * 1500}]
            with pytest.raises(httpx.TimeoutException):
                await client.post("/v1/chat/completions", json=ask(number) | {"messages": messages}, timeout=0.02)
    began = monotonic()
    after = (await all_of(server, [ask(1)]))[0]
    print(f"answered {monotonic() - began:.2f} s after")  # noqa: T201
    assert after["usage"]["completion_tokens"] == 32
    assert props_of(server)["state"] == "ready"


async def test_a_stream_runs_to_its_end_while_it_drains(billion: Path) -> None:
    with running_command("--model", str(billion), "--ctx-size", "8192", "--drain-delay", "1") as command:
        ready(command)
        async with httpx.AsyncClient(base_url=command.url) as client:
            body = ask(1, 1000, stream=True)
            async with client.stream("POST", "/v1/chat/completions", json=body, timeout=60) as response:
                chunks = []
                async for line in response.aiter_lines():
                    if not line.startswith("data: {"):
                        continue
                    chunks.append(json.loads(line.removeprefix("data: ")))
                    if len(chunks) == 5:
                        command.signal(signal.SIGTERM)
        assert chunks[-1]["choices"][0]["finish_reason"] == "length"
        code, _ = await asyncio.to_thread(command.ended)
    assert code == 0


@pytest.mark.parametrize(
    ("arguments", "layers", "told"),
    [
        (("-ngl", "12"), 12, "offloaded 12/23 layers to GPU"),
        (("--n-gpu-layers", "99"), 23, "offloaded 23/23 layers to GPU"),
        (("--device", "none"), 0, "CPU KV buffer size"),
        (("-ngl", "0"), 0, "CPU KV buffer size"),
        (("-nkvo",), 23, "CPU KV buffer size"),
        (("-fa", "off", "-sm", "none", "-mg", "0", "-ts", "1"), 23, "offloaded 23/23 layers to GPU"),
    ],
    ids=str,
)
async def test_parts_of_a_model(billion: Path, arguments: tuple[str, ...], layers: int, told: str) -> None:
    with running_command("--model", str(billion), "--ctx-size", "4096", *arguments) as command:
        ready(command)
        answers = await all_of(command, [ask(number, 8) for number in range(4)])
        assert all(answer["usage"]["completion_tokens"] == 8 for answer in answers)
        assert props_of(command)["gpu_layers"] == layers
        assert told in events(command)


def test_a_context_that_is_left_open_fits_the_gpu(
    long_billion: Path, leaving: Callable[[int], AbstractContextManager[None]]
) -> None:
    with leaving(6 * GIB), running_command("--model", str(long_billion)) as command:
        ready(command)
        context = props_of(command)["default_generation_settings"]["n_ctx"]
        print(next(line["event"] for line in command.lines if str(line["event"]).startswith("context ")))  # noqa: T201
    assert 40_000 < context < LONG_CONTEXT
    # 22 layers x 4 heads x 64 values x 2 x 2 bytes
    assert context * 22528 < 5 * GIB


async def test_layers_that_do_not_fit_stay_on_the_host(
    long_billion: Path, leaving: Callable[[int], AbstractContextManager[None]]
) -> None:
    with leaving(2150 << 20), running_command("--model", str(long_billion), "--ctx-size", "4096") as command:
        ready(command)
        layers = props_of(command)["gpu_layers"]
        print(f"{layers} layers")  # noqa: T201
        answers = await all_of(command, [ask(number, 8) for number in range(4)])
    assert 0 < layers < 23
    assert all(answer["usage"]["completion_tokens"] == 8 for answer in answers)


def test_what_does_not_fit_is_said(long_billion: Path, leaving: Callable[[int], AbstractContextManager[None]]) -> None:
    with (
        leaving(3 * GIB),
        running_command("--model", str(long_billion), "--ctx-size", "500000", "-ngl", "all") as command,
    ):
        code, _ = command.ended(LOADING)
    assert code != 0
    print([line for line in command.lines if line.get("level") in ("error", "warning")][-3:])  # noqa: T201
    assert "context of" in events(command)
