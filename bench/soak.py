"""Many short requests to our service: memory must not grow."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from random import Random

from bench.client import Ask, BenchError
from bench.prompts import prompt
from bench.servers import Memory, Options, Server, Side, running

CLIENTS = 8
EARLY = 200
"""Requests after which everything that is made once has been made."""
SAVED = 4
"""MiB of prefixes outside the pool: little, so that they are full early and their coming and going is under test."""
MOST_GROWTH = 8.0
"""MiB that the second half of the requests may add: the interpreter's and the allocator's own ups and downs."""


@dataclass(frozen=True, slots=True)
class Soak:
    """What the memory was after so many requests: early, halfway, at the end."""

    readings: tuple[tuple[int, Memory], ...]

    @property
    def growth(self) -> float:
        """MiB that the second half has added to the memory that is no mapped file."""
        (_, before), (_, after) = self.readings[-2:]
        return after.anonymous - before.anonymous

    def check(self) -> None:
        """Raises BenchError where the memory was not flat."""
        if self.growth > MOST_GROWTH:
            raise BenchError(f"memory grew by {self.growth:.1f} MiB in the second half; {MOST_GROWTH:g} may be")

    def table(self) -> str:
        """As Markdown."""
        lines = ["| after | resident, MiB | anonymous, MiB |", "|---|---:|---:|"]
        lines += [f"| {after} | {memory.resident:.1f} | {memory.anonymous:.1f} |" for after, memory in self.readings]
        return "\n".join(lines)


async def soak(side: Side, model: Path, threads: int, requests: int) -> Soak:
    """Sends `requests`, at least EARLY + 1, from eight clients. Raises BenchError if one failed."""
    readings, done = [], 0
    options = Options(model, threads, cells=4096, parallel=CLIENTS, more=("--cache-ram", str(SAVED)))
    async with running(side, options) as server:
        for mark in sorted({EARLY, max(EARLY, requests // 2), requests}):
            await send(server, Random(f"soak/{mark}"), mark - done)
            done = mark
            memory = Memory()
            memory.read(server.pid)
            readings.append((mark, memory))
    return Soak(tuple(readings))


async def send(server: Server, random: Random, requests: int) -> None:
    """That many requests, each with a prompt and a length of its own."""
    asks = [Ask(random.randint(4, 16), prompt(random, 5, 40)) for _ in range(requests)]

    async def one() -> None:
        while asks:
            answer = await server.client.ask(asks.pop())
            if not answer.well:
                raise BenchError(f"a request failed: {answer.error or 'the stream ended early'}")

    await asyncio.gather(*(one() for _ in range(CLIENTS)))
