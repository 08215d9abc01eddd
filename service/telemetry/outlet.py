"""Where log lines leave the process, without ever holding anybody up.

A full pipe would stop whoever writes to it, here the event loop or the engine. So lines go through a bounded queue to a thread
of their own; when that is stuck, further lines are dropped and counted, and the count is logged once there is room again.
"""

from __future__ import annotations

import logging
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from time import monotonic, sleep
from typing import TextIO

MOST_LINES = 10_000
CLOSE_SECONDS = 1.0


class Outlet(logging.Handler):
    """A handler that never blocks and never raises."""

    def __init__(self, stream: TextIO, most_lines: int = MOST_LINES) -> None:
        super().__init__()
        self._stream = stream
        self._most = most_lines
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._counts = Lock()
        self._pending = 0
        self._dropped = 0
        self._closed = False
        self._thread = Thread(target=self._write_all, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queues one line, or drops it."""
        try:
            line = self.format(record)
        except Exception as error:
            line = self._said("a line of %s could not be formatted: %s", record.name, type(error).__name__)
        with self._counts:
            if self._closed or self._pending >= self._most:
                self._dropped += 1
                return
            self._pending += 1
        self._lines.put(f"{line}\n")

    def flush(self) -> None:
        """Waits a moment for the lines so far to be written."""
        end = monotonic() + CLOSE_SECONDS
        while self._pending and self._thread.is_alive() and monotonic() < end:
            sleep(0.005)

    def close(self) -> None:
        """Writes what is left, but waits no longer than a moment for a reader."""
        with self._counts:
            closed, self._closed = self._closed, True
        if not closed:
            self._lines.put(None)
            self._thread.join(CLOSE_SECONDS)
        super().close()

    def _write_all(self) -> None:
        ended = False
        while not ended:
            lines = [self._lines.get()]
            while len(lines) < self._most:
                try:
                    lines.append(self._lines.get_nowait())
                except Empty:
                    break
            ended = None in lines
            written = [line for line in lines if line is not None]
            self._write("".join(written) + self._lost())
            with self._counts:
                self._pending -= len(written)

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # nobody reads any more, or the stream is closed: there is nobody to tell
            return

    def _lost(self) -> str:
        with self._counts:
            dropped, self._dropped = self._dropped, 0
        if not dropped:
            return ""
        return f"{self._said('%d lines were dropped', dropped)}\n"

    def _said(self, words: str, *arguments: object) -> str:
        return self.format(logging.LogRecord("log", logging.WARNING, __file__, 0, words, arguments, None))
