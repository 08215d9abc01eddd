"""Many short requests to our service: memory must not grow."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

from bench.client import Ask, BenchError
from bench.prompts import prompt
from bench.servers import Memory, Options, Server, Side, running

CLIENTS = 8
EARLY = 200
"""Requests after which everything that is made once has been made."""


async def soak(side: Side, model: Path, threads: int, requests: int) -> str:
    """Sends `requests` from eight clients and says what the memory was early, halfway and at the end. Raises BenchError if one failed."""
    async with running(side, Options(model, threads, cells=4096, parallel=CLIENTS)) as server:
        lines = [
            f"### {requests} short requests, {model.name}",
            "",
            "| after | resident, MiB | anonymous, MiB |",
            "|---|---:|---:|",
        ]
        done = 0
        for mark in sorted({EARLY, requests // 2, requests}):
            await send(server, Random(f"soak/{mark}"), mark - done)
            done = mark
            memory = Memory()
            memory.read(server.pid)
            lines.append(f"| {mark} | {memory.resident:.1f} | {memory.anonymous:.1f} |")
    return "\n".join(lines)


async def send(server: Server, random: Random, requests: int) -> None:
    """That many requests, each with a prompt and a length of its own."""
    asks = [Ask(random.randint(4, 16), prompt(random, 5, 40)) for _ in range(requests)]

    async def one() -> None:
        while asks:
            answer = await server.client.ask(asks.pop())
            if not answer.well:
                raise BenchError(f"a request failed: {answer.error or 'the stream ended early'}")

    await asyncio.gather(*(one() for _ in range(CLIENTS)))
