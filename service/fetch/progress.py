"""How far it is, as a line of the log every few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

log: structlog.stdlib.BoundLogger = structlog.get_logger("fetch")


class Progress:
    """Counts bytes of one file. The rate is that of the time since the last line."""

    def __init__(
        self, event: str, name: str, size: int, every: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._event = event
        self._name = name
        self._size = size
        self._every = every
        self._clock = clock
        self._said_at = self._clock()
        self._said_bytes: int | None = None

    def at(self, done: int) -> None:
        """Says how far it is, if it is time to."""
        now = self._clock()
        if self._said_bytes is None or done < self._said_bytes:
            self._said_at, self._said_bytes = now, done
        seconds = now - self._said_at
        if seconds < self._every:
            return
        rate = (done - self._said_bytes) / seconds
        log.info(
            self._event,
            file=self._name,
            bytes=done,
            size=self._size,
            percent=round(100 * done / self._size, 1) if self._size else 100.0,
            bytes_per_second=round(rate),
            seconds_left=round((self._size - done) / rate) if rate else None,
        )
        self._said_at, self._said_bytes = now, done
