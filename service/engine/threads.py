"""How many threads the kernels may use: no more than there is CPU for.

More threads than CPUs is worse than useless: ggml's threads wait for each other after every operation by spinning, so under a CPU
quota they burn it up waiting, and the whole group sleeps for the rest of each period.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from service.engine.cgroups import CGROUPS, PROC, groups_of, read
from service.engine.requests import ThreadCount

log = logging.getLogger("engine")

POLL_SECONDS = 2.0
"""How often the limits are read again."""


@dataclass(frozen=True, slots=True)
class ThreadWishes:
    """What the settings say: counts (below 1: as many as may be), and CPUs in thousandths from the outside (0: not said)."""

    threads: int = -1
    threads_batch: int = -1
    millicores: int = 0


class ThreadWatch:
    """Follows affinity and CPU quota. `count` is what holds now, `poll` reads again when it is time."""

    def __init__(self, wishes: ThreadWishes, cpus: Callable[[], float] | None = None) -> None:
        self._wishes = wishes
        self._cpus = cpus or usable_cpus
        # What the outside said at start never changes, so it counts only where the system does not say it too: a container's quota
        # shows the same limit, and what it becomes when the container is resized.
        told = wishes.millicores / 1000
        self._told = told if 0 < told < self._cpus() else float("inf")
        self._polled_at = float("-inf")
        self.count = self._read()

    def poll(self, now: float) -> ThreadCount | None:
        """The new count, if it has changed since the last call and the last reading is old enough."""
        if now - self._polled_at < POLL_SECONDS:
            return None
        self._polled_at = now
        count = self._read()
        if count == self.count:
            return None
        log.info("the CPUs that may be used have changed: %d threads, %d for prompts", count.decode, count.batch)
        self.count = count
        return count

    def _read(self) -> ThreadCount:
        cpus = min(self._cpus(), self._told)
        decode = within(self._wishes.threads, cpus)
        batch = within(self._wishes.threads_batch, cpus) if self._wishes.threads_batch > 0 else decode
        return ThreadCount(decode, batch)


def within(wish: int, cpus: float) -> int:
    """max(1, min(whole CPUs, wish)); a wish below 1 is none."""
    whole = max(1, int(cpus))
    return min(whole, wish) if wish > 0 else whole


def usable_cpus(proc: Path = PROC, cgroups: Path = CGROUPS) -> float:
    """CPUs of this process's affinity, or of the tightest quota of its control groups, whichever is less."""
    return min([float(affinity()), *quotas(proc, cgroups)])


def affinity() -> int:
    """CPUs that this process may run on; all of the machine's where the system has no affinity."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def quotas(proc: Path = PROC, cgroups: Path = CGROUPS) -> list[float]:
    """CPUs that each limited group above this process may use: cpu.max (v2), cpu.cfs_quota_us (v1)."""
    found = []
    for version, folder in groups_of("cpu", proc, cgroups):
        if version == 2:
            quota, _, period = read(folder / "cpu.max").strip().partition(" ")
        else:
            quota, period = read(folder / "cpu.cfs_quota_us").strip(), read(folder / "cpu.cfs_period_us").strip()
        if quota.isdigit() and period.isdigit() and int(period):
            found.append(int(quota) / int(period))
    return found
