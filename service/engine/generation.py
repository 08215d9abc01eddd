"""One answer as its reader sees it: an async iterator of deltas that merge while nobody reads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from service.engine.requests import Delta, GenerationRequest
from service.errors import DeadlineExceeded, ServiceError


class Generation:
    """Reads `async with engine.submit(request) as generation: async for delta in generation`. Leaving early aborts.

    There is one place for a delta: a reader that is slower than the engine gets several as one, so memory is bounded by the
    answer's length and the engine never waits. The reader is told of its deadline when it comes, whatever step is running then; the
    loop drops the request after that step. Used on the asyncio thread only.
    """

    def __init__(self, request: GenerationRequest, abort: Callable[[str], None]) -> None:
        self.request = request
        self._abort = abort
        self._delta: Delta | None = None
        self._error: ServiceError | None = None
        self._news = asyncio.Event()
        self._ended = False
        self._read_up = False
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
        self._news.set()
        if delta.summary is not None:
            self._end()

    def fail(self, error: ServiceError) -> None:
        """No more text, but an error, once what came before it has been read."""
        if not self._ended:
            self._error = error
            self._end()

    def _end(self) -> None:
        self._ended = True
        self._news.set()
        if self._timer is not None:
            self._timer.cancel()

    # The reader's side

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delta:
        """The next delta; the last has a summary. Raises the ServiceError that the request ended with."""
        if self._read_up:
            raise StopAsyncIteration
        await self._news.wait()
        self._news.clear()
        if self._delta is not None:
            delta, self._delta = self._delta, None
            self._read_up = self._read_up or delta.summary is not None
            if self._error is not None:
                self._news.set()
            return delta
        self._read_up = True
        if self._error is None:
            raise StopAsyncIteration
        raise self._error

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def abort(self) -> None:
        """Nobody will read on; whoever reads now is told the end. Does nothing after the end."""
        if not self._ended:
            self._read_up = True
            self._end()
            self._abort(self.request.id)


async def collect(generation: Generation, note: Callable[[Delta], None] | None = None) -> Delta:
    """Everything that comes, as one delta; `note` hears of each part. Raises what the generation raises."""
    whole = Delta()
    async with generation:
        async for delta in generation:
            whole = whole.then(delta)
            if note is not None:
                note(delta)
    return whole
