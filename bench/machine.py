"""The machine of a run in words: a ratio means little without it."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path


def machine(llama_server: Sequence[str]) -> dict[str, str]:
    """CPU, memory, system, and the yardstick's own words about its build."""
    cpu = re.search(r"^model name\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return {
        "CPU": f"{cpu[1] if cpu else platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "llama-server": build_of(llama_server),
    }


def busy_seconds() -> float:
    """CPU time of all processes since boot, and what the hypervisor kept for others (/proc/stat: all fields but idle and iowait)."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def process_seconds(pid: int) -> float:
    """CPU time of a process and of its children that have ended (proc(5), stat: fields 14 to 17)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def waited_seconds(thread: int) -> tuple[float, int]:
    """How long a thread was ready to run and waited for a CPU, and how often it got one (proc(5), schedstat)."""
    _, waited, turns = (int(field) for field in Path(f"/proc/{thread}/schedstat").read_text().split())
    return waited / 1e9, turns


def build_of(command: Sequence[str]) -> str:
    """Version, commit and compiler, as `--version` says them (on stderr, in two lines)."""
    said = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False, timeout=60)
    lines = [line for line in (said.stdout + said.stderr).splitlines() if line.startswith(("version", "built with"))]
    return ", ".join(lines)
