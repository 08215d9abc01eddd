"""The generations of one HTTP request, read as one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

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
        self._open = set(range(len(requests)))
        self._reads: dict[asyncio.Task[Delta], int] = {}
        self._held: dict[int, Delta] = {}
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

    @property
    def ended(self) -> bool:
        """Whether every choice has been read to its end."""
        return not self._open

    async def all(self, note: Callable[[int, Delta], None]) -> list[Delta]:
        """Each choice's whole answer; `note` hears of each part as it comes. Raises the first ServiceError."""
        tasks = [
            asyncio.ensure_future(collect(generation, partial(note, index)))
            for index, generation in enumerate(self._generations)
        ]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def next(self, seconds: float | None) -> list[tuple[int, Delta]]:
        """What has come, by choice: text, an end, or both. Nothing after `seconds` of silence. Raises ServiceError."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._open:
                    come = await (self._read_one() if len(self._generations) == 1 else self._read_some())
                    if shown := [pair for pair in map(self._with_held, come) if pair is not None]:
                        return shown
        return []

    async def _read_one(self) -> list[tuple[int, Delta]]:
        """The usual case, without a task for each delta: a read that is given up loses nothing."""
        return [(0, await anext(self._generations[0]))]

    async def _read_some(self) -> list[tuple[int, Delta]]:
        """What is there of several choices, in their order. Their reads go on while others are waited for."""
        for index in self._open.difference(self._reads.values()):
            read = asyncio.ensure_future(anext(self._generations[index]))
            read.add_done_callback(_look_at_error)
            self._reads[read] = index
        done, _ = await asyncio.wait(self._reads, return_when=asyncio.FIRST_COMPLETED)
        come = {self._reads.pop(read): read for read in done}
        return [(index, come[index].result()) for index in sorted(come)]

    def _with_held(self, pair: tuple[int, Delta]) -> tuple[int, Delta] | None:
        """A choice's delta with what was held of it; one without text or end is held until there is something to show."""
        index, delta = pair
        if (held := self._held.pop(index, None)) is not None:
            delta = held.then(delta)
        if delta.summary is not None:
            self._open.discard(index)
        elif not delta.text:
            self._held[index] = delta
            return None
        return index, delta

    def close(self) -> None:
        """Aborts what has not ended. May be called more than once."""
        for read in self._reads:
            read.cancel()
        self._reads.clear()
        for generation in self._generations:
            generation.abort()


def _look_at_error(read: asyncio.Task[Delta]) -> None:
    """Of several choices that fail together one error is told; asyncio would report the others as forgotten."""
    if not read.cancelled():
        read.exception()
