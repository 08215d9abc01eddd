"""Server-sent events: values to bytes, and a response that always cleans up behind itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from typing import Any

import msgspec
from litestar import Response
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from service.api.disconnect import disconnected

PING = b":\n\n"
DONE = b"data: [DONE]\n\n"
MEDIA_TYPE = "text/event-stream"
HEADERS = {"content-type": MEDIA_TYPE, "cache-control": "no-cache", "x-accel-buffering": "no"}
"""Proxies are to pass events on at once."""

encode = msgspec.json.Encoder().encode


def events(values: Iterable[object]) -> bytes:
    """One event for each value."""
    return b"".join([b"data: " + encode(value) + b"\n\n" for value in values])


class EventStream(Response[None]):
    """An answer whose body is made while it is sent. `close` is called in any case, also when nothing was sent at all.

    Litestar's Stream starts its generator in a task of its own: if the client leaves before that runs, no `finally` of the
    generator ever does.
    """

    def __init__(self, chunks: AsyncGenerator[bytes, None], close: Callable[[], None]) -> None:
        super().__init__(None, headers=HEADERS, media_type=MEDIA_TYPE, status_code=200)
        self._chunks = chunks
        self._close = close

    def to_asgi_response(self, *_arguments: Any, **_named: Any) -> ASGIResponse:  # noqa: ANN401 - Litestar's are many
        """What Litestar sends."""
        return _StreamSender(self._chunks, self._close)


class _StreamSender(ASGIResponse):
    """Sends chunks as they come, until they end or the client leaves."""

    _should_set_content_length = False

    def __init__(self, chunks: AsyncGenerator[bytes, None], close: Callable[[], None]) -> None:
        super().__init__(headers=HEADERS, media_type=MEDIA_TYPE, status_code=200)
        self._chunks = chunks
        self._close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._close()

    async def send_body(self, send: Send, receive: Receive) -> None:
        writer = asyncio.ensure_future(self._write(send))
        gone = asyncio.ensure_future(disconnected(receive))
        try:
            await asyncio.wait({writer, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            writer.cancel()
            await asyncio.wait({writer})
        if not writer.cancelled():
            writer.result()

    async def _write(self, send: Send) -> None:
        async with aclosing(self._chunks) as chunks:
            async for chunk in chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
