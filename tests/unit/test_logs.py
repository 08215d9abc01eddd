"""The log: one shape for all lines, nothing secret, nobody held up."""

from __future__ import annotations

import io
import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any, TextIO

import pytest
import structlog

from service.telemetry.logs import QUIET_ROUTES, REQUEST_ID, RequestLine, log_request, logging_to
from service.telemetry.outlet import Outlet

LINE = RequestLine(
    id="r1", route="/v1/chat/completions", method="POST", status=200, seconds=3.00004, model="m.gguf", prompt_tokens=9,
    cached_tokens=4, generated_tokens=21, queue_seconds=0.01, first_token_seconds=1.0, finish_reason="stop",
)  # fmt: skip


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextmanager
def logged(log_format: str = "json", log_level: str = "info") -> Iterator[list[dict[str, Any]]]:
    """The JSON lines that were logged inside, once it is left."""
    stream, lines = io.StringIO(), []  # type: ignore[var-annotated]
    with logging_to(log_format, log_level, stream):
        yield lines
    lines.extend(json.loads(line) for line in stream.getvalue().splitlines())


def test_our_lines_and_those_of_libraries_have_one_shape() -> None:
    with logged() as lines:
        structlog.get_logger("ours").info("hello", cells=3)
        logging.getLogger("llama.cpp").warning("loaded %d layers", 30)
    ours, theirs = lines
    assert list(ours) == ["time", "level", "logger", "event", "cells"]
    assert (ours["level"], ours["logger"], ours["event"], ours["cells"]) == ("info", "ours", "hello", 3)
    assert list(theirs) == ["time", "level", "logger", "event"]
    assert (theirs["level"], theirs["logger"], theirs["event"]) == ("warning", "llama.cpp", "loaded 30 layers")


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("off", []),
        ("error", ["e"]),
        ("warning", ["w", "e"]),
        ("info", ["i", "w", "e"]),
        ("debug", ["d", "i", "w", "e"]),
    ],
)
def test_the_level_says_what_is_logged(level: str, expected: list[str]) -> None:
    with logged(log_level=level) as lines:
        for name in ("ours", "asyncio"):
            for log in (structlog.get_logger(name), logging.getLogger(name)):
                log.debug("d")
                log.info("i")
                log.warning("w")
                log.error("e")
    assert [line["event"] for line in lines] == expected * 4


def test_what_uvicorn_tells_of_itself_is_left_out() -> None:
    with logged() as lines:
        logging.getLogger("uvicorn.error").info("Started server process")
        logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    assert [line["event"] for line in lines] == ["Invalid HTTP request received."]


@pytest.mark.parametrize(("stream", "is_json"), [(io.StringIO, True), (Terminal, False)])
def test_auto_is_for_people_on_a_terminal_only(stream: type[TextIO], is_json: bool) -> None:
    target = stream()
    with logging_to("auto", "info", target):
        structlog.get_logger().info("hello")
    text = target.getvalue()  # type: ignore[attr-defined]
    assert "hello" in text
    assert text.startswith("{") is is_json


def test_console_into_a_file_has_no_colours() -> None:
    stream = io.StringIO()
    with logging_to("console", "info", stream):
        structlog.get_logger().warning("hello", cells=3)
    assert "\x1b" not in stream.getvalue()
    assert "cells=3" in stream.getvalue()


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_shows_no_variables(log_format: str) -> None:
    stream = io.StringIO()
    with logging_to(log_format, "info", stream):
        prompt = "my secret".upper()
        for log in (structlog.get_logger(), logging.getLogger()):
            try:
                raise KeyError(len(prompt))
            except KeyError:
                log.exception("failed")
    text = stream.getvalue()
    assert text.count("KeyError: 9") == 2
    assert "MY SECRET" not in text


def test_the_request_id_stands_in_lines_that_are_logged_meanwhile() -> None:
    token = REQUEST_ID.set("r7")
    try:
        with logged() as lines:
            structlog.get_logger().info("hello")
            logging.getLogger("engine").info("hello")
    finally:
        REQUEST_ID.reset(token)
    assert [line["id"] for line in lines] == ["r7", "r7"]


def test_a_request_has_one_line() -> None:
    with logged() as lines:
        log_request(LINE)
    (line,) = lines
    assert {key: line[key] for key in line if key not in ("time", "level", "logger", "event")} == {
        "id": "r1", "method": "POST", "route": "/v1/chat/completions", "status": 200, "model": "m.gguf",
        "prompt_tokens": 9, "cached_tokens": 4, "generated_tokens": 21, "queue_seconds": 0.01, "first_token_seconds": 1.0,
        "seconds": 3.0, "tokens_per_second": 9.9998, "finish_reason": "stop", "client_gone": False,
    }  # fmt: skip
    assert (line["level"], line["event"]) == ("info", "request")


