"""What has come so far of one file, on disk under a name that nobody takes for a model."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from types import TracebackType

from service.errors import NoRoom
from service.fetch.progress import Progress

READ_BYTES = 1 << 20
SYNC_BYTES = 256 << 20
"""Written pages count as this container's memory until they are on disk; so they go there now and then."""


class Partial:
    """An append-only file with the sha256 of what is in it. A context: leaving it makes sure of every byte on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._synced = 0
        self._file = -1
        self._hash = hashlib.sha256()

    def __enter__(self) -> Partial:
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        try:
            os.fsync(self._file)
        finally:
            os.close(self._file)

    def take_up(self, progress: Progress) -> None:
        """Reads what an earlier process left here."""
        while chunk := os.pread(self._file, READ_BYTES, self.size):
            self._hash.update(chunk)
            self.size += len(chunk)
            progress.at(self.size)
        self._synced = self.size

    def append(self, data: bytes) -> None:
        """Raises NoRoom when the disk is full."""
        try:
            written = 0
            while written < len(data):
                written += os.pwrite(self._file, data[written:], self.size + written)
            if self.size + len(data) - self._synced >= SYNC_BYTES:
                os.fdatasync(self._file)
                self._synced = self.size + len(data)
        except OSError as error:
            raise cannot_write(self.path, error) from None
        self._hash.update(data)
        self.size += len(data)

    def tail(self, offset: int, length: int) -> bytes:
        """What is there from `offset` on, `length` bytes at most."""
        return os.pread(self._file, length, offset)

    def restart(self) -> None:
        """Throws everything away."""
        os.ftruncate(self._file, 0)
        self.size = self._synced = 0
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Of everything so far."""
        return self._hash.hexdigest()


def cannot_write(path: Path, error: OSError) -> NoRoom:
    """What a failed write means to who reads it."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    reason = "no room is left" if full else error.strerror or str(error)
    return NoRoom(f"cannot write in {path.parent}: {reason}")
