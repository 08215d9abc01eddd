"""One answer as its reader sees it: an async iterator of deltas that merge while nobody reads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from service.engine.requests import Delta, GenerationRequest
from service.errors import ServiceError


class Generation:
    """Reads `async with engine.submit(request) as generation: async for delta in generation`. Leaving early aborts.

    There is one place for a delta: a reader that is slower than the engine gets several as one, so memory is bounded by the
    answer's length and the engine never waits. Used on the asyncio thread only.
    """

    def __init__(self, request: GenerationRequest, abort: Callable[[str], None]) -> None:
        self.request = request
        self._abort = abort
        self._delta: Delta | None = None
        self._error: ServiceError | None = None
        self._news = asyncio.Event()
        self._ended = False
        self._read_up = False

    # The engine's side

    def add(self, delta: Delta) -> None:
        """More text. After the one with a summary nothing comes."""
        self._delta = delta if self._delta is None else self._delta.then(delta)
        self._ended = delta.summary is not None
        self._news.set()

    def fail(self, error: ServiceError) -> None:
        """No more text, but an error, once what came before it has been read."""
        if not self._ended:
            self._ended, self._error = True, error
            self._news.set()

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
            self._ended = self._read_up = True
            self._news.set()
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
