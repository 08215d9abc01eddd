"""How the server drains, over an engine with the fake model."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic

import httpx
import pytest

from service.app import create_app
from service.engine.engine import Engine
from service.engine.interface import EngineOptions, EngineState
from service.engine.model import Model
from service.errors import ModelLoadError
from service.listening import open_sockets, shown_address
from service.server import DrainingServer, make_server
from service.settings import Settings
from service.telemetry.metrics import Metrics
from tests.support.fake_model import FakeModel

OPTIONS = EngineOptions(parallel=4, split_context=False, queue=8, calibrate=False)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that")


@asynccontextmanager
async def serving(
    settings: Settings, load: Callable[[Callable[[float], None]], Model]
) -> AsyncIterator[tuple[DrainingServer, Engine, str, asyncio.Task[None]]]:
    """A server that has begun to answer; its signals are called, not sent."""
    metrics = Metrics()
    engine = Engine(load, OPTIONS, metrics)
    sockets = open_sockets(settings)
    url = shown_address(sockets[0])
    server = make_server(create_app(settings, engine, metrics), engine, settings)
    task = asyncio.create_task(server.serve(sockets))
    await until(lambda: server.started)
    try:
        yield server, engine, url, task
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, 20)


def settings(delay: float, timeout: float) -> Settings:
    return Settings(port=0, drain_delay=delay, drain_timeout=timeout)


async def test_while_the_model_loads_a_signal_ends_without_a_delay() -> None:
    gate = threading.Event()

    def load(progress: Callable[[float], None]) -> Model:
        progress(0.25)
        gate.wait(30)
        raise ModelLoadError("fake.gguf", "nobody waits any more")

    async with serving(settings(delay=30, timeout=30), load) as (server, engine, _, task):
        assert engine.state is EngineState.LOADING
        server.signalled(signal.SIGTERM)
        await asyncio.wait_for(task, 10)
        gate.set()
    assert server.exit_code == 0


async def test_a_model_that_cannot_be_loaded_ends_the_server_with_1() -> None:
    def load(_: Callable[[float], None]) -> Model:
        raise ModelLoadError("fake.gguf", "it is a fake")

    async with serving(settings(delay=30, timeout=30), load) as (server, _, _, task):
        await asyncio.wait_for(task, 10)
    assert server.exit_code == 1


async def test_the_end_waits_for_what_runs_and_no_longer() -> None:
    model = FakeModel(cells=4096)
    model.gate.clear()
    async with serving(settings(delay=0, timeout=30), lambda _: model) as (server, engine, url, task):
        await engine.wait_loaded()
        async with httpx.AsyncClient(base_url=url, timeout=20) as client:
            body = {"prompt": "hello", "max_tokens": 5}
            answer = asyncio.create_task(client.post("/v1/completions", json=body))
            await until(lambda: engine.running == 1)
            server.signalled(signal.SIGTERM)
            await asyncio.sleep(0.5)
            assert not task.done()
            assert (await client.get("/health/ready")).status_code == 503
            refused = await client.post("/v1/completions", json=body)
            assert (refused.status_code, int(refused.headers["retry-after"])) == (503, 1)
            model.gate.set()
            began = monotonic()
            response = await answer
        await asyncio.wait_for(task, 10)
    assert response.json()["usage"]["completion_tokens"] == 5
    assert monotonic() - began < 5
    assert model.closed


async def test_what_does_not_end_in_time_is_told_so() -> None:
    model = FakeModel(cells=100_000, pause=0.01)
    async with serving(settings(delay=0, timeout=0.3), lambda _: model) as (server, engine, url, task):
        await engine.wait_loaded()
        async with httpx.AsyncClient(base_url=url, timeout=20) as client:
            body = {"prompt": "hello", "max_tokens": 50_000, "stream": True}
            async with client.stream("POST", "/v1/completions", json=body) as response:
                lines = response.aiter_lines()
                assert (await anext(lines)).startswith("data: ")
                server.signalled(signal.SIGTERM)
                rest = [line async for line in lines if line]
        await asyncio.wait_for(task, 10)
    assert rest[-1].startswith('data: {"error":')
    assert server.exit_code == 0


async def test_a_delay_keeps_the_port_open_for_all_of_it() -> None:
    async with serving(settings(delay=1.0, timeout=0), lambda _: FakeModel()) as (server, engine, url, task):
        await engine.wait_loaded()
        began = monotonic()
        server.signalled(signal.SIGTERM)
        statuses = set()
        async with httpx.AsyncClient(base_url=url) as client:
            while monotonic() - began < 0.9:
                statuses.add((await client.get("/health/ready")).status_code)
                await asyncio.sleep(0.1)
        await asyncio.wait_for(task, 10)
    assert statuses == {503}
    assert monotonic() - began >= 1.0
    host, port = url.removeprefix("http://").split(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=1)


async def test_a_second_signal_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    monkeypatch.setattr(logging, "shutdown", lambda: codes.append(-1))
    async with serving(settings(delay=0, timeout=0), lambda _: FakeModel()) as (server, engine, _, _):
        await engine.wait_loaded()
        server.signalled(signal.SIGINT)
        assert codes == []
        server.signalled(signal.SIGINT)
    assert codes == [-1, 130]


async def test_signals_arrive_and_are_given_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    async with serving(settings(delay=0, timeout=0), lambda _: FakeModel()) as (server, engine, _, task):
        await engine.wait_loaded()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(task, 10)
    assert server.exit_code == 0
    assert signal.getsignal(signal.SIGTERM) is before
