"""`mistral-api health` against a server that answers as the service would."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from service.__main__ import run
from service.asking import served_arguments


class Answer(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/health/ready" else 404)
        self.end_headers()
        self.wfile.write(b"its words")

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield str(server.server_address[1])
        server.shutdown()
        thread.join()


def test_a_ready_service_is_well(port: str) -> None:
    assert run(["health", "--host", "0.0.0.0", "--port", port], {}) == 0


def test_a_service_that_is_not_ready_is_unwell_in_its_own_words(
    port: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Answer, "status", 503)
    assert run(["health"], {"LLAMA_ARG_PORT": port}) == 1
    assert "503 its words" in capsys.readouterr().err


def test_no_service_is_unwell(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["health", "--port", "1"], {}) == 1
    assert "no answer" in capsys.readouterr().err


def test_the_containers_own_options_are_found(tmp_path: Path) -> None:
    (tmp_path / "served").write_bytes(b"/opt/python\0/opt/bin/mistral-api\0--port\x009000\0")
    (tmp_path / "other").write_bytes(b"/sbin/init\0splash\0")
    assert served_arguments(tmp_path / "served") == ["--port", "9000"]
    assert served_arguments(tmp_path / "other") == []
    assert served_arguments(tmp_path / "absent") == []
