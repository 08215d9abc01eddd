"""How many threads the kernels may use."""

from __future__ import annotations

import os


def thread_count(setting: int = 0) -> int:
    """The CPUs that this process may run on, and no more than `setting` if that is above 0. At least 1."""
    limits = [usable_cpus()]
    if setting > 0:
        limits.append(setting)
    return max(1, min(limits))


def usable_cpus() -> int:
    """CPUs of this process's affinity; all of the machine's where the system has no affinity."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
