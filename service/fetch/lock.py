"""One process at a time on one file, also from several pods on one volume.

flock, which local disks, NFSv4 and CephFS know. A folder without it gets a lease: a file that its owner touches every few seconds, and
that counts as left behind when nobody has for a while. Ages are told by the folder's own clock, so pods' clocks may differ.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

from service.fetch.partial import cannot_write

POLL_SECONDS = 1.0
TOUCH_SECONDS = 10.0
STALE_SECONDS = 60.0
NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL})

Waiting = Callable[[str, float], None]
"""Told while another process holds the lock: who, and for how many seconds we have waited."""


@contextmanager
def only_one(path: Path, waiting: Waiting, poll: float = POLL_SECONDS) -> Iterator[None]:
    """Holds the lock file `path`. Raises NoRoom where it cannot be made."""
    began = time.monotonic()
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o664)
        except OSError as error:
            raise cannot_write(path, error) from None
        try:
            if _locked(handle, path):
                _write_owner(handle)
                yield
                return
        except LocksUnknownError:
            break
        finally:
            os.close(handle)
        waiting(_owner(path), time.monotonic() - began)
        time.sleep(poll)
    with _lease(path.with_suffix(".lease"), waiting, poll):
        yield


class LocksUnknownError(Exception):
    """The file system has no flock."""


def _locked(handle: int, path: Path) -> bool:
    """Tries to lock. The name must still be that of the file that was locked: somebody may have tidied up."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in NO_LOCKS:
            raise LocksUnknownError from None
        raise cannot_write(path, error) from None
    try:
        return os.fstat(handle).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


def _write_owner(handle: int) -> None:
    # It only tells others for whom they wait; on a full disk the lock holds without it.
    with suppress(OSError):
        os.ftruncate(handle, 0)
        os.pwrite(handle, _me(), 0)


def _me() -> bytes:
    return json.dumps({"host": socket.gethostname(), "process": os.getpid(), "key": secrets.token_hex(8)}).encode()


def _owner(path: Path) -> str:
    try:
        told = json.loads(path.read_bytes())
        return f"{told['host']}, process {told['process']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


@contextmanager
def _lease(path: Path, waiting: Waiting, poll: float) -> Iterator[None]:
    me, began = _me(), time.monotonic()
    while not _took(path, me):
        if _age(path) > STALE_SECONDS:
            _remove_stale(path)
            continue
        waiting(_owner(path), time.monotonic() - began)
        time.sleep(poll)
    done = Event()
    keeper = Thread(target=_keep, args=(path, done), name="lease", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        done.set()
        keeper.join()
        if _content(path) == me:
            path.unlink(missing_ok=True)


def _took(path: Path, me: bytes) -> bool:
    """Makes the lease, if there is none."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o664)
    except FileExistsError:
        return False
    except OSError as error:
        raise cannot_write(path, error) from None
    try:
        os.write(handle, me)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise cannot_write(path, error) from None
    finally:
        os.close(handle)
    return True


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _age(path: Path) -> float:
    """Seconds since its owner touched it, by the clock of the folder; 0 if it is gone."""
    probe = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink()
        return now - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
    except OSError as error:
        raise cannot_write(path, error) from None


def _remove_stale(path: Path) -> None:
    """Takes a left lease away. Of several that try only one can rename it; one that is too late puts the new owner's back."""
    seen, aside = _content(path), path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        path.rename(aside)
    except OSError:
        return
    if _content(aside) != seen:
        aside.rename(path)
    aside.unlink(missing_ok=True)


def _keep(path: Path, done: Event) -> None:
    while not done.wait(TOUCH_SECONDS):
        try:
            os.utime(path)
        except OSError:
            continue
