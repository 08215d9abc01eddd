"""Health tells the truth at once: while loading, ready, draining, stuck in a long step, and dead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from service.engine.interface import EngineState
from service.engine.model import DecodeResult, Model
from service.errors import ModelLoadError
from tests.component.test_disconnects import until
from tests.support.fake_model import FakeModel
from tests.support.live_server import LiveServer, live_server

pytestmark = pytest.mark.anyio

HEALTH = ["/health", "/v1/health", "/health/live", "/health/ready"]
NEEDS_MODEL = [
    ("POST", "/infer", {"messages": [{"role": "user", "content": "Hi"}]}),
    ("POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
    ("POST", "/v1/completions", {"prompt": "Hi"}),
    ("POST", "/completion", {"prompt": "Hi"}),
    ("POST", "/tokenize", {"content": "Hi"}),
    ("POST", "/detokenize", {"tokens": [72]}),
    ("POST", "/apply-template", {"messages": [{"role": "user", "content": "Hi"}]}),
    ("GET", "/v1/models", None),
    ("GET", "/v1/models/x", None),
    ("GET", "/props", None),
]


@pytest.fixture
async def loading() -> AsyncIterator[LiveServer]:
    async with live_server(loaded=False) as running:
        yield running


async def statuses(server: LiveServer) -> list[int]:
    return [(await server.client.get(path)).status_code for path in HEALTH]


async def test_a_loading_model_is_a_503_with_progress_and_a_living_loop(loading: LiveServer) -> None:
    answer = await loading.client.get("/health")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json() == {
        "error": {
            "message": "Loading model",
            "type": "unavailable_error",
            "code": 503,
            "param": None,
            "progress": 0.25,
        }
    }
    assert await statuses(loading) == [503, 503, 200, 503]


@pytest.mark.parametrize(("method", "path", "body"), NEEDS_MODEL, ids=[path for _, path, _ in NEEDS_MODEL])
async def test_what_needs_the_model_is_refused_while_it_loads(
    loading: LiveServer, method: str, path: str, body: object
) -> None:
    answer = await loading.client.request(method, path, json=body)
    assert answer.status_code == 503
    assert answer.json()["error"]["message"] == "Loading model"
    assert answer.headers["retry-after"]


@pytest.mark.parametrize("path", ["/", "/docs", "/docs/openapi.json", "/metrics"])
async def test_what_needs_no_model_is_there_while_it_loads(loading: LiveServer, path: str) -> None:
    assert (await loading.client.get(path)).status_code == 200


async def test_requests_are_served_as_soon_as_the_model_is_there(loading: LiveServer) -> None:
    loading.loading.set()
    await loading.engine.wait_loaded()
    assert await statuses(loading) == [200, 200, 200, 200]
    assert (await loading.post("/v1/completions", {"prompt": "Hi", "max_tokens": 1})).status_code == 200


async def test_draining_is_not_ready_refuses_what_is_new_and_finishes_what_runs() -> None:
    async with live_server(FakeModel(cells=4096, sequences=64, pause=0.01)) as server:
        asked = {"prompt": "Hi", "max_tokens": 20, "stream": True}
        async with server.client.stream("POST", "/v1/completions", json=asked) as answer:
            blocks = answer.aiter_raw()
            await anext(blocks)
            server.engine.drain()
            assert await statuses(server) == [200, 200, 200, 503]
            ready = await server.client.get("/health/ready")
            assert ready.json()["error"]["type"] == "unavailable_error"
            refused = await server.post("/v1/completions", {"prompt": "Hi"})
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) >= 1
            assert b"".join([block async for block in blocks]).endswith(b"data: [DONE]\n\n")
        assert await server.engine.wait_idle(5)


async def test_health_and_metrics_answer_while_a_step_takes_long() -> None:
    async with live_server() as server:
        server.model.gate.clear()
        request = asyncio.create_task(server.post("/v1/completions", {"prompt": "Hi", "max_tokens": 1}))
        await asyncio.sleep(0.1)
        for path in [*HEALTH, "/metrics", "/props", "/v1/models"]:
            answer = await asyncio.wait_for(server.client.get(path), 2)
            assert answer.status_code == 200
        server.model.gate.set()
        assert (await request).status_code == 200


async def test_a_stuck_loop_is_neither_well_nor_ready_until_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.engine.pulse.STUCK_SECONDS", 0.05)
    async with live_server() as server:
        # A step of which nothing is known may take an hour: the first one teaches.
        assert (await server.post("/v1/completions", {"prompt": "Hi", "max_tokens": 1})).status_code == 200
        server.model.gate.clear()
        request = asyncio.create_task(server.post("/v1/completions", {"prompt": "Hi", "max_tokens": 1}))
        await until(lambda: not server.engine.beating)
        for path in HEALTH:
            answer = await asyncio.wait_for(server.client.get(path), 2)
            assert answer.status_code == 503
            assert answer.json()["error"]["type"] == "unavailable_error"
            assert "stuck" in answer.json()["error"]["message"]
        assert 'mistral_api_errors_total{error="engine_stuck"} 4.0' in (await server.client.get("/metrics")).text
        server.model.gate.set()
        assert (await request).status_code == 200
        assert await statuses(server) == [200, 200, 200, 200]


async def test_a_dead_loop_is_told_everywhere_at_once(caplog: pytest.LogCaptureFixture) -> None:
    def die(_: object) -> DecodeResult:
        raise RuntimeError("the device is gone")

    async with live_server(FakeModel(cells=4096, sequences=64, fails=die)) as server:
        first = await server.post("/v1/completions", {"prompt": "Hi"})
        assert first.status_code == 503
        assert server.engine.state is EngineState.DEAD
        assert await statuses(server) == [503, 503, 503, 503]
        later = await server.post("/v1/completions", {"prompt": "Hi"})
        assert later.status_code == 503
        assert later.json()["error"]["type"] == "unavailable_error"
        assert (await server.client.get("/metrics")).status_code == 200
    assert "the engine's loop has died" in caplog.text


async def test_a_model_that_cannot_be_loaded_is_no_healthy_service() -> None:
    def load(_: Callable[[float], None]) -> Model:
        raise ModelLoadError("models/none.gguf", "no such file")

    async with live_server(load=load) as server:
        with pytest.raises(ModelLoadError):
            await server.engine.wait_loaded()
        assert await statuses(server) == [503, 503, 503, 503]


@pytest.mark.parametrize("path", [*HEALTH, "/", "/metrics", "/props", "/v1/models"])
async def test_head_is_get_without_a_body(path: str) -> None:
    async with live_server() as server:
        answer = await server.client.head(path)
        assert answer.status_code == 200
        assert answer.content == b""
