"""A control group with a CPU quota, version 1 or 2, under the group that this process runs in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import sleep

from service.engine.cgroups import groups_of, read

PERIOD = 100_000


class NoGroup(Exception):
    """No control group can be made here; the message says why."""


@dataclass(frozen=True, slots=True)
class CpuGroup:
    """A group's folder."""

    version: int
    folder: Path

    def limit(self, cpus: float) -> None:
        """The group may use so many CPUs from now on."""
        quota = int(cpus * PERIOD)
        if self.version == 2:
            self._write("cpu.max", f"{quota} {PERIOD}")
        else:
            self._write("cpu.cfs_period_us", str(PERIOD))
            self._write("cpu.cfs_quota_us", str(quota))

    def take(self, pid: int) -> None:
        """The process, with all its threads, belongs to the group."""
        self._write("cgroup.procs", str(pid))

    def inside(self, *command: str) -> tuple[str, ...]:
        """The command as one that runs in the group from its start on."""
        return ("sh", "-c", 'echo $$ >"$0" && exec "$@"', str(self.folder / "cgroup.procs"), *command)

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)


@contextmanager
def cpu_group() -> Iterator[CpuGroup]:
    """A new group, removed in the end. Raises NoGroup."""
    if os.geteuid() != 0:
        raise NoGroup("only root may make a control group")
    parent = next(((version, folder) for version, folder in groups_of("cpu") if _has_cpu(version, folder)), None)
    if parent is None:
        raise NoGroup("no CPU controller of control groups is mounted here")
    version, above = parent
    folder = above / f"mistral-api-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        raise NoGroup(f"no control group can be made here: {error}") from None
    try:
        yield CpuGroup(version, folder)
    finally:
        _remove(folder)


def _has_cpu(version: int, folder: Path) -> bool:
    if version == 2:
        return "cpu" in read(folder / "cgroup.subtree_control").split()
    return (folder / "cpu.cfs_quota_us").exists()


def _remove(folder: Path) -> None:
    """A process that has been waited for stays in its group for a moment more."""
    for _ in range(100):
        try:
            folder.rmdir()
        except OSError:
            sleep(0.05)
        else:
            return
    folder.rmdir()
