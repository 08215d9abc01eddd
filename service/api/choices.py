"""The generations of one HTTP request, read as one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from service.engine.engine import Engine
from service.engine.generation import Generation, collect
from service.engine.requests import Delta, GenerationRequest
from service.errors import ContextExceeded


class Choices:
    """Submits every request at once, so that the engine computes them together; if one is refused none is left running.

    Whoever has one calls `close` in the end, which aborts what has not ended.
    """

    def __init__(self, engine: Engine, requests: Sequence[GenerationRequest], param: str) -> None:
        """`param`: the field that an error about the prompt's length names."""
        self._generations: list[Generation] = []
        self._reads: dict[asyncio.Task[Delta], int] = {}
        self._held: dict[int, Delta] = {}
        self._reading = False
        try:
            for request in requests:
                self._generations.append(engine.submit(request))
        except ContextExceeded as error:
            self.close()
            error.param = param
            raise
        except BaseException:
            self.close()
            raise

    async def all(self) -> list[Delta]:
        """Each choice's whole answer. Raises the first ServiceError."""
        tasks = [asyncio.ensure_future(collect(generation)) for generation in self._generations]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def next(self, seconds: float | None) -> list[tuple[int, Delta]]:
        """What has come, by choice: text, an end, or both. Nothing after `seconds` of silence. Raises ServiceError."""
        if not self._reading:
            self._reading = True
            for index in range(len(self._generations)):
                self._read(index)
        loop = asyncio.get_running_loop()
        until = None if seconds is None else loop.time() + seconds
        while self._reads:
            left = None if until is None else max(until - loop.time(), 0.0)
            done, _ = await asyncio.wait(self._reads, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                break
            if shown := self._take(done):
                return shown
        return []

    @property
    def ended(self) -> bool:
        """Whether every choice has been read to its end."""
        return self._reading and not self._reads

    def _read(self, index: int) -> None:
        task = asyncio.ensure_future(anext(self._generations[index]))
        task.add_done_callback(_look_at_error)
        self._reads[task] = index

    def _take(self, done: set[asyncio.Task[Delta]]) -> list[tuple[int, Delta]]:
        """The deltas of finished reads, by choice, each with what was held of it; without text or end it is held on."""
        shown = []
        for index, task in sorted(((self._reads.pop(task), task) for task in done), key=_by_index):
            delta = self._held.pop(index, Delta()).then(task.result())
            if delta.summary is None:
                self._read(index)
            if delta.text or delta.summary is not None:
                shown.append((index, delta))
            else:
                self._held[index] = delta
        return shown

    def close(self) -> None:
        """Aborts what has not ended. May be called more than once."""
        for task in self._reads:
            task.cancel()
        self._reads.clear()
        for generation in self._generations:
            generation.abort()


def _look_at_error(task: asyncio.Task[Delta]) -> None:
    """Of several choices that fail together one error is told; asyncio would report the others as forgotten."""
    if not task.cancelled():
        task.exception()


def _by_index(pair: tuple[int, asyncio.Task[Delta]]) -> int:
    return pair[0]
