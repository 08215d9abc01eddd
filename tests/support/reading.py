"""Reads one generation, as the web room reads those of a request."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from service.engine.generation import Generation
from service.engine.requests import Delta


async def next_delta(generation: Generation) -> Delta:
    """What comes next. Raises what the generation raises."""
    while (delta := generation.take()) is None:
        await generation.bell.wait()
    return delta


async def deltas(generation: Generation) -> AsyncGenerator[Delta, None]:
    """What comes, to the end; leaving early aborts it."""
    ended = False
    try:
        while not ended:
            delta = await next_delta(generation)
            ended = delta.summary is not None
            yield delta
    finally:
        generation.abort()


async def collect(generation: Generation) -> Delta:
    """Everything that comes, as one delta."""
    whole = Delta()
    async for delta in deltas(generation):
        whole = whole.then(delta)
    return whole
