"""Runs the workloads on both sides in alternating pairs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from bench.figures import Figures, figures, step_figures
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


@dataclass(frozen=True, slots=True)
class Series:
    """What all runs of one call have in common. `seconds` is the length of the workloads that have one."""

    sides: tuple[Side, Side]
    threads: int
    pairs: int
    quick: bool
    seconds: float


async def compare(series: Series, model: Path, workload: Workload) -> list[Run]:
    """All pairs of one workload: A B, B A, A B, … so that a drift of the machine does not fall on one side."""
    runs = []
    for pair in range(series.pairs):
        for side in series.sides if pair % 2 == 0 else reversed(series.sides):
            found = await measure(series, side, model, workload, pair)
            print(
                f"  {model.name} {workload.name} pair {pair + 1} {side.name}: {found['output tokens a second']:.1f} tok/s",
                flush=True,
            )
            runs.append(Run(model, workload.name, pair, side.name, found))
    return runs


async def measure(series: Series, side: Side, model: Path, workload: Workload, pair: int) -> Figures:
    """One workload on one fresh server. The seed names workload and pair: no text was seen by any server before."""
    plan = Plan(f"{workload.name}/{pair}", series.quick, series.seconds)
    options = Options(model, series.threads, workload.cells, whole_pool=workload.whole_pool, more=workload.more)
    async with running(side, options) as server:
        await warm(server.client, plan)
        before = await server.client.metrics()
        started, used = time.perf_counter(), time.process_time()
        outcome = await workload.run(server.client, plan)
        elapsed, used = time.perf_counter() - started, time.process_time() - used
        outcome.seconds = outcome.seconds or elapsed
        server.memory.read(server.pid)
        return {
            **figures(outcome),
            "memory, resident peak, MiB": server.memory.resident,
            "memory, anonymous peak, MiB": server.memory.anonymous,
            "client's own CPU, %": 100 * used / elapsed,
            **step_figures(before, await server.client.metrics()),
        }
