"""A client that leaves frees its place at once, whatever it was waiting for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from service.engine.interface import EngineOptions
from tests.support.fake_model import FakeModel
from tests.support.live_server import LiveServer, live_server

pytestmark = pytest.mark.anyio

CHAT = ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]})
TEXTS = ("/v1/completions", {"prompt": ["one", "two"], "n": 2})
NATIVE = ("/completion", {"prompt": "one"})
INFER = ("/infer", {"messages": [{"role": "user", "content": "Hi"}]})


@asynccontextmanager
async def calling(server: LiveServer, path: str, body: object) -> AsyncIterator[asyncio.StreamReader]:
    """A client that has sent a request and hangs up at the end of the block."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    sent = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(sent)}\r\n\r\n"
    writer.write(head.encode() + sent)
    await writer.drain()
    try:
        yield reader
    finally:
        writer.close()
        await writer.wait_closed()


async def until(condition: Callable[[], bool]) -> None:
    """Waits a little for something to become true."""
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    ("path", "body"), [CHAT, TEXTS, NATIVE, INFER], ids=lambda value: value if "/" in value else ""
)
async def test_leaving_while_text_is_generated(path: str, body: dict[str, Any], stream: bool) -> None:
    async with live_server(FakeModel(cells=4096, sequences=64, pause=0.005)) as server:
        async with calling(server, path, {**body, "stream": stream}) as reader:
            if stream:
                assert await reader.readuntil(b"data: {")
            await until(lambda: server.model.decodes > 3)
        await server.until_idle()
        decodes = server.model.decodes
        await asyncio.sleep(0.1)
        assert server.model.decodes == decodes


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_leaving_while_the_prompt_is_computed(stream: bool) -> None:
    # Steps of 16 prompt rows, 20 ms each: a prompt of 3000 tokens takes seconds.
    model = FakeModel(cells=4096, sequences=64, batch=16, pause=0.02)
    async with live_server(model) as server:
        async with calling(server, "/v1/completions", {"prompt": "x" * 3000, "stream": stream}):
            await until(lambda: server.model.decodes > 2)
        await server.until_idle()
        assert server.model.decodes < 100


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_leaving_the_queue(stream: bool) -> None:
    options = EngineOptions(parallel=1, split_context=False, queue=8, calibrate=False)
    async with live_server(FakeModel(cells=4096, sequences=64, pause=0.005), options=options) as server:
        async with calling(server, "/v1/completions", {"prompt": "first", "stream": True}) as first:
            await first.readuntil(b"data: {")
            async with calling(server, "/v1/completions", {"prompt": "second", "stream": stream}):
                await until(lambda: server.engine.waiting == 1)
            await until(lambda: server.engine.waiting == 0)
            assert server.engine.running == 1
        await server.until_idle()
        metrics = server.metrics.render()[0]
    assert b'mistral_api_requests_total{outcome="aborted"} 2.0' in metrics


async def test_leaving_in_the_middle_of_a_body_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async with live_server() as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()
        await writer.wait_closed()
        assert (await server.client.get("/health")).status_code == 200
    assert "bug" not in caplog.text


async def test_the_next_request_on_the_same_connection_is_served() -> None:
    async with live_server() as server:
        for _ in range(3):
            answer = await server.post("/v1/completions", {"prompt": "one", "max_tokens": 2})
            assert answer.status_code == 200


async def test_a_hundred_clients_that_leave_leave_nothing_behind() -> None:
    async with live_server(FakeModel(cells=4096, sequences=64, pause=0.002)) as server:

        async def come_and_go(number: int) -> None:
            async with calling(server, "/v1/completions", {"prompt": f"{number}", "stream": number % 2 == 0}):
                await asyncio.sleep(number % 7 * 0.01)

        await asyncio.gather(*(come_and_go(number) for number in range(100)))
        await server.until_idle()
        answer = await server.post("/v1/completions", {"prompt": "one", "max_tokens": 2})
        assert answer.status_code == 200
