"""A short time slice for the thread of the event loop, so that it gets a CPU soon after it wakes.

While the engine computes, its threads keep every CPU busy. Linux 6.12 and newer let a waking thread interrupt the one that runs
where it has asked for a shorter slice (sched_setattr(2), `sched_runtime` of a thread without real-time scheduling); a thread's share
of the CPU stays the same, and no privilege is needed. Elsewhere nothing happens.

Nor may the slice be too short: at a tick of the clock, every 4 ms on many systems, a thread that has had its slice gives way until the
next one, also in the middle of an answer.
"""

from __future__ import annotations

import ctypes
import os
import platform

SHARE = 0.7
"""Of the usual slice, which is 0.7 ms on one CPU and up to 2.8 ms on more. Answering a scrape takes 0.6 ms."""

RESET_ON_FORK = 1
"""Threads that this one starts, the engine's among them, have the usual slice again."""

SET_NUMBERS = {"x86_64": 314, "aarch64": 274}
"""Of sched_setattr; sched_getattr's is the next one. The C library knows them only since glibc 2.41."""


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
    nice, usual = os.getpriority(os.PRIO_PROCESS, 0), slice_now()
    if nice < 0 or not usual:  # RESET_ON_FORK would take the priority from the engine's threads
        return False
    wanted = _Attributes(
        size=ctypes.sizeof(_Attributes),
        policy=os.SCHED_OTHER,
        flags=RESET_ON_FORK,
        nice=nice,
        runtime=int(SHARE * usual),
    )
    result: int = ctypes.CDLL(None).syscall(number, 0, ctypes.byref(wanted), 0)
    return result == 0


def slice_now() -> int:
    """The calling thread's slice in nanoseconds; 0 where Linux has none or does not say."""
    found = _Attributes()
    number = SET_NUMBERS.get(platform.machine()) if platform.system() == "Linux" else None
    if number is not None:
        ctypes.CDLL(None).syscall(number + 1, 0, ctypes.byref(found), ctypes.sizeof(found), 0)
    return int(found.runtime)
