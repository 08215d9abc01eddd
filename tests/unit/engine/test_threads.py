"""Thread counts from settings, affinity and quotas, read from files laid out as the kernel does."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.engine import threads
from service.engine.requests import ThreadCount
from service.engine.threads import ThreadWatch, ThreadWishes, quotas, usable_cpus


def lay(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/pod/app\n", {"pod/app/cpu.max": "150000 100000\n", "pod/cpu.max": "max 100000\n"}, [1.5]),
        ("0::/pod/app\n", {"pod/app/cpu.max": "max 100000\n", "pod/cpu.max": "200000 100000\n"}, [2.0]),
        ("0::/host/path/not/here\n", {"cpu.max": "50000 100000\n"}, [0.5]),
        (
            "2:cpu,cpuacct:/a\n1:memory:/a\n",
            {"cpu/a/cpu.cfs_quota_us": "300000\n", "cpu/a/cpu.cfs_period_us": "100000\n"},
            [3.0],
        ),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, []),
        ("0::/\n", {}, []),
    ],
)
def test_quotas_of_all_groups_above(tmp_path: Path, groups: str, files: dict[str, str], expected: list[float]) -> None:
    lay(tmp_path / "proc", {"self/cgroup": groups})
    lay(tmp_path / "cgroup", files)
    assert quotas(tmp_path / "proc", tmp_path / "cgroup") == expected


def test_the_tightest_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "affinity", lambda: 8)
    lay(tmp_path / "proc", {"self/cgroup": "0::/a/b\n"})
    lay(tmp_path / "cgroup", {"a/b/cpu.max": "500000 100000", "a/cpu.max": "350000 100000"})
    assert usable_cpus(tmp_path / "proc", tmp_path / "cgroup") == 3.5


@pytest.mark.parametrize(
    ("wishes", "cpus", "count"),
    [
        (ThreadWishes(), 4.0, ThreadCount(4, 4)),
        (ThreadWishes(), 3.9, ThreadCount(3, 3)),
        (ThreadWishes(), 0.5, ThreadCount(1, 1)),
        (ThreadWishes(threads=2), 4.0, ThreadCount(2, 2)),
        (ThreadWishes(threads=16), 4.0, ThreadCount(4, 4)),
        (ThreadWishes(threads=2, threads_batch=3), 4.0, ThreadCount(2, 3)),
        (ThreadWishes(millicores=2500), 8.0, ThreadCount(2, 2)),
        (ThreadWishes(millicores=9000), 8.0, ThreadCount(8, 8)),
    ],
)
def test_a_count_is_the_least_of_wish_and_cpus_and_at_least_one(
    wishes: ThreadWishes, cpus: float, count: ThreadCount
) -> None:
    assert ThreadWatch(wishes, lambda: cpus).count == count


def test_a_changed_quota_is_noticed_at_the_next_reading_and_told_once() -> None:
    cpus = [4.0]
    watch = ThreadWatch(ThreadWishes(), lambda: cpus[0])
    assert watch.poll(now=0.0) is None
    cpus[0] = 1.0
    assert watch.poll(now=1.0) is None
    assert watch.poll(now=2.5) == ThreadCount(1, 1)
    assert watch.poll(now=5.0) is None


@pytest.mark.parametrize(
    ("millicores", "counts"), [(1000, [1, 2, 1]), (500, [1, 1, 1]), (1500, [1, 1, 1]), (0, [1, 2, 1])]
)
def test_a_resized_container_is_followed_above_what_it_was_told_at_start(millicores: int, counts: list[int]) -> None:
    cpus = [4.0 if millicores == 1500 else 1.0]
    watch = ThreadWatch(ThreadWishes(millicores=millicores), lambda: cpus[0])
    found = [watch.count.decode]
    for number, now in enumerate((2.0, 1.0), start=1):
        cpus[0] = now
        watch.poll(now=number * 10.0)
        found.append(watch.count.decode)
    assert found == counts
