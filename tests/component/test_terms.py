"""Deadlines, priorities and divided caches, as clients and operators set them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from service.engine.interface import EngineOptions
from service.settings import Settings
from tests.support.fake_model import FakeModel
from tests.support.live_server import LiveServer, live_server

pytestmark = pytest.mark.anyio

PATH = "/v1/completions"
LONG = {"prompt": "a prompt", "max_tokens": 500}


def slow(parallel: int = 8) -> dict[str, Any]:
    return {
        "model": FakeModel(cells=4096, sequences=64, pause=0.01),
        "options": EngineOptions(parallel=parallel, split_context=False, queue=8, calibrate=False),
    }


@pytest.mark.parametrize(
    ("body", "headers", "settings"),
    [
        ({"timeout": 0.1}, {}, Settings()),
        ({}, {"x-request-timeout": "0.1"}, Settings()),
        ({}, {}, Settings(request_timeout=0.1)),
        ({"timeout": 60}, {"x-request-timeout": "0.1"}, Settings(request_timeout=30)),
    ],
)
async def test_a_request_fails_at_its_shortest_deadline(
    body: dict[str, Any], headers: dict[str, str], settings: Settings
) -> None:
    async with live_server(settings=settings, **slow()) as server:
        response = await server.client.post(PATH, json=LONG | body, headers=headers)
        assert (response.status_code, response.json()["error"]["type"]) == (504, "timeout_error")
        await server.until_idle()


async def test_a_stream_ends_at_its_deadline_with_a_typed_error() -> None:
    async with live_server(**slow()) as server:
        blocks = await server.events(PATH, LONG | {"stream": True, "timeout": 0.1})
        assert len(blocks) > 2
        assert b'"type":"timeout_error"' in blocks[-1]


async def test_a_deadline_holds_while_a_request_waits() -> None:
    async with live_server(**slow(parallel=1)) as server:
        first = asyncio.create_task(server.post(PATH, LONG | {"max_tokens": 60}))
        await asyncio.sleep(0.1)
        response = await server.post(PATH, LONG | {"timeout": 0.1})
        assert response.status_code == 504
        assert (await first).status_code == 200


@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan", "inf", "1e9"])
async def test_a_header_that_is_no_time_is_refused_by_name(value: str) -> None:
    async with live_server() as server:
        response = await server.client.post(PATH, json=LONG, headers={"x-request-timeout": value})
        assert (response.status_code, response.json()["error"]["param"]) == (400, "x-request-timeout")


@pytest.mark.parametrize(
    ("field", "value"), [("timeout", 0), ("timeout", -1), ("timeout", "5"), ("priority", 1001), ("priority", 1.5)]
)
async def test_terms_out_of_range_are_refused_by_name(field: str, value: object) -> None:
    async with live_server() as server:
        response = await server.post(PATH, LONG | {field: value})
        assert (response.status_code, response.json()["error"]["param"]) == (400, field)


async def order_of_ends(server: LiveServer, requests: list[tuple[str, dict[str, Any], dict[str, str]]]) -> list[str]:
    """Sends all while one runs that holds the only place; the names in the order in which they were done."""
    done: list[str] = []

    async def send(name: str, body: dict[str, Any], headers: dict[str, str]) -> None:
        response = await server.client.post(PATH, json={"prompt": name, "max_tokens": 2} | body, headers=headers)
        assert response.status_code == 200, response.text
        done.append(name)

    holder = asyncio.create_task(send("holder", {"max_tokens": 40}, requests[0][2]))
    await asyncio.sleep(0.1)
    await asyncio.gather(*(send(*request) for request in requests), holder)
    return done[1:]


async def test_a_lower_priority_number_goes_first() -> None:
    async with live_server(**slow(parallel=1)) as server:
        requests: list[tuple[str, dict[str, Any], dict[str, str]]] = [
            ("late", {"priority": 5}, {}),
            ("plain", {}, {}),
            ("urgent", {"priority": -5}, {}),
        ]
        assert await order_of_ends(server, requests) == ["urgent", "plain", "late"]


@pytest.mark.parametrize("bounds", [(("batch", 10),), (("batch", 0), ("people", -1))])
async def test_a_key_bounds_the_priority_of_its_requests(bounds: tuple[tuple[str, int], ...]) -> None:
    settings = Settings(api_key=("batch", "people"), key_priorities=bounds)
    batch, people = {"authorization": "Bearer batch"}, {"authorization": "Bearer people"}
    async with live_server(settings=settings, **slow(parallel=1)) as server:
        requests = [("job", {"priority": -100}, batch), ("chat", {"priority": -1}, people)]
        assert await order_of_ends(server, requests) == ["chat", "job"]


async def cached(server: LiveServer, body: dict[str, Any], headers: dict[str, str] | None = None) -> int:
    prompt = {"prompt": "a beginning that many requests have in common", "max_tokens": 1}
    response = await server.client.post(PATH, json=prompt | body, headers=headers)
    return int(response.json()["usage"]["prompt_tokens_details"]["cached_tokens"])


async def test_a_salt_divides_the_cache() -> None:
    async with live_server() as server:
        assert [await cached(server, {"cache_salt": salt}) > 0 for salt in ("a", "a", "b", "", "b")] == [
            False, True, False, False, True,
        ]  # fmt: skip


@pytest.mark.parametrize(("isolation", "shared"), [("none", True), ("key", False)])
async def test_keys_share_the_cache_unless_they_are_isolated(isolation: str, shared: bool) -> None:
    settings = Settings(api_key=("one", "two"), cache_isolation=isolation)
    async with live_server(settings=settings) as server:
        await cached(server, {}, {"x-api-key": "one"})
        assert (await cached(server, {}, {"x-api-key": "two"}) > 0) is shared
        assert await cached(server, {}, {"x-api-key": "one"}) > 0
