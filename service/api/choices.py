"""The generations of one HTTP request, read as one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from service.engine.bell import Bell
from service.engine.engine import Engine
from service.engine.generation import Generation
from service.engine.requests import Delta, GenerationRequest
from service.errors import ContextExceeded

Told = list[tuple[int, Delta]]
"""What has come, by choice and in their order."""


class Choices:
    """Submits every request at once, so that the engine computes them together; if one is refused none is left running.

    All of them ring one bell: what a step brought to several is read in one go. Whoever has one calls `close` in the end, which aborts
    what has not ended.
    """

    def __init__(self, engine: Engine, requests: Sequence[GenerationRequest], param: str) -> None:
        """`param`: the field that an error about the prompt's length names."""
        self._bell = Bell()
        self._generations: list[Generation] = []
        self._open = list(range(len(requests)))
        self._held: dict[int, Delta] = {}
        try:
            for request in requests:
                self._generations.append(engine.submit(request, self._bell))
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
        wholes = [Delta() for _ in self._generations]
        while self._open:
            for index, delta in await self._come(None):
                wholes[index] = wholes[index].then(delta)
                note(index, delta)
        return wholes

    async def next(self, seconds: float | None) -> Told:
        """Text, or an end, or both. Nothing after `seconds` of silence. Raises ServiceError."""
        until = None if seconds is None else asyncio.get_running_loop().time() + seconds
        while self._open and (come := await self._come(until)):
            if shown := [pair for pair in map(self._with_held, come) if pair is not None]:
                return shown
        return []

    async def _come(self, until: float | None) -> Told:
        """What has come, as soon as there is anything; nothing when `until` is reached."""
        while not (come := self._take()) and await self._bell.wait(until):
            pass
        return come

    def _take(self) -> Told:
        come: Told = []
        for index in tuple(self._open):
            if (delta := self._generations[index].take()) is not None:
                come.append((index, delta))
                if delta.summary is not None:
                    self._open.remove(index)
        return come

    def _with_held(self, pair: tuple[int, Delta]) -> tuple[int, Delta] | None:
        """A choice's delta with what was held of it; one without text or end is held until there is something to show."""
        index, delta = pair
        if (held := self._held.pop(index, None)) is not None:
            delta = held.then(delta)
        if not delta.text and delta.summary is None:
            self._held[index] = delta
            return None
        return index, delta

    def close(self) -> None:
        """Aborts what has not ended. May be called more than once."""
        self._bell.close()
        for generation in self._generations:
            generation.abort()
