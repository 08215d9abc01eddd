"""What Prometheus' client libraries tell of a process, by few system calls.

prometheus_client's collector opens three files and a folder for each scrape. Around every system call Python lets another thread go on, and
takes its turn again only when that one, here the engine's, lets it: the event loop stands still meanwhile.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress

from prometheus_client import ProcessCollector

from service.telemetry import catalog

STATUS, OPEN_FILES = "/proc/self/status", "/proc/self/fd"


class Process:
    """This process. Where there is no /proc only the memory is told, as 0."""

    def __init__(self) -> None:
        found = ProcessCollector(registry=None).collect()
        first = {sample.name: sample.value for family in found for sample in family.samples}
        # These two never change.
        self._started = first.get(catalog.PROCESS_STARTED.name)
        self._max_files = first.get(catalog.PROCESS_MAX_FILES.name, 0.0)

    def families(self) -> Iterator[str]:
        """Its families as they stand now."""
        sizes = memory_sizes()
        yield catalog.ANONYMOUS.single(sizes.get("RssAnon", 0))
        if self._started is None:
            return
        yield catalog.PROCESS_VIRTUAL.single(sizes.get("VmSize", 0))
        yield catalog.PROCESS_RESIDENT.single(sizes.get("VmRSS", 0))
        yield catalog.PROCESS_STARTED.single(self._started)
        yield catalog.PROCESS_CPU.single(time.process_time())
        yield catalog.PROCESS_FILES.single(len(os.listdir(OPEN_FILES)))
        yield catalog.PROCESS_MAX_FILES.single(self._max_files)


def memory_sizes() -> dict[str, int]:
    """The sizes in bytes that proc(5), status, gives in KiB; nothing where there is no such file."""
    with suppress(OSError):
        file = os.open(STATUS, os.O_RDONLY | os.O_CLOEXEC)
        try:
            lines = os.read(file, 1 << 14).decode(errors="replace").splitlines()
        finally:
            os.close(file)
        pairs = (line.split(":", 1) for line in lines if line.endswith(" kB"))
        return {name: 1024 * int(size.removesuffix(" kB")) for name, size in pairs}
    return {}
