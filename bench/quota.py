"""The whole service under a real CPU quota: what automatic threads give beside the right count, and how soon a quota that changes is
followed.

    python -m bench.quota [--model FILE] [--rounds 4] [--changes 4]      (as root: it makes a control group)

One CPU on a machine of more. Each round starts the service fresh in the group: with automatic threads, with `--threads 1`, and in a
mount namespace without control groups, where it cannot see the quota and takes a thread for each of the machine's CPUs; the next
round in the other order. Then the quota of one service changes while it generates.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter

from bench.client import Ask, BenchError, Client
from bench.cpu_group import CpuGroup, NoGroup, cpu_group
from bench.figures import OUTPUT_RATE, figures, ratio
from bench.health import MODEL
from bench.prompts import prompt
from bench.servers import Options, Server, Side, running
from bench.workloads import Plan, in_turn, warm

CLIENTS, CELLS = 4, 8192
CPUS = len(os.sched_getaffinity(0))
BLIND = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /sys/fs/cgroup && exec "$0" "$@"')
THREADS = 'mistral_api_threads{for="decode"}'
FOLLOW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Arm:
    """One of those that are compared. `threads` are asked for (0: none), `expected` are the threads that it then has."""

    name: str
    threads: int = 0
    wrapper: tuple[str, ...] = ()
    expected: int = 1


AUTOMATIC, RIGHT = Arm("automatic"), Arm("--threads 1", threads=1)
ARMS = (AUTOMATIC, RIGHT, Arm("blind to the quota", wrapper=BLIND, expected=CPUS))

Rates = dict[Arm, list[float]]
"""Tokens a second of each round."""


async def throughput(group: CpuGroup, model: Path, rounds: int) -> Rates:
    """What each arm gives under a quota of one CPU."""
    rates: Rates = {arm: [] for arm in ARMS}
    group.limit(1)
    for number in range(rounds):
        for arm in ARMS[:: 1 if number % 2 == 0 else -1]:
            rates[arm].append(await one_rate(group, model, arm, number))
            print(f"  round {number + 1}, {arm.name}: {rates[arm][-1]:.1f} tokens/s", flush=True)
    return rates


async def one_rate(group: CpuGroup, model: Path, arm: Arm, number: int) -> float:
    """The seed names the round: all arms of one see the same texts."""
    plan = Plan(f"quota/{number}", quick=False, seconds=0.0)
    async with service(group, model, arm) as server:
        if (found := await threads_of(server.client)) != arm.expected:
            raise BenchError(f"{arm.name}: {found} threads under one CPU, not {arm.expected}")
        await warm(server.client, plan)
        began = perf_counter()
        outcome = await in_turn(server.client, plan, clients=CLIENTS, rounds=1)
        outcome.seconds = perf_counter() - began
    return figures(outcome)[OUTPUT_RATE]


async def following(group: CpuGroup, model: Path, changes: int) -> dict[int, list[float]]:
    """Seconds from each change of the quota until the service says that it computes with so many threads, while it generates."""
    seconds: dict[int, list[float]] = {1: [], CPUS: []}
    group.limit(CPUS)
    async with service(group, model, AUTOMATIC) as server, traffic(server.client):
        random = Random("quota/changes")
        for cpus in (1, CPUS) * changes:
            await asyncio.sleep(random.uniform(0, 3))  # not in step with the service, which looks every few seconds
            group.limit(cpus)
            seconds[cpus].append(await until_threads(server.client, cpus))
    return seconds


async def until_threads(client: Client, count: int) -> float:
    began = perf_counter()
    while await threads_of(client) != count:
        if perf_counter() - began > FOLLOW_SECONDS:
            raise BenchError(f"a quota of {count} CPUs was not followed in {FOLLOW_SECONDS:.0f} s")
        await asyncio.sleep(0.02)
    return perf_counter() - began


async def threads_of(client: Client) -> int:
    return int((await client.metrics())[THREADS])


@asynccontextmanager
async def service(group: CpuGroup, model: Path, arm: Arm) -> AsyncIterator[Server]:
    side = Side("mistral-api", group.inside(*arm.wrapper, sys.executable, "-m", "service"))
    async with running(side, Options(model, arm.threads, CELLS, whole_pool=True)) as server:
        yield server


@asynccontextmanager
async def traffic(client: Client) -> AsyncIterator[None]:
    """Some clients ask one thing after the other until the block ends."""

    async def one(number: int) -> None:
        random = Plan("quota/traffic", quick=False, seconds=0.0).random(number)
        while True:
            if not (answer := await client.ask(Ask(100, prompt(random, 20, 60)))).well:
                raise BenchError(f"a request failed: {answer.error}")

    async with asyncio.TaskGroup() as tasks:
        asking = [tasks.create_task(one(number)) for number in range(CLIENTS)]
        yield
        for task in asking:
            task.cancel()


def table(rates: Rates, seconds: dict[int, list[float]]) -> str:
    """As Markdown."""
    return "\n".join([*rate_lines(rates), "", *second_lines(seconds)])


def rate_lines(rates: Rates) -> Iterator[str]:
    yield f"| a quota of 1 CPU on {CPUS} | tokens a second | to {RIGHT.name} |"
    yield "|---|---:|---:|"
    for arm, found in rates.items():
        share = ratio(found, rates[RIGHT])
        yield f"| {arm.name} | {median(found):.1f} | {share.middle:.2f} ({share.least:.2f}-{share.most:.2f}) |"


def second_lines(seconds: dict[int, list[float]]) -> Iterator[str]:
    yield "| a quota that changes while texts are generated | followed after, s (median) | longest |"
    yield "|---|---:|---:|"
    for cpus, found in seconds.items():
        yield f"| to {cpus} CPU{'s' * (cpus > 1)} | {median(found):.1f} | {max(found):.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.quota", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--model", type=Path, default=MODEL, metavar="FILE")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--changes", type=int, default=4, help="in each direction")
    arguments = parser.parse_args()
    if CPUS < 2:
        sys.exit("bench: with less than two CPUs there is nothing to compare")
    try:
        with cpu_group() as group:
            rates = asyncio.run(throughput(group, arguments.model, arguments.rounds))
            seconds = asyncio.run(following(group, arguments.model, arguments.changes))
    except (BenchError, NoGroup) as error:
        sys.exit(f"bench: {error}")
    print(table(rates, seconds))


if __name__ == "__main__":
    main()
