"""Every exchange is known by an id, logged once, counted once; keys and origins are looked at before anything else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from service.settings import Settings
from service.telemetry.logs import RequestLine
from tests.component.test_disconnects import calling, until
from tests.support.fake_model import FakeModel
from tests.support.live_server import LiveServer, live_server

pytestmark = pytest.mark.anyio

TEXT = "/v1/completions"
ASKED = {"prompt": "Hi", "max_tokens": 3}
NOT_OURS = ("httpx", "httpcore", "uvicorn")
KEYS = Settings(api_key=("one", "zwei-ключ"))


@pytest.fixture
async def server() -> AsyncIterator[LiveServer]:
    async with live_server() as running:
        yield running


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[RequestLine]:
    """The log lines of the test's requests."""
    caught: list[RequestLine] = []
    monkeypatch.setattr("service.api.access.log_request", caught.append)
    return caught


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", TEXT, 200), ("GET", "/nothing", 404), ("GET", TEXT, 405), ("GET", "/health", 200)],
)
async def test_a_client_s_request_id_comes_back_on_every_answer(
    server: LiveServer, method: str, path: str, status: int
) -> None:
    body = ASKED if method == "POST" else None
    answer = await server.client.request(method, path, json=body, headers={"x-request-id": "abc-1"})
    assert answer.status_code == status
    assert answer.headers["x-request-id"] == "abc-1"


@pytest.mark.parametrize("bad", ["", "a b", "x" * 200, "ü".encode().decode("latin-1")])
async def test_an_id_that_could_not_stand_in_a_log_is_replaced(server: LiveServer, bad: str) -> None:
    answer = await server.client.get("/health", headers=[(b"x-request-id", bad.encode("latin-1"))])
    assert len(answer.headers["x-request-id"]) == 32


async def test_a_request_is_logged_once_with_its_figures(server: LiveServer, lines: list[RequestLine]) -> None:
    for stream in (False, True):
        lines.clear()
        await server.client.post(TEXT, json={**ASKED, "stream": stream}, headers={"x-request-id": "abc"})
        (line,) = lines
        assert (line.id, line.route, line.method, line.status) == ("abc", TEXT, "POST", 200)
        assert (line.prompt_tokens, line.generated_tokens, line.finish_reason) == (3, 3, "length")
        assert line.model == "models/fake.gguf"
        assert 0 <= (line.queue_seconds or 0) <= (line.first_token_seconds or 0) <= line.seconds
        assert not line.client_gone


async def test_cached_tokens_are_logged(server: LiveServer, lines: list[RequestLine]) -> None:
    for _ in range(2):
        await server.post(TEXT, {"prompt": "the same long beginning", "max_tokens": 2})
    assert (lines[0].cached_tokens, lines[1].cached_tokens) == (0, 23)


@pytest.mark.parametrize("stream", [False, True])
async def test_cached_tokens_are_summed_over_the_prompts_as_the_prompts_are(
    server: LiveServer, lines: list[RequestLine], stream: bool
) -> None:
    for text in ("first beginning", "a second beginning"):
        await server.post(TEXT, {"prompt": text, "max_tokens": 1})
    asked = {"prompt": ["first beginning", "a second beginning"], "n": 2, "max_tokens": 2, "stream": stream}
    await server.post(TEXT, asked)
    assert lines[-1].prompt_tokens == 16 + 19
    assert lines[-1].cached_tokens == 15 + 18
    assert lines[-1].generated_tokens == 4 * 2


async def test_the_model_of_the_log_is_the_one_that_served_whatever_the_client_called_it(
    server: LiveServer, lines: list[RequestLine]
) -> None:
    answer = await server.post(TEXT, {**ASKED, "model": "x" * 8000})
    assert answer.json()["model"] == "x" * 8000
    assert lines[0].model == "models/fake.gguf"


async def test_an_error_is_logged_by_its_label(server: LiveServer, lines: list[RequestLine]) -> None:
    await server.client.get("/nothing/at/all")
    await server.client.get(TEXT)
    await server.post(TEXT, {})
    await server.client.get("/v1/models/none")
    assert [(line.route, line.status, line.error) for line in lines] == [
        ("unmatched", 404, "not_found"),
        ("unmatched", 405, "method_not_allowed"),
        (TEXT, 400, "invalid_request"),
        ("/v1/models/{name}", 404, "not_found"),
    ]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_left_is_logged_as_gone(lines: list[RequestLine], stream: bool) -> None:
    async with live_server(FakeModel(cells=4096, sequences=64, pause=0.01)) as server:
        async with calling(server, TEXT, {"prompt": "Hi", "stream": stream}) as reader:
            if stream:
                await reader.readuntil(b"data: {")
            await until(lambda: server.model.decodes > 3)
        await until(lambda: len(lines) == 1)
    assert lines[0].client_gone
    assert lines[0].status == (200 if stream else 499)
    assert lines[0].finish_reason == ""
    assert (lines[0].generated_tokens or 0) > 0
    assert lines[0].cached_tokens == 0
    assert 0 <= (lines[0].queue_seconds or 0) <= (lines[0].first_token_seconds or 0) <= lines[0].seconds
    assert lines[0].first_token_seconds is not None


