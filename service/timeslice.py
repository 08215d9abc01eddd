"""A short time slice for the thread of the event loop, so that it gets a CPU soon after it wakes.

While the engine computes, its threads keep every CPU busy. Linux 6.12 and newer let a waking thread interrupt the one that runs
where it has asked for a shorter slice (sched_setattr(2), `sched_runtime` of a thread without real-time scheduling); a thread's share
of the CPU stays the same, and no privilege is needed. Elsewhere nothing happens.
"""

from __future__ import annotations

import ctypes
import os
import platform

SLICE_NANOSECONDS = 100_000
"""The shortest that Linux takes. The usual slice is 1.4 ms on two CPUs and longer on more."""

RESET_ON_FORK = 1
"""Threads that this one starts, the engine's among them, have the usual slice again."""

SET_NUMBERS = {"x86_64": 314, "aarch64": 274}
"""Of the system call; the C library knows it only since glibc 2.41."""


class _Attributes(ctypes.Structure):
    """`struct sched_attr` in its first version."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime", ctypes.c_uint64),
        ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
    )


def ask_for_short_slice() -> bool:
    """Asks for the calling thread. False where it cannot be asked for, was refused, or somebody has chosen a scheduling already."""
    number = SET_NUMBERS.get(platform.machine()) if platform.system() == "Linux" else None
    if number is None or os.sched_getscheduler(0) != os.SCHED_OTHER:
        return False
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    if nice < 0:  # which RESET_ON_FORK would take from the engine's threads
        return False
    wanted = _Attributes(
        size=ctypes.sizeof(_Attributes),
        policy=os.SCHED_OTHER,
        flags=RESET_ON_FORK,
        nice=nice,
        runtime=SLICE_NANOSECONDS,
    )
    result: int = ctypes.CDLL(None).syscall(number, 0, ctypes.byref(wanted), 0)
    return result == 0
