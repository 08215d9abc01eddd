"""llama.cpp's and ggml's log lines, brought into Python's logging under the name `llama.cpp`, and thinned.

llama.cpp writes about a hundred lines for each model it loads. Those that an operator asks about keep their level, the rest of
its information is debug here. While errors are collected they are debug too: whoever collects them reports them once.
"""

from __future__ import annotations

import ctypes
import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from llama_cpp import llama_cpp as native

log = logging.getLogger("llama.cpp")

# ggml.h, `enum ggml_log_level`.
CONTINUED = 5
LEVELS = {1: logging.DEBUG, 2: logging.INFO, 3: logging.WARNING, 4: logging.ERROR}

KEPT = re.compile(r"using device|offloaded \d+|\bbuffer size =|: loaded .* backend|system info")
# A full pool is the engine's daily business: it evicts, preempts and tries again.
EXPECTED = re.compile(
    r"failed to find a memory slot|removing memory module entries|failed to decode, ret = 2"
    # What an interrupted step says: status 1 is GGML_STATUS_ABORTED (ggml.h).
    r"|graph_compute.* failed with error 1$|failed to compute graph, compute status: 1$"
)


class LogRelay:
    """Puts pieces of lines together and passes whole lines on. Called by native threads, one piece at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._level = logging.DEBUG
        self._pending = ""
        self._collected: list[str] | None = None
        self._hushed = False
        self.callback = native.llama_log_callback(self._receive)

    @contextmanager
    def collected_errors(self) -> Iterator[list[str]]:
        """Error lines go into the list that this gives, and to debug."""
        self._collected = []
        try:
            yield self._collected
        finally:
            self._collected = None

    @contextmanager
    def hushed(self) -> Iterator[None]:
        """What llama.cpp says of a model that is only looked at is no news."""
        self._hushed = True
        try:
            yield
        finally:
            self._hushed = False

    def _receive(self, level: int, text: bytes | None, _data: ctypes.c_void_p) -> None:
        with self._lock:
            lines = self._take(level, (text or b"").decode(errors="replace"))
        for number, line in lines:
            self._emit(number, line)

    def _take(self, level: int, text: str) -> list[tuple[int, str]]:
        """Whole lines so far; what has no end of line yet waits for its continuation."""
        lines: list[tuple[int, str]] = []
        if level != CONTINUED:
            if self._pending:
                lines.append((self._level, self._pending))
                self._pending = ""
            self._level = LEVELS.get(level, logging.DEBUG)
        *whole, self._pending = (self._pending + text).split("\n")
        return lines + [(self._level, line) for line in whole]

    def _emit(self, level: int, line: str) -> None:
        line = line.strip()
        if not line.strip("."):  # llama.cpp draws its progress with dots
            return
        if level == logging.ERROR and self._collected is not None:
            self._collected.append(line)
        level = thinned(level, line, collecting=self._collected is not None)
        log.log(logging.DEBUG if self._hushed and level == logging.INFO else level, "%s", line)


def thinned(level: int, line: str, *, collecting: bool = False) -> int:
    """The level that a line deserves here."""
    if level == logging.INFO and not KEPT.search(line):
        return logging.DEBUG
    if EXPECTED.search(line) or (collecting and level == logging.ERROR):
        return logging.DEBUG
    return level


relay = LogRelay()
"""llama.cpp keeps one callback for the whole process, so there is one relay."""


def install() -> None:
    """Takes the log over, from the binding too, which writes to standard error."""
    native.llama_log_set(relay.callback, ctypes.c_void_p(0))
