"""How many may wait: the bounded queue in front of the loop, and when to come back. Pure but for the times it is given."""

from __future__ import annotations

import math
from collections import deque

from service.engine.requests import EngineLimits
from service.errors import QueueFull

RETRY_AFTER_SECONDS = (1.0, 60.0)
"""Least and most that a refused client is told to wait."""
REMEMBERED = 32
"""Departures that the drain rate is measured by."""


class Door:
    """Counts who waits and who is inside, by requests and by prompt tokens. Used on the asyncio thread."""

    def __init__(self, limits: EngineLimits) -> None:
        self.limits = limits
        self._waiting: dict[str, int] = {}
        self._inside: set[str] = set()
        self._left_at: deque[float] = deque(maxlen=REMEMBERED)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def inside(self) -> int:
        return len(self._inside)

    @property
    def waiting_tokens(self) -> int:
        return sum(self._waiting.values())

    def enter(self, request_id: str, tokens: int, now: float) -> None:
        """One more waits, with a prompt of so many tokens. Raises QueueFull where it may not.

        Free places count: as many as can be let in at once are never refused.
        """
        limits, free = self.limits, self.limits.parallel - self.inside
        if self.waiting >= limits.queue + free:
            raise QueueFull(
                f"{self.waiting} requests are waiting and no more than {limits.queue} may; try again later",
                retry_after=self._retry_after(1, now),
            )
        if self.waiting >= free and self.waiting_tokens + tokens > limits.queue_tokens:
            raise QueueFull(
                f"{self.waiting_tokens} prompt tokens are waiting and with this request's {tokens} it would be more than "
                f"{limits.queue_tokens}; try again later",
                retry_after=self._retry_after(self._ahead_of(tokens), now),
            )
        if not self.waiting and not self.inside:
            self._skip_idle(now)
        self._waiting[request_id] = tokens

    def start(self, request_id: str) -> None:
        """It waits no longer."""
        if self._waiting.pop(request_id, None) is not None:
            self._inside.add(request_id)

    def leave(self, request_id: str, now: float) -> None:
        """It is gone, from wherever it was."""
        self._waiting.pop(request_id, None)
        self._inside.discard(request_id)
        self._left_at.append(now)

    def _ahead_of(self, tokens: int) -> int:
        """How many of those who wait must go before `tokens` more fit."""
        over = self.waiting_tokens + tokens - self.limits.queue_tokens
        for count, waiting in enumerate(self._waiting.values(), 1):
            over -= waiting
            if over <= 0:
                return count
        return max(self.waiting, 1)

    def _skip_idle(self, now: float) -> None:
        """The time in which nobody was here says nothing of how fast they leave: the departures move up to now."""
        if self._left_at:
            idle = now - self._left_at[-1]
            self._left_at = deque((left + idle for left in self._left_at), maxlen=REMEMBERED)

    def _retry_after(self, places: int, now: float) -> float:
        """Seconds until so many should have left, by the rate of the last departures."""
        least, most = RETRY_AFTER_SECONDS
        if len(self._left_at) < 2:
            return least
        seconds_each = max(now - self._left_at[0], 1e-3) / len(self._left_at)
        return float(math.ceil(min(max(places * seconds_each, least), most)))
