"""What long bodies ask for is done in another thread: while one is worked on, the event loop serves everybody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from litestar import Request

P = ParamSpec("P")
T = TypeVar("T")

LONG_BODY = 4096
"""Bytes. Shorter ones are done in less time than a thread takes to begin."""


async def aside(request: Request[Any, Any, Any], work: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """What `work` returns, which reads and tokenizes the body's values: the body's length bounds all of them at once."""
    if len(await request.body()) < LONG_BODY:
        return work(*args, **named)
    return await asyncio.to_thread(work, *args, **named)
