"""Tokens a second beside processes that keep a CPU busy each, as other pods of a node do; of both servers, in turn.

    python -m bench.neighbours [--model FILE] [--llama-server FILE] [--rounds 2] [--seconds 6]

The threads of a server wait for each other many times in a step. What counts is what one does meanwhile with a CPU that another thread
would need: of its own server, that even shares it at times, or of a neighbour.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from random import Random
from statistics import median

from bench.__main__ import built_server
from bench.client import Ask, BenchError, Client, Exchange
from bench.figures import ratio
from bench.health import MODEL
from bench.prompts import prompt
from bench.servers import Options, Side, running

CPUS = len(os.sched_getaffinity(0))
CLIENTS = (8, 1)
CELLS, TOKENS = 8192, 400
SETTLE_SECONDS = 1.0
START_SECONDS = 120.0
BUSY = (sys.executable, "-c", "while True: pass")

Case = tuple[int, int]
"""Clients and neighbours."""
Rates = dict[Case, list[float]]
"""Tokens a second of each round."""


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Each in a session of its own: Linux gives a session the share of a whole server, as it does a pod."""
    busy = [subprocess.Popen(BUSY, start_new_session=True) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


@asynccontextmanager
async def traffic(client: Client, clients: int) -> AsyncIterator[Callable[[], int]]:
    """Clients that ask one thing after the other until the block ends; in it, how many events have come: hardly more than tokens."""
    streams: list[Exchange] = []

    async def one(number: int) -> None:
        random = Random(f"neighbours/{clients}/{number}")
        while True:
            streams.append(await client.open(Ask(TOKENS, prompt(random, 10, 20))))
            await streams[-1].ended

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(number)) for number in range(clients)]
        async with asyncio.timeout(START_SECONDS):
            while len(streams) < clients or any(stream.events < 8 for stream in streams[:clients]):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        yield lambda: sum(stream.events for stream in streams)
        for task in tasks:
            task.cancel()
    for stream in streams:
        stream.vanish()


async def measure(side: Side, model: Path, seconds: float) -> dict[Case, float]:
    """A fresh server, and every case."""
    rates = {}
    async with running(side, Options(model, CPUS, CELLS, whole_pool=True)) as server:
        for clients in CLIENTS:
            async with traffic(server.client, clients) as events:
                for count in range(CPUS + 1):
                    with neighbours(count):
                        await asyncio.sleep(SETTLE_SECONDS)
                        before = events()
                        await asyncio.sleep(seconds)
                        rates[clients, count] = (events() - before) / seconds
                        said = f"{clients} clients, {count} neighbours: {rates[clients, count]:.1f} tokens/s"
                        print(f"  {side.name}, {said}", flush=True)
    return rates


async def compare(sides: tuple[Side, Side], arguments: argparse.Namespace) -> tuple[Rates, Rates]:
    """Rounds in alternating order."""
    found: dict[Side, Rates] = {side: {} for side in sides}
    for number in range(arguments.rounds):
        for side in sides[:: 1 if number % 2 == 0 else -1]:
            for case, rate in (await measure(side, arguments.model, arguments.seconds)).items():
                found[side].setdefault(case, []).append(rate)
    return found[sides[0]], found[sides[1]]


def table(ours: Rates, theirs: Rates) -> str:
    """As Markdown."""
    lines = [
        f"| {CPUS} CPUs, tokens a second | mistral-api | llama-server | ratio |",
        "|---|---:|---:|---:|",
    ]
    for (clients, count), rates in ours.items():
        other = theirs[clients, count]
        share = ratio(rates, other)
        name = f"{clients} client{'s' * (clients > 1)}, {count or 'no'} busy neighbour{'s' * (count != 1)}"
        spread = f"{share.middle:.2f} ({share.least:.2f}-{share.most:.2f})"
        lines.append(f"| {name} | {median(rates):.1f} | {median(other):.1f} | {spread} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.neighbours", description=__doc__.split("\n\n", maxsplit=1)[0]
    )
    parser.add_argument("--model", type=Path, default=MODEL, metavar="FILE")
    parser.add_argument(
        "--llama-server", type=Path, metavar="FILE", help="default: what bench/build_llama_server.sh builds"
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=6.0, help="for each number of clients and of neighbours")
    arguments = parser.parse_args()
    try:
        theirs = Side("llama-server", (str(arguments.llama_server or built_server()),))
        ours = Side("mistral-api", (sys.executable, "-m", "service"))
        print(table(*asyncio.run(compare((ours, theirs), arguments))))
    except (BenchError, TimeoutError) as error:
        sys.exit(f"bench: {error or 'the texts did not begin'}")


if __name__ == "__main__":
    main()
