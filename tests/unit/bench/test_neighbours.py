"""The processes that keep CPUs busy end with the block; the table says what was found."""

from __future__ import annotations

import os
import subprocess

import pytest

from bench import neighbours


def test_neighbours_are_busy_in_sessions_of_their_own_and_end_with_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: object, **named: object) -> subprocess.Popen[bytes]:
        started.append(popen(*arguments, **named))  # type: ignore[call-overload]
        return started[-1]

    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", start)
    with neighbours.neighbours(2):
        assert [process.poll() for process in started] == [None, None]
        assert len({os.getsid(process.pid) for process in started} | {os.getsid(0)}) == 3
    assert all(process.returncode is not None for process in started)


def test_a_row_a_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "CPUS", 2)
    ours, theirs = {(8, 0): [30.0, 20.0], (1, 1): [9.0, 9.0]}, {(8, 0): [10.0, 10.0], (1, 1): [0.3, 0.9]}
    assert neighbours.table(ours, theirs).splitlines()[2:] == [
        "| 8 clients, no busy neighbours | 25.0 | 10.0 | 2.50 (2.00-3.00) |",
        "| 1 client, 1 busy neighbour | 9.0 | 0.6 | 20.00 (10.00-30.00) |",
    ]
