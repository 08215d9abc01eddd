"""How many threads the kernels get."""

from __future__ import annotations

import os

import pytest

from service.engine import threads


@pytest.mark.parametrize(("cpus", "setting", "expected"), [(8, 0, 8), (8, -1, 8), (8, 3, 3), (2, 16, 2), (0, 0, 1)])
def test_threads_are_the_cpus_of_this_process_or_fewer(
    monkeypatch: pytest.MonkeyPatch, cpus: int, setting: int, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cpus)))
    assert threads.thread_count(setting) == expected


def test_without_affinity_all_cpus_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert threads.usable_cpus() == 5
