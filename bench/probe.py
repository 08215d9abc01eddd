"""Asks pages in turn over one connection that stays open, and tells each time on standard output, as JSON.

    python -m bench.probe PORT SECONDS PAGE…

It is a process of its own with a blocking socket, and where it may (as root) it is served before all other processes: on a machine of
few cores a client waits for a CPU as its server does, and what is to be measured is the server. Nor may it take the CPU from a server
that has sent a part, as no scraper on another machine does: it sleeps until nearly as much is there as the page had the last time.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from contextlib import suppress
from random import Random
from time import perf_counter, sleep
from typing import TypedDict

PAUSE = 0.01
"""Seconds between two questions, at most: the times are drawn, so that they do not fall in step with the engine."""
TIMEOUT = 60.0


class Times(TypedDict):
    """Seconds that each page took, and that the probe's own timer was late."""

    pages: dict[str, list[float]]
    late: list[float]


class ProbeError(Exception):
    """A page did not answer with 200."""


def get(connection: socket.socket, path: str, enough: int = 1) -> tuple[float, int]:
    """Seconds until the whole answer is here, and how much of the next one is nearly all. Raises ProbeError unless it is a 200."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, enough)
    began = perf_counter()
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    answer, length = b"", -1
    while length < 0 or len(answer) < length:
        if not (part := connection.recv(1 << 18)):
            raise ProbeError(f"{path}: the connection was closed")
        answer += part
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        if length < 0 and (head_end := answer.find(b"\r\n\r\n")) >= 0:
            body = content_length(path, answer[:head_end])
            length, enough = head_end + 4 + body, head_end + 4 + 9 * body // 10
    return perf_counter() - began, enough


def content_length(path: str, head: bytes) -> int:
    status, *lines = head.decode("latin-1").lower().split("\r\n")
    lengths = [line.partition(":")[2] for line in lines if line.startswith("content-length:")]
    if not status.startswith("http/1.1 200") or not lengths:
        raise ProbeError(f"{path}: {status}")
    return int(lengths[0])


def probe(port: int, seconds: float, pages: list[str]) -> Times:
    """Asks every page in turn for so long."""
    times: Times = {"pages": {page: [] for page in pages}, "late": []}
    random, end, enough = Random(port), perf_counter() + seconds, dict.fromkeys(pages, 1)
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while perf_counter() < end:
            for page in pages:
                took, enough[page] = get(connection, page, enough[page])
                times["pages"][page].append(took)
                began, pause = perf_counter(), random.uniform(0, PAUSE)
                sleep(pause)
                times["late"].append(perf_counter() - began - pause)
    return times


def be_first() -> None:
    """Asks for real-time scheduling, and where groups of processes may not have that, for the highest priority."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -20)
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


if __name__ == "__main__":
    be_first()
    json.dump(probe(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]), sys.stdout)