def test_what_a_request_has_not_is_not_in_its_line() -> None:
    with logged() as lines:
        log_request(
            RequestLine(id="r", route="/props", method="GET", status=401, seconds=0.001, error="invalid_api_key")
        )
    assert "prompt_tokens" not in lines[0]
    assert "tokens_per_second" not in lines[0]
    assert lines[0]["error"] == "invalid_api_key"


@pytest.mark.parametrize(("status", "level"), [(200, "info"), (404, "info"), (500, "warning"), (503, "info")])
def test_only_errors_of_ours_are_warnings(status: int, level: str) -> None:
    with logged() as lines:
        log_request(RequestLine(id="r", route="/x", method="GET", status=status, seconds=0.0))
    assert lines[0]["level"] == level


@pytest.mark.parametrize("route", sorted(QUIET_ROUTES))
def test_health_and_metrics_are_logged_only_when_they_fail(route: str) -> None:
    with logged() as lines:
        log_request(RequestLine(id="r", route=route, method="GET", status=200, seconds=0.0))
        log_request(RequestLine(id="r", route=route, method="GET", status=503, seconds=0.0))
    assert [line["status"] for line in lines] == [503]


@pytest.mark.parametrize(("tokens", "first"), [(1, 0.5), (5, None), (None, None), (5, 3.0)])
def test_a_speed_needs_two_tokens_and_some_time(tokens: int | None, first: float | None) -> None:
    line = RequestLine(
        id="r", route="/", method="GET", status=200, seconds=3.0, generated_tokens=tokens, first_token_seconds=first
    )
    assert line.tokens_per_second is None


def test_logging_ends_where_it_was_begun() -> None:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    with logged(log_level="debug"):
        assert list(root.handlers) != handlers
    assert (list(root.handlers), root.level) == (handlers, level)


def test_a_line_that_cannot_be_formatted_harms_nobody() -> None:
    stream = io.StringIO()
    outlet = Outlet(stream)
    outlet.emit(logging.LogRecord("clumsy", logging.INFO, "", 0, "%d", ("text",), None))
    outlet.emit(logging.LogRecord("clumsy", logging.INFO, "", 0, "next", None, None))
    outlet.close()
    assert stream.getvalue() == "a line of clumsy could not be formatted: TypeError\nnext\n"


def accounted(text: bytes) -> int:
    """Lines that came and lines that are said to have been dropped."""
    dropped = re.findall(rb"(\d+) lines were dropped", text)
    return text.count(b"y" * 10_000) + sum(map(int, dropped))


def test_a_pipe_that_nobody_reads_holds_nobody_up_and_the_loss_is_told() -> None:
    reading, writing = os.pipe()
    outlet = Outlet(os.fdopen(writing, "w"), most_lines=50)
    record = logging.LogRecord("x", logging.INFO, "", 0, "y" * 10_000, None, None)
    began = monotonic()
    for _ in range(500):
        outlet.emit(record)
    assert monotonic() - began < 1.0
    with os.fdopen(reading, "rb") as reader:
        os.set_blocking(reading, True)
        text = b""
        while accounted(text) < 500:
            text += os.read(reader.fileno(), 1 << 20)
        outlet.close()
        outlet._stream.close()
    assert accounted(text) == 500
    assert text.count(b"y" * 10_000) < 200


def test_a_reader_that_has_left_harms_nobody() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    outlet = Outlet(os.fdopen(writing, "w"))
    outlet.emit(logging.LogRecord("x", logging.INFO, "", 0, "hello", None, None))
    outlet.flush()
    outlet.close()
    with suppress(BrokenPipeError):
        outlet._stream.close()


def test_ending_does_not_wait_for_a_reader_that_does_not_read() -> None:
    reading, writing = os.pipe()
    outlet = Outlet(os.fdopen(writing, "w"))
    outlet.emit(logging.LogRecord("x", logging.INFO, "", 0, "y" * 1_000_000, None, None))
    began = monotonic()
    outlet.close()
    assert monotonic() - began < 3.0
    os.close(reading)
    outlet._thread.join(5.0)
    with suppress(BrokenPipeError):
        outlet._stream.close()
