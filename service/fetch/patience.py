"""How long trying goes on: until too many tries in a row have brought nothing."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from service.errors import SourceUnreachable
from service.fetch.asking import TryAgainError

MOST_SECONDS = 60.0
MOST_ASKED_SECONDS = 600.0
"""The longest wait that a source can ask for by Retry-After."""

log: structlog.stdlib.BoundLogger = structlog.get_logger("fetch")
T = TypeVar("T")


class Patience:
    """Waits between tries: twice as long each time, and not all pods at the same moment."""

    def __init__(self, name: str, retries: int, delay: float, sleep: Callable[[float], None] = time.sleep) -> None:
        self._name = name
        self._retries = retries
        self._delay = delay
        self._sleep = sleep
        self._failed = 0

    def progressed(self) -> None:
        """The last try brought something new."""
        self._failed = 0

    def wait(self, error: TryAgainError) -> None:
        """Waits before the next try. Raises SourceUnreachable when there is none."""
        self._failed += 1
        if self._failed > self._retries:
            tries = f"{self._failed} tries" if self._failed > 1 else "1 try"
            raise SourceUnreachable(f"{self._name}: nothing new in {tries}: {error}") from None
        seconds = min(MOST_SECONDS, self._delay * 2 ** min(self._failed - 1, 10)) * random.uniform(0.5, 1.0)
        seconds = max(seconds, min(error.seconds, MOST_ASKED_SECONDS))
        log.warning(
            "trying again", file=self._name, reason=str(error), in_seconds=round(seconds, 1), failed=self._failed
        )
        self._sleep(seconds)

    def until_done(self, attempt: Callable[[], T]) -> T:
        """The result of `attempt`, tried until it does not raise TryAgainError."""
        while True:
            try:
                return attempt()
            except TryAgainError as error:
                self.wait(error)
