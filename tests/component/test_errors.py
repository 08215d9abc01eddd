"""What a client does wrong is answered with a status, an envelope, and the name of the field; never with a 500."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from service.engine.interface import EngineOptions
from service.settings import Settings
from tests.support.fake_model import FakeModel
from tests.support.live_server import LiveServer, live_server

pytestmark = pytest.mark.anyio

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
HI = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[LiveServer]:
    # One for all of them: none of these requests leaves anything behind.
    async with live_server() as running:
        yield running
        await running.until_idle()


def chat(**fields: Any) -> dict[str, Any]:
    return {"messages": HI, "max_tokens": 2, **fields}


def text(**fields: Any) -> dict[str, Any]:
    return {"prompt": "Hi", "max_tokens": 2, **fields}


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"nope", b"[]", b"null", b'"x"', b"5", b'{"prompt": NaN}', b'{"prompt":"x","temperature":Infinity}',
        b'{"prompt":"x","temperature":1e999}', b'{"prompt":"\\ud800"}', b'{"prompt":"\xff"}', b'{"prompt":"x"}}',
        b'{"prompt":"x","y":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"prompt":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"prompt":"x","seed":' + b"9" * 5000 + b"}", b"\x00\x01\x02", b"prompt=x&max_tokens=2",
    ],
    ids=lambda content: content[:24].decode("latin-1"),
)  # fmt: skip
async def test_a_body_that_is_no_good_json_is_the_client_s_error(server: LiveServer, content: bytes) -> None:
    answer = await server.client.post(TEXT, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", ""])
async def test_json_is_read_whatever_it_is_called_as_llama_server_does(server: LiveServer, content_type: str) -> None:
    content = b'{"prompt": "Hi", "max_tokens": 2}'
    answer = await server.client.post(TEXT, content=content, headers={"content-type": content_type})
    assert answer.status_code == 200


async def test_a_body_over_the_limit_is_a_413() -> None:
    async with live_server(settings=Settings(max_body_size=1000)) as server:
        large = {"prompt": "x" * 2000}
        announced = await server.post(TEXT, large)
        assert announced.status_code == 413
        assert announced.json()["error"]["code"] == 413
        assert "1000" in announced.json()["error"]["message"]

        async def in_pieces() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield b" " * 100

        unannounced = await server.client.post(TEXT, content=in_pieces())
        assert unannounced.status_code == 413


async def test_a_prompt_longer_than_the_context_says_both_numbers_in_both_families_words(server: LiveServer) -> None:
    for path, body, param in [
        (TEXT, text(prompt="x" * 5000), "prompt"),
        (CHAT, chat(messages=[{"role": "user", "content": "x" * 5000}]), "messages"),
    ]:
        answer = await server.post(path, body)
        error = answer.json()["error"]
        assert answer.status_code == 400
        assert error["type"] == "exceed_context_size_error"
        assert error["param"] == param
        assert error["n_prompt_tokens"] > 5000
        assert error["n_ctx"] == 4096
        assert "exceeds the available context size" in error["message"]
        assert "maximum context length is 4096 tokens" in error["message"]


async def test_a_full_queue_is_a_429_that_says_when_to_come_back() -> None:
    options = EngineOptions(parallel=1, split_context=False, queue=1, calibrate=False)
    async with live_server(FakeModel(cells=4096, sequences=64), options=options) as server:
        server.model.gate.clear()
        async with server.client.stream("POST", TEXT, json=text(stream=True, sse_ping_interval=1)) as first:
            async with server.client.stream("POST", TEXT, json=text(stream=True, sse_ping_interval=1)) as second:
                refused = await server.post(TEXT, text())
                assert refused.status_code == 429
                assert int(refused.headers["retry-after"]) >= 1
                assert refused.json()["error"]["type"] == "overloaded_error"
                server.model.gate.set()
                assert (await second.aread()).endswith(b"[DONE]\n\n")
            assert (await first.aread()).endswith(b"[DONE]\n\n")


async def test_one_request_of_several_texts_that_finds_the_queue_full_leaves_none_behind() -> None:
    options = EngineOptions(parallel=2, split_context=False, queue=1, calibrate=False)
    async with live_server(FakeModel(cells=4096, sequences=64), options=options) as server:
        server.model.gate.clear()
        async with server.client.stream("POST", TEXT, json=text(stream=True, sse_ping_interval=1)):
            assert (await server.post(TEXT, text(n=3))).status_code == 429
            assert server.engine.running + server.engine.waiting == 1
            server.model.gate.set()
        await server.until_idle()


async def test_a_template_s_refusal_is_a_400_in_its_words() -> None:
    template = "{{ raise_exception('roles must alternate') }}"
    async with live_server(FakeModel(cells=4096, sequences=64, chat_template=template)) as server:
        answer = await server.post(CHAT, chat())
        assert answer.status_code == 400
        assert answer.json()["error"]["message"] == "messages: roles must alternate"
        assert answer.json()["error"]["param"] == "messages"


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/v1",
        "/v1/nothing",
        "/docs/nothing",
        "/docs/nothing.json",
        "/static/nothing.js",
        "/static/../app.py",
    ],
)
async def test_a_path_that_is_not_there_is_a_404_in_the_envelope(server: LiveServer, path: str) -> None:
    answer = await server.client.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "not_found_error"


@pytest.mark.parametrize(
    ("method", "path", "allowed"), [("GET", CHAT, "POST"), ("DELETE", "/props", "GET"), ("PUT", "/health", "GET")]
)
async def test_a_method_that_is_not_there_is_a_405_that_says_which_is(
    server: LiveServer, method: str, path: str, allowed: str
) -> None:
    answer = await server.client.request(method, path)
    assert answer.status_code == 405
    assert allowed in answer.headers["allow"]
    assert answer.json()["error"]["code"] == 405


@pytest.mark.parametrize("path", [CHAT, TEXT, "/infer"])
async def test_a_slash_at_the_end_changes_nothing(server: LiveServer, path: str) -> None:
    answer = await server.post(f"{path}/", text() if path == TEXT else chat())
    assert answer.status_code == 200


async def test_a_bug_is_a_500_that_tells_the_client_only_where_to_look(
    server: LiveServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    prompt = "secret".upper()

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(prompt)

    monkeypatch.setattr("service.api.chat_ordering.make_order", broken)
    answer = await server.client.post(CHAT, json=chat(), headers={"x-request-id": "find-me"})
    assert answer.status_code == 500
    assert answer.json()["error"]["type"] == "server_error"
    assert "find-me" in answer.json()["error"]["message"]
    assert prompt not in answer.text
    assert "RuntimeError" in caplog.text
    assert prompt not in caplog.text
