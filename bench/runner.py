"""Runs the workloads on both sides in alternating pairs."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.figures import OUTPUT_RATE, Figures, figures, step_figures
from bench.machine import busy_seconds, process_seconds
from bench.servers import Options, Side, running
from bench.workloads import Plan, Workload, warm


@dataclass(frozen=True, slots=True)
class Run:
    """One workload on one side, in one pair."""

    model: Path
    workload: str
    pair: int
    side: str
    figures: Figures


OTHERS = "CPU of other processes, %"
"""What was not ours to measure, of one core: where it is much, the other figures say little."""


TRIES = 5
CALM_SECONDS, CALM_WAIT_SECONDS = 2.0, 120.0


@dataclass(frozen=True, slots=True)
class Clocks:
    """Seconds: of the wall, and of CPU time that the whole machine, the server and this client have used."""

    wall: float
    machine: float
    server: float
    client: float

    @classmethod
    def of(cls, pid: int) -> Self:
        return cls(time.perf_counter(), busy_seconds(), process_seconds(pid), time.process_time())

    def since(self, earlier: Self) -> Self:
        return type(self)(
            self.wall - earlier.wall,
            self.machine - earlier.machine,
            self.server - earlier.server,
            self.client - earlier.client,
        )


@dataclass(frozen=True, slots=True)
class Series:
    """What all runs of one call have in common. `seconds` is the length of the workloads that have one, `calm` the percents of a core
    that other processes may use."""

    sides: tuple[Side, Side]
    threads: int
    pairs: int
    quick: bool
    seconds: float
    calm: float


async def compare(series: Series, model: Path, workload: Workload) -> list[Run]:
    """All pairs of one workload: A B, B A, A B, … so that a drift of the machine does not fall on one side."""
    runs = []
    for pair in range(series.pairs):
        sides = series.sides if pair % 2 == 0 else (series.sides[1], series.sides[0])
        runs += await calmest_pair(series, sides, model, workload, pair)
    return runs


async def calmest_pair(
    series: Series, sides: tuple[Side, Side], model: Path, workload: Workload, pair: int
) -> list[Run]:
    """One pair; repeated when other processes took more than `series.calm` of a core, and then the calmest of them."""
    tried: list[list[Run]] = []
    while len(tried) < TRIES:
        tried.append([])
        for side in sides:
            await calm_moment(series.calm)
            found = await measure(series, side, model, workload, pair)
            said = f"{found[OUTPUT_RATE]:.1f} tokens/s (others {found[OTHERS]:.0f} %)"
            print(f"  {model.name} {workload.name} pair {pair + 1} {side.name}: {said}", flush=True)
            tried[-1].append(Run(model, workload.name, pair, side.name, found))
        if noise(tried[-1]) <= series.calm:
            break
    return min(tried, key=noise)


def noise(runs: list[Run]) -> float:
    return max(run.figures[OTHERS] for run in runs)


async def calm_moment(percent: float) -> None:
    """Returns when the machine was that calm for some seconds, or after two minutes."""
    until = time.monotonic() + CALM_WAIT_SECONDS
    while time.monotonic() < until:
        before = busy_seconds()
        await asyncio.sleep(CALM_SECONDS)
        if 100 * (busy_seconds() - before) / CALM_SECONDS <= percent:
            return


async def measure(series: Series, side: Side, model: Path, workload: Workload, pair: int) -> Figures:
    """One workload on one fresh server. The seed names workload and pair: no text was seen by any server before."""
    plan = Plan(f"{workload.name}/{pair}", series.quick, series.seconds)
    options = Options(model, series.threads, workload.cells, whole_pool=workload.whole_pool)
    async with running(side, options) as server:
        await warm(server.client, plan)
        before, clocks = await server.client.metrics(), Clocks.of(server.pid)
        outcome = await workload.run(server.client, plan)
        spent = Clocks.of(server.pid).since(clocks)
        outcome.seconds = outcome.seconds or spent.wall
        server.memory.read(server.pid)
        return {
            **figures(outcome),
            "memory, resident peak, MiB": server.memory.resident,
            "memory, anonymous peak, MiB": server.memory.anonymous,
            "CPU of the server, %": 100 * spent.server / spent.wall,
            "CPU of the client, %": 100 * spent.client / spent.wall,
            OTHERS: 100 * (spent.machine - spent.server - spent.client) / spent.wall,
            **step_figures(before, await server.client.metrics()),
        }
