"""How fast /metrics and /health/* answer while every place of the service generates, beside an idle service on the same machine.

    python -m bench.health [--model FILE] [--seconds 10]

A connection that stays open asks each page in turn, like a kubelet and Prometheus do but more often. What the machine itself adds
is in the `idle` columns, and in the line of the client's own event loop: how late its timers fire.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import perf_counter

from bench.client import Ask, BenchError
from bench.figures import percentile
from bench.prompts import prompt
from bench.servers import Options, Server, Side, running

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
PAGES = ("/health", "/health/live", "/health/ready", "/metrics")
PLACES = 8
PAUSE = 0.005
"""Seconds between two questions."""


@dataclass(frozen=True, slots=True)
class Latencies:
    """Seconds that each page took, and that timers of the client's own loop were late."""

    pages: dict[str, list[float]] = field(default_factory=lambda: {page: [] for page in PAGES})
    late: list[float] = field(default_factory=list)


class Prober:
    """One connection that stays open; its answers are read no further than their length says."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def get(self, path: str) -> float:
        """Seconds until the whole answer is here. Raises BenchError unless it is a 200."""
        began = perf_counter()
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        lengths = [line.partition(":")[2] for line in head.splitlines() if line.startswith("content-length:")]
        if not head.startswith("http/1.1 200") or not lengths:
            raise BenchError(f"{path}: {head.splitlines()[0]}")
        await self._reader.readexactly(int(lengths[0]))
        return perf_counter() - began

    def close(self) -> None:
        self._writer.close()


async def probe(port: int, seconds: float) -> Latencies:
    """Asks every page in turn for so long."""
    prober = Prober(*await asyncio.open_connection("127.0.0.1", port))
    found, end = Latencies(), perf_counter() + seconds
    while perf_counter() < end:
        for page in PAGES:
            found.pages[page].append(await prober.get(page))
            slept = perf_counter()
            await asyncio.sleep(PAUSE)
            found.late.append(perf_counter() - slept - PAUSE)
    prober.close()
    return found


@asynccontextmanager
async def load(server: Server) -> AsyncIterator[None]:
    """Every place generates, one streamed text after the other, until the block ends."""

    async def one(number: int) -> None:
        random = Random(f"health/{number}")
        while True:
            answer = await server.client.ask(Ask(200, prompt(random, 40, 200)))
            if not answer.well:
                raise BenchError(f"a request failed: {answer.error}")

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(number)) for number in range(PLACES)]
        yield
        for task in tasks:
            task.cancel()


async def measure(model: Path, seconds: float, threads: int) -> tuple[Latencies, Latencies]:
    """Latencies of an idle and of a busy service."""
    side = Side("mistral-api", (sys.executable, "-m", "service"))
    async with running(side, Options(model, threads, cells=8192, parallel=PLACES, whole_pool=True)) as server:
        port = server.client.port
        await probe(port, 1.0)
        idle = await probe(port, seconds)
        async with load(server):
            await asyncio.sleep(1.0)
            busy = await probe(port, seconds)
    return idle, busy


def table(idle: Latencies, busy: Latencies) -> str:
    """Milliseconds, as Markdown."""
    lines = ["| ms | idle p50 | idle p99 | busy p50 | busy p99 |", "|---|---:|---:|---:|---:|"]
    lines += [row(page, idle.pages[page], busy.pages[page]) for page in PAGES]
    return "\n".join([*lines, row("client's own timer, late", idle.late, busy.late)])


def row(name: str, *series: Iterable[float]) -> str:
    values = [list(one) for one in series]
    cells = [f"{1000 * percentile(one, part):.2f}" for one in values for part in (0.5, 0.99)]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.health", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--model", type=Path, default=MODEL, metavar="FILE")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each of idle and busy")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    try:
        idle, busy = asyncio.run(measure(arguments.model, arguments.seconds, arguments.threads))
    except BenchError as error:
        sys.exit(f"bench: {error}")
    print(table(idle, busy))


if __name__ == "__main__":
    main()
