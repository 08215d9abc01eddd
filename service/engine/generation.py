"""One answer as its reader sees it: deltas that merge while nobody reads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from service.engine.bell import Bell
from service.engine.requests import Delta, GenerationRequest
from service.errors import DeadlineExceeded, ServiceError


class Generation:
    """Read by `take` whenever the bell has rung; the last delta has a summary. `abort` leaves early.

    There is one place for a delta: a reader that is slower than the engine gets several as one, so memory is bounded by the
    answer's length and the engine never waits. The reader is told of its deadline when it comes, whatever step is running then; the
    loop drops the request after that step. Used on the asyncio thread only.
    """

    def __init__(self, request: GenerationRequest, abort: Callable[[str], None], bell: Bell) -> None:
        self.request = request
        self._abort = abort
        self.bell = bell
        self._delta: Delta | None = None
        self._error: ServiceError | None = None
        self._ended = False
        self._timer: asyncio.TimerHandle | None = None
        if request.deadline:
            error = DeadlineExceeded(request.deadline)
            self._timer = asyncio.get_running_loop().call_later(request.deadline, self.fail, error)

    # The engine's side

    def add(self, delta: Delta) -> None:
        """More text. What comes after the end, by a summary or an error, is too late."""
        if self._ended:
            return
        self._delta = delta if self._delta is None else self._delta.then(delta)
        if delta.summary is not None:
            self._end()
        self.bell.ring()

    def fail(self, error: ServiceError) -> None:
        """No more text, but an error, once what came before it has been read."""
        if not self._ended:
            self._error = error
            self._end()
            self.bell.ring()

    def _end(self) -> None:
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()

    # The reader's side

    def take(self) -> Delta | None:
        """What has come since the last time; None: nothing. Raises the ServiceError that the request ended with, once."""
        if self._delta is not None:
            delta, self._delta = self._delta, None
            return delta
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return None

    def abort(self) -> None:
        """Nobody will read on. Does nothing after the end."""
        if not self._ended:
            self._end()
            self._abort(self.request.id)
