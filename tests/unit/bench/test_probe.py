from __future__ import annotations

import socket
from threading import Thread
from time import sleep

import pytest

from bench.probe import ProbeError, get


def answered(*parts: bytes, enough: int = 1) -> tuple[float, int]:
    """What `get` says when these bytes come, a moment apart."""
    here, there = socket.socketpair()

    def answer() -> None:
        there.recv(1000)
        for part in parts:
            sleep(0.02)
            there.sendall(part)
        there.close()

    thread = Thread(target=answer)
    thread.start()
    try:
        with here:
            return get(here, "/health", enough)
    finally:
        thread.join()


def test_a_page_is_there_with_its_last_byte() -> None:
    parts = b"HTTP/1.1 200 OK\r\ncontent-le", b"ngth: 20\r\n\r\na", b"b" * 19
    for enough in (1, 30, 1000):
        seconds, next_time = answered(*parts, enough=enough)
        assert seconds >= 0.06
        assert next_time == len(b"".join(parts)) - 2


@pytest.mark.parametrize(
    "parts",
    [
        (b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab",),
    ],
)
def test_what_is_no_whole_200_is_an_error(parts: tuple[bytes, ...]) -> None:
    with pytest.raises(ProbeError):
        answered(*parts)
