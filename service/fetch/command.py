"""`mistral-api fetch`: settings in, a path on standard output and an exit code out."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import structlog

from service.errors import StartError
from service.fetch.fetching import fetch
from service.settings.fetching import FetchSettings

log: structlog.stdlib.BoundLogger = structlog.get_logger("fetch")


class Stopped(BaseException):
    """A signal to end. What has come stays, and the next start goes on there."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def run_fetch(settings: FetchSettings) -> int:
    """Fetches; the exit code: 0, that of the error, or 128 and the signal."""
    try:
        with _stoppable():
            path = fetch(settings)
    except StartError as error:
        log.error(str(error), error=type(error).__name__)
        return error.code
    except Stopped as stop:
        log.warning("stopped; the next start goes on from here", signal=signal.Signals(stop.number).name)
        return 128 + stop.number
    sys.stdout.write(f"{path}\n")
    return 0


@contextmanager
def _stoppable() -> Iterator[None]:
    # The first process of a container ignores signals that it has no handler for.
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, _stop) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _stop(number: int, _frame: FrameType | None) -> None:
    raise Stopped(number)