async def test_exchanges_are_counted_by_route_and_status(server: LiveServer) -> None:
    await server.post(TEXT, ASKED)
    await server.post(TEXT, {**ASKED, "stream": True})
    await server.post(TEXT, {})
    for number in range(3):
        await server.client.get(f"/nothing/{number}")
    text = (await server.client.get("/metrics")).text
    assert f'mistral_api_http_requests_total{{method="POST",route="{TEXT}",status="200"}} 2.0' in text
    assert f'mistral_api_http_requests_total{{method="POST",route="{TEXT}",status="400"}} 1.0' in text
    assert 'mistral_api_http_requests_total{method="GET",route="unmatched",status="404"} 3.0' in text
    assert 'mistral_api_errors_total{error="not_found"} 3.0' in text
    assert "/nothing" not in text


async def test_metrics_are_in_prometheus_format_with_llama_server_s_names_too(server: LiveServer) -> None:
    await server.post(TEXT, ASKED)
    answer = await server.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert int(answer.headers["process-start-time-unix"]) > 1_700_000_000
    assert 'mistral_api_requests_total{outcome="length"} 1.0' in answer.text
    assert "llamacpp:tokens_predicted_total" in answer.text
    assert answer.text.endswith("\n")


async def test_nothing_of_a_prompt_or_an_answer_gets_into_log_or_metrics(
    server: LiveServer, lines: list[RequestLine], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    answer = await server.post(TEXT, {"prompt": "MySecretPrompt", "max_tokens": 30})
    await server.post(TEXT, {"prompt": ["MySecretPrompt", 5], "max_tokens": 5})
    await server.client.get("/MySecretPrompt?MySecretPrompt=1")
    text = answer.json()["choices"][0]["text"]
    # The client's own log lines, and those of uvicorn's access log, which is off, are caught by pytest too.
    ours = [record.getMessage() for record in caplog.records if record.name.partition(".")[0] not in NOT_OURS]
    told = repr(lines) + repr(ours) + (await server.client.get("/metrics")).text
    assert "MySecretPrompt" not in told
    assert text not in told


# Keys


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer one"},
        {"authorization": "bearer one"},
        {"authorization": "Bearer  one"},
        {"x-api-key": "one"},
        {"x-api-key": "zwei-ключ".encode().decode("latin-1")},
        {"authorization": "Basic abc", "x-api-key": "one"},
    ],
    ids=str,
)
async def test_a_known_key_is_let_in(headers: dict[str, str]) -> None:
    async with live_server(settings=KEYS) as server:
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        assert (await server.client.post(TEXT, json=ASKED, headers=encoded)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer two"}, {"authorization": "one"}, {"authorization": "Bearer"}, {"x-api-key": ""},
     {"x-api-key": "on"}, {"authorization": "Basic one"}, {"x-api-key": "\xff\xfe"}],
    ids=str,
)  # fmt: skip
async def test_any_other_key_is_not(headers: dict[str, str]) -> None:
    async with live_server(settings=KEYS) as server:
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        for method, path in [("POST", TEXT), ("GET", "/props"), ("GET", "/metrics"), ("GET", "/v1/models")]:
            answer = await server.client.request(method, path, json=ASKED, headers=encoded)
            assert answer.status_code == 401
            assert answer.json()["error"] == {
                "message": "Invalid API Key", "type": "authentication_error", "code": 401, "param": None,
            }  # fmt: skip


@pytest.mark.parametrize(
    "path",
    ["/", "/health", "/v1/health", "/health/live", "/health/ready", "/docs", "/docs/openapi.json",
     "/static/swagger-ui/swagger-ui.css"],
)  # fmt: skip
async def test_what_tells_nothing_needs_no_key(path: str) -> None:
    async with live_server(settings=KEYS) as server:
        assert (await server.client.get(path)).status_code == 200


async def test_a_wrong_key_is_refused_before_the_body_is_read() -> None:
    async with live_server(settings=KEYS) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(f"POST {TEXT} HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n".encode())
        assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 401")
        writer.close()


# Origins


async def test_any_origin_may_read_by_default_and_is_named(server: LiveServer) -> None:
    answer = await server.client.post(TEXT, json=ASKED, headers={"origin": "https://a.example"})
    assert answer.headers["access-control-allow-origin"] == "https://a.example"
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["vary"] == "origin"
    assert "access-control-allow-origin" not in (await server.client.get("/health")).headers


async def test_a_preflight_needs_no_key_and_names_what_is_allowed() -> None:
    async with live_server(settings=KEYS) as server:
        headers = {
            "origin": "https://a.example",
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,content-type",
        }
        answer = await server.client.options(TEXT, headers=headers)
        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == "https://a.example"
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert answer.headers["access-control-allow-headers"] == "authorization,content-type"


async def test_errors_can_be_read_by_pages_too(server: LiveServer) -> None:
    for path in ("/nothing", TEXT):
        answer = await server.client.get(path, headers={"origin": "https://a.example"})
        assert answer.headers["access-control-allow-origin"] == "https://a.example"


async def test_an_origin_that_is_not_listed_is_told_nothing() -> None:
    async with live_server(settings=Settings(cors_origins="https://a.example, localhost")) as server:
        for origin, allowed in [
            ("https://a.example", True),
            ("http://localhost:3000", True),
            ("https://b.example", False),
        ]:
            answer = await server.client.get("/health", headers={"origin": origin})
            assert ("access-control-allow-origin" in answer.headers) is allowed


async def test_other_options_requests_tell_the_methods(server: LiveServer) -> None:
    answer = await server.client.options(TEXT)
    assert answer.status_code == 204
    assert "POST" in answer.headers["allow"]
