"""What a reader waits for: that there is something to read, or that it has been silent for long."""

from __future__ import annotations

import asyncio


class Bell:
    """Rung by one generation or several, heard by one reader. Used on the asyncio thread only.

    Nearly every wait ends long before its time is up. So its timer is not taken back with it but kept for the waits that follow, and looks
    at the time when it fires: a timer for each token costs a fifth of all that the event loop does for it.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rung = False
        self._waiting: asyncio.Future[None] | None = None
        self._until: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._fires = 0.0

    def ring(self) -> None:
        """There is something to read."""
        self._rung = True
        self._wake()

    async def wait(self, until: float | None = None) -> bool:
        """Returns when it is rung, at once if it was since the last wait; False when `until`, by the event loop's clock, comes first."""
        if not self._rung:
            self._waiting, self._until = self._loop.create_future(), until
            if until is not None and (self._timer is None or until < self._fires):
                self._set_timer(until)
            try:
                await self._waiting
            finally:
                self._waiting = None
        rung, self._rung = self._rung, False
        return rung

    def close(self) -> None:
        """Nobody will wait any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _set_timer(self, when: float) -> None:
        self.close()
        self._fires = when
        self._timer = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        """The timer has fired, for a wait that may have ended since."""
        self._timer = None
        if self._waiting is None or self._until is None:
            return
        if self._loop.time() < self._until:
            self._set_timer(self._until)
        else:
            self._wake()
