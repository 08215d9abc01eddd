"""llama.cpp's lines in Python's log: whole, at a sensible level, thinned."""

from __future__ import annotations

import logging

import pytest

from service.engine.llama.logs import LogRelay, thinned

DEBUG, INFO, WARN, ERROR, CONT = 1, 2, 3, 4, 5


def lines(caplog: pytest.LogCaptureFixture, *pieces: tuple[int, bytes]) -> list[tuple[str, str]]:
    relay = LogRelay()
    with caplog.at_level(logging.DEBUG, "llama.cpp"):
        for level, text in pieces:
            relay.callback(level, text, None)
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_continuations_join_their_line(caplog: pytest.LogCaptureFixture) -> None:
    assert lines(caplog, (WARN, b"one "), (CONT, b"two"), (CONT, b" three\n"), (ERROR, b"four\n")) == [
        ("WARNING", "one two three"),
        ("ERROR", "four"),
    ]


def test_a_line_without_an_end_is_not_lost(caplog: pytest.LogCaptureFixture) -> None:
    assert lines(caplog, (WARN, b"open"), (ERROR, b"next\n")) == [("WARNING", "open"), ("ERROR", "next")]


def test_dots_and_empty_lines_are_dropped(caplog: pytest.LogCaptureFixture) -> None:
    assert lines(caplog, (INFO, b"."), (CONT, b"."), (CONT, b"\n"), (INFO, b"\n")) == []


def test_text_that_is_not_utf8_comes_through(caplog: pytest.LogCaptureFixture) -> None:
    assert lines(caplog, (WARN, b"caf\xe9\n")) == [("WARNING", "caf\ufffd")]


@pytest.mark.parametrize(
    ("level", "line", "expected"),
    [
        (logging.INFO, "llama_kv_cache:        CPU KV buffer size =   180.00 MiB", logging.INFO),
        (logging.INFO, "load_tensors: offloaded 12/33 layers to GPU", logging.INFO),
        (logging.INFO, "llama_model_loader: - kv   3: general.name str = secret", logging.DEBUG),
        (logging.INFO, "print_info: n_embd = 576", logging.DEBUG),
        (logging.WARNING, "decode: failed to find a memory slot for batch of size 3", logging.DEBUG),
        (logging.WARNING, "load: missing pre-tokenizer type", logging.WARNING),
        (logging.ERROR, "graph_compute: failed", logging.ERROR),
        (logging.DEBUG, "anything", logging.DEBUG),
    ],
)
def test_levels_are_thinned(level: int, line: str, expected: int) -> None:
    assert thinned(level, line) == expected


def test_collected_errors_are_debug_and_in_the_list(caplog: pytest.LogCaptureFixture) -> None:
    relay = LogRelay()
    with caplog.at_level(logging.DEBUG, "llama.cpp"), relay.collected_errors() as errors:
        relay.callback(ERROR, b"first\n", None)
        relay.callback(WARN, b"second\n", None)
    relay.callback(ERROR, b"third\n", None)
    assert errors == ["first"]
    assert [record.levelname for record in caplog.records] == ["DEBUG", "WARNING", "ERROR"]
