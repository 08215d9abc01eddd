"""The whole service over the fake model: a real uvicorn on a free port, in the test's own event loop."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn
from litestar import Litestar

from service.app import create_app
from service.engine.engine import Engine
from service.engine.interface import EngineOptions
from service.engine.model import Model
from service.settings import Settings
from service.telemetry.metrics import Metrics
from tests.support.fake_model import FakeModel

Loader = Callable[[Callable[[float], None]], Model]


class QuietServer(uvicorn.Server):
    """uvicorn that leaves the signals of the test's process alone and says when it is up."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass
class LiveServer:
    """A running service and what a test may reach into."""

    app: Litestar
    engine: Engine
    metrics: Metrics
    model: FakeModel
    client: httpx.AsyncClient
    port: int
    loading: threading.Event

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def post(self, path: str, body: object) -> httpx.Response:
        return await self.client.post(path, json=body)

    async def events(self, path: str, body: object) -> list[bytes]:
        """The blocks of a stream, as they were sent."""
        response = await self.client.post(path, json=body)
        assert response.headers["content-type"] == "text/event-stream", response.text
        return [block for block in response.content.split(b"\n\n") if block]

    async def chunks(self, path: str, body: object) -> list[Any]:
        """The values of a stream's events, comments and `[DONE]` left out."""
        blocks = await self.events(path, body)
        return [json.loads(block[6:]) for block in blocks if block.startswith(b"data: {")]

    async def until_idle(self) -> None:
        """Waits until the engine has nothing to do, and says what hung."""
        assert await self.engine.wait_idle(5), f"{self.engine.running} run, {self.engine.waiting} wait"
        for _ in range(500):
            if self.model.samplers == 0:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{self.model.samplers} samplers are still open")


@asynccontextmanager
async def live_server(
    model: FakeModel | None = None,
    settings: Settings | None = None,
    options: EngineOptions | None = None,
    *,
    loaded: bool = True,
    load: Loader | None = None,
) -> AsyncIterator[LiveServer]:
    """Runs until the block ends. With `loaded=False` the model loads only once `loading` is set."""
    fake = model or FakeModel(cells=4096, sequences=64)
    loading = threading.Event()
    if loaded:
        loading.set()

    def load_fake(progress: Callable[[float], None]) -> Model:
        progress(0.25)
        loading.wait()
        return fake

    metrics = Metrics()
    engine = Engine(
        load or load_fake,
        options or EngineOptions(parallel=8, split_context=False, queue=256, calibrate=False),
        metrics,
    )
    app = create_app(settings or Settings(), engine, metrics)
    config = uvicorn.Config(
        app, http="httptools", lifespan="on", log_config=None, access_log=False, ws="none", timeout_graceful_shutdown=1
    )
    server = QuietServer(config)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    running = asyncio.create_task(server.serve([listener]))
    try:
        await asyncio.wait_for(server.up.wait(), 10)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            if loaded and load is None:
                await engine.wait_loaded()
            yield LiveServer(app, engine, metrics, fake, client, port, loading)
    finally:
        loading.set()
        fake.gate.set()
        server.should_exit = True
        await running
        listener.close()
