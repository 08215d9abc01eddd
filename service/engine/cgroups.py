"""Where this process stands among the control groups: version 2 and version 1, in a container and outside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")


def groups_of(controller: str, proc: Path = PROC, cgroups: Path = CGROUPS) -> Iterator[tuple[int, Path]]:
    """(version, folder) of every group that this process stands in, its own first, then those above it, up to the root.

    Inside a container the path may be the host's; then only the root is there, and it is the container's own group.
    """
    for line in read(proc / "self" / "cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            yield from ((2, folder) for folder in upwards(cgroups, path))
        elif controller in controllers.split(","):
            yield from ((1, folder) for folder in upwards(cgroups / controller, path))


def upwards(root: Path, path: str) -> Iterator[Path]:
    own = root / path.lstrip("/")
    for folder in (own, *own.parents):
        yield folder
        if folder == root:
            return


def read(file: Path) -> str:
    """The file's text; empty where there is none."""
    try:
        return file.read_text()
    except OSError:
        return ""
