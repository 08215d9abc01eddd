"""The event loop's thread asks for a short slice, those that it starts have the usual one."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import pytest

from service.timeslice import SET_NUMBERS, SHARE, ask_for_short_slice, slice_now


def in_a_thread(work: Callable[[], None]) -> None:
    """A thread of the test's own: what was asked for cannot be taken back."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()


@pytest.mark.skipif(platform.machine() not in SET_NUMBERS, reason="the system call's number is not known here")
def test_a_thread_gets_the_short_slice_and_the_threads_it_starts_do_not() -> None:
    slices = []

    def work() -> None:
        slices.append(slice_now())
        if not slices[0]:
            return
        assert ask_for_short_slice()
        slices.append(slice_now())
        child = Thread(target=lambda: slices.append(slice_now()))
        child.start()
        child.join()

    in_a_thread(work)
    if not slices[0]:
        pytest.skip("before Linux 6.12 there are no slices to ask for")
    assert slices == [slices[0], int(SHARE * slices[0]), slices[0]]


def test_the_nice_value_stays() -> None:
    def work() -> None:
        nice = os.getpriority(os.PRIO_PROCESS, 0) + 3
        os.setpriority(os.PRIO_PROCESS, 0, nice)
        ask_for_short_slice()
        assert os.getpriority(os.PRIO_PROCESS, 0) == nice

    in_a_thread(work)


@pytest.mark.parametrize("numbers", [{}, {platform.machine(): 99_999}])
def test_a_system_that_does_not_know_it_is_no_error(numbers: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.timeslice.SET_NUMBERS", numbers)

    def work() -> None:
        assert not ask_for_short_slice()

    in_a_thread(work)
