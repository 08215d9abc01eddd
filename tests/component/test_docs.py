"""The API describes itself, without anything from elsewhere."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urljoin

import pytest
from litestar.routes import BaseRoute, HTTPRoute

from service.api.home import BUILT
from service.settings import Settings
from tests.support.live_server import LiveServer, live_server

pytestmark = pytest.mark.anyio

LITESTARS_OWN = {("GET", "/docs/{path:str}")}
"""A page for wrong paths under /docs."""
CHAT = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
TEXT = {"prompt": "Hi", "max_tokens": 1}
GETS = {
    "/": "/",
    "/assets/{name:str}": f"/assets/{next((BUILT / 'assets').glob('*.js')).name}",
    "/docs": "/docs",
    "/docs/openapi.json": "/docs/openapi.json",
    "/health": "/health",
    "/health/live": "/health/live",
    "/health/ready": "/health/ready",
    "/metrics": "/metrics",
    "/models": "/models",
    "/models/{name:path}": "/models/models/fake.gguf",
    "/props": "/props",
    "/static/{file_path:path}": "/static/swagger-ui/swagger-ui.css",
    "/v1/health": "/v1/health",
    "/v1/models": "/v1/models",
    "/v1/models/{name:path}": "/v1/models/models/fake.gguf",
}
"""A path of each route that is read."""
POSTS: dict[str, dict[str, Any]] = {
    "/apply-template": CHAT,
    "/chat/completions": CHAT,
    "/completion": TEXT,
    "/completions": TEXT,
    "/detokenize": {"tokens": [72]},
    "/infer": CHAT,
    "/props": {},
    "/tokenize": {"content": "Hi"},
    "/v1/chat/completions": CHAT,
    "/v1/completions": TEXT,
}
"""A body for each route that takes one."""


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[LiveServer]:
    async with live_server() as running:
        yield running


@pytest.fixture
async def description(server: LiveServer) -> Any:
    return (await server.client.get("/docs/openapi.json")).json()


async def test_the_page_takes_everything_from_here(server: LiveServer) -> None:
    for path in ("/", "/docs"):
        page = await server.client.get(path)
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        assert "://" not in page.text
        for link in re.findall(r'(?:src|href)="([^"]+)"', page.text):
            if not link.startswith("data:"):
                answer = await server.client.get(urljoin(path, link))
                assert answer.status_code == 200, link


async def test_the_script_is_there_with_its_licence(server: LiveServer) -> None:
    script = await server.client.get("/static/swagger-ui/swagger-ui-bundle.js")
    assert "javascript" in script.headers["content-type"]
    assert "SwaggerUIBundle" in script.text
    assert "Apache License" in (await server.client.get("/static/swagger-ui/LICENSE")).text


async def test_every_operation_says_what_it_does_and_answers(description: Any) -> None:
    assert set(description["paths"]) >= {
        "/infer",
        "/v1/chat/completions",
        "/v1/completions",
        "/tokenize",
        "/props",
        "/health",
    }
    for path, item in description["paths"].items():
        assert "head" not in item
        for method, operation in item.items():
            assert operation["summary"], f"{method} {path}"
            assert operation["description"], f"{method} {path}"
            assert operation["responses"]["200"], f"{method} {path}"


async def test_the_samples_of_the_description_are_answered(server: LiveServer, description: Any) -> None:
    tried = 0
    for path, item in description["paths"].items():
        body = item.get("post", {}).get("requestBody")
        if body is None:
            continue
        for example in body["content"]["application/json"]["examples"].values():
            sample = example["value"]
            tokens = [min(token, 257) for token in sample.get("tokens", [])]
            answer = await server.post(path, {**sample, **({"tokens": tokens} if tokens else {}), "n_predict": 2})
            assert answer.status_code == 200, answer.text
            tried += 1
    assert tried >= 8


async def test_streams_and_errors_are_described(description: Any) -> None:
    answers = description["paths"]["/v1/chat/completions"]["post"]["responses"]
    assert set(answers["200"]["content"]) == {"application/json", "text/event-stream"}
    assert set(answers) >= {"200", "400", "401", "413", "429", "500", "503"}
    assert answers["400"]["content"]["application/json"]["schema"]["$ref"].endswith("/ErrorBody")


async def test_every_field_of_a_request_is_described(description: Any) -> None:
    schemas = description["components"]["schemas"]
    for name in ("ChatRequest", "CompletionRequest", "TokenizeRequest"):
        for field, schema in schemas[name]["properties"].items():
            assert schema.get("description") or "$ref" in str(schema), f"{name}.{field}"


async def test_every_route_answers_by_each_of_its_methods() -> None:
    async with live_server(settings=Settings(props=True)) as server:
        served = {(method, route.path) for route in server.app.routes for method in _methods(route)}
        reads = {("GET", path) for path in GETS} | {("HEAD", path) for path in GETS if not path.startswith("/docs")}
        assert served - LITESTARS_OWN == reads | {("POST", path) for path in POSTS}
        for method, path in sorted(served - LITESTARS_OWN):
            body = POSTS[path] if method == "POST" else None
            answer = await server.client.request(method, path if body is not None else GETS[path], json=body)
            assert answer.status_code == 200, f"{method} {path}: {answer.text}"
            assert (answer.content == b"") is (method == "HEAD"), f"{method} {path}"


def _methods(route: BaseRoute) -> set[str]:
    """What a client calls; OPTIONS is Litestar's answer of its own."""
    return {str(method) for method in route.methods} - {"OPTIONS"} if isinstance(route, HTTPRoute) else set()
