"""How fast /metrics and /health/* answer while every place of the service generates, beside the same service idle.

    python -m bench.health [--model FILE] [--seconds 10]

A connection that stays open asks each page in turn, like a kubelet and Prometheus do but more often (bench/probe.py). What the machine
itself adds is in the `idle` columns, and in the line of the probe's own timer: how late it fires.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import perf_counter

from bench.client import Ask, BenchError
from bench.figures import percentile
from bench.machine import waited_seconds
from bench.probe import Times
from bench.prompts import prompt
from bench.servers import Options, Server, Side, running

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"
PAGES = ("/health", "/health/live", "/health/ready", "/metrics")
PLACES = 8
GENERATED = "mistral_api_generated_tokens_total"


@dataclass(frozen=True, slots=True)
class Found:
    """What was seen for a while: the probe's times, how long the event loop waited for a CPU each time that it had something to do,
    and tokens a second."""

    times: Times
    waited: float
    rate: float


async def watch(server: Server, seconds: float) -> Found:
    """Asks every page in turn for so long."""
    before, began = await server.client.metrics(), perf_counter()
    waited, turns = waited_seconds(server.pid)
    command = (sys.executable, "-m", "bench.probe", str(server.client.port), str(seconds), *PAGES)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
    said, _ = await process.communicate()
    if process.returncode:
        raise BenchError("the probe failed")
    waited_now, turns_now = waited_seconds(server.pid)
    generated = (await server.client.metrics())[GENERATED] - before[GENERATED]
    return Found(
        json.loads(said), (waited_now - waited) / max(1, turns_now - turns), generated / (perf_counter() - began)
    )


@asynccontextmanager
async def load(server: Server) -> AsyncIterator[None]:
    """Every place generates, one streamed text after the other, until the block ends."""

    async def one(number: int) -> None:
        random = Random(f"health/{number}")
        while True:
            answer = await server.client.ask(Ask(400, prompt(random, 10, 20)))
            if not answer.well:
                raise BenchError(f"a request failed: {answer.error}")

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(number)) for number in range(PLACES)]
        yield
        for task in tasks:
            task.cancel()


async def generating(server: Server) -> None:
    """Waits until every place has some text."""
    before = (await server.client.metrics())[GENERATED]
    while (await server.client.metrics())[GENERATED] < before + 8 * PLACES:  # noqa: ASYNC110 (another process does it)
        await asyncio.sleep(0.1)


async def measure(model: Path, seconds: float, threads: int) -> tuple[Found, Found]:
    """An idle and a busy service."""
    side = Side("mistral-api", (sys.executable, "-m", "service"))
    async with running(side, Options(model, threads, cells=8192, parallel=PLACES, whole_pool=True)) as server:
        await watch(server, 1.0)
        idle = await watch(server, seconds)
        async with load(server):
            await generating(server)
            busy = await watch(server, seconds)
    return idle, busy


def table(idle: Found, busy: Found) -> str:
    """Milliseconds, as Markdown."""
    lines = ["| ms | idle p50 | idle p99 | busy p50 | busy p99 |", "|---|---:|---:|---:|---:|"]
    lines += [row(page, idle.times["pages"][page], busy.times["pages"][page]) for page in PAGES]
    lines.append(row("the probe's own timer, late", idle.times["late"], busy.times["late"]))
    waits = f"{1000 * idle.waited:.2f} ms idle and {1000 * busy.waited:.2f} ms busy"
    lines += ["", f"The event loop waited {waits} for a CPU, on average; {busy.rate:.1f} tokens a second."]
    return "\n".join(lines)


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
