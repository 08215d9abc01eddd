"""The API describes itself, without anything from elsewhere."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from tests.support.live_server import LiveServer, live_server

pytestmark = pytest.mark.anyio

TESTS = Path(__file__).resolve().parent.parent
LITESTARS_OWN = {"/docs/{path:str}"}
"""A page for wrong paths under /docs."""


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


async def test_every_route_has_a_test(server: LiveServer) -> None:
    written = "".join(path.read_text() for path in (TESTS / "component").glob("test_*.py"))
    for route in server.app.routes:
        if route.path not in LITESTARS_OWN:
            fixed = route.path.partition("{")[0]
            assert re.search(rf'"{re.escape(fixed)}["/]', written) or f'"{fixed}' in written, route.path
