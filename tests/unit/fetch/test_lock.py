"""One process at a time, with flock and without."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from pathlib import Path

import pytest

from service.errors import NoRoom
from service.fetch import lock
from service.fetch.lock import only_one


@pytest.fixture(params=["flock", "lease"])
def lock_path(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if request.param == "lease":
        no_flock(monkeypatch)
    return tmp_path / "model.gguf.lock"


def no_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_handle: int, _operation: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)


def nobody_waits(_owner: str, _seconds: float) -> None:
    pytest.fail("nobody holds it")


def test_many_at_once_have_it_one_after_another(lock_path: Path) -> None:
    inside, most, turns = 0, 0, 0

    def work() -> None:
        nonlocal inside, most, turns
        with only_one(lock_path, lambda _owner, _seconds: None, poll=0.001):
            inside += 1
            most = max(most, inside)
            time.sleep(0.005)
            inside -= 1
            turns += 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, turns) == (1, 8)


def test_who_waits_is_told_for_whom(lock_path: Path) -> None:
    told: list[str] = []
    with only_one(lock_path, nobody_waits):
        done = threading.Event()

        def wait() -> None:
            with only_one(lock_path, lambda owner, _seconds: told.append(owner), poll=0.005):
                done.set()

        waiter = threading.Thread(target=wait)
        waiter.start()
        end = time.monotonic() + 5
        while not told and time.monotonic() < end:
            time.sleep(0.005)
        assert not done.is_set()
    waiter.join()
    assert done.is_set()
    assert f"process {os.getpid()}" in told[0]


def test_an_error_inside_lets_go(lock_path: Path) -> None:
    with pytest.raises(ValueError, match="inside"), only_one(lock_path, nobody_waits):
        raise ValueError("inside")
    with only_one(lock_path, nobody_waits):
        pass


def test_a_lease_of_one_that_died_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_flock(monkeypatch)
    lease = tmp_path / "model.gguf.lease"
    lease.write_text('{"host": "gone", "process": 1}')
    os.utime(lease, (time.time() - 120, time.time() - 120))
    with only_one(tmp_path / "model.gguf.lock", nobody_waits):
        assert "gone" not in lease.read_text()
    assert not lease.exists()


def test_a_lease_that_is_kept_up_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_flock(monkeypatch)
    monkeypatch.setattr(lock, "TOUCH_SECONDS", 0.02)
    monkeypatch.setattr(lock, "STALE_SECONDS", 0.3)
    waited: list[float] = []
    with only_one(tmp_path / "model.gguf.lock", nobody_waits):

        def wait() -> None:
            with only_one(tmp_path / "model.gguf.lock", lambda _owner, seconds: waited.append(seconds), poll=0.02):
                pass

        waiter = threading.Thread(target=wait)
        waiter.start()
        time.sleep(1.0)
        assert waiter.is_alive()
    waiter.join()
    assert waited[-1] > 0.6


def test_a_lock_file_that_was_tidied_away_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.gguf.lock"
    real = fcntl.flock
    tidied = iter([True])

    def tidy(handle: int, operation: int) -> None:
        if next(tidied, False):
            path.unlink()
        real(handle, operation)

    monkeypatch.setattr(fcntl, "flock", tidy)
    with only_one(path, lambda _owner, _seconds: None, poll=0.001):
        assert path.exists()


def test_a_lease_that_does_not_fit_on_the_disk_is_said_and_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_flock(monkeypatch)

    def full(_handle: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(NoRoom, match="no room is left"), only_one(tmp_path / "model.gguf.lock", nobody_waits):
        pass
    assert not (tmp_path / "model.gguf.lease").exists()
