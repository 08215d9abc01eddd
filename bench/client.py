"""A client that costs little: it only keeps bytes and their times; everything is read after the answer has ended.

The machine's few cores are shared by client and server, so the client parses nothing while tokens come.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from time import perf_counter

from bench.answer import Answer, Arrival, read_answer, read_response

LIMIT_SECONDS = 900.0
"""A request that takes longer has failed, whatever the server does."""
EVENT = b"data: "

Messages = tuple[tuple[str, str], ...]
"""Role and content of each turn."""


class BenchError(Exception):
    """The benchmark cannot go on; the message says why."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A greedy request for exactly `tokens` tokens, as a text prompt or, with `messages`, as a chat."""

    tokens: int
    prompt: str = ""
    messages: Messages = ()
    use_cache: bool = True

    @property
    def path(self) -> str:
        return "/v1/chat/completions" if self.messages else "/v1/completions"

    def body(self) -> bytes:
        fields: dict[str, object] = {
            "max_tokens": self.tokens,
            "temperature": 0,
            "ignore_eos": True,
            "cache_prompt": self.use_cache,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self.messages:
            fields["messages"] = [{"role": role, "content": content} for role, content in self.messages]
        else:
            fields["prompt"] = self.prompt
        return json.dumps(fields).encode()


class Exchange(asyncio.Protocol):
    """One request on one connection. `events` counts what has come of a stream, `arrivals` are its raw bytes with their times."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._transport: asyncio.BaseTransport | None = None
        self._progress = asyncio.Event()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.started = perf_counter()
        self.arrivals: list[Arrival] = []
        self.events = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        if isinstance(transport, asyncio.WriteTransport):
            transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self.arrivals.append(Arrival(perf_counter(), data))
        self.events += data.count(EVENT)
        self._progress.set()

    def connection_lost(self, _: Exception | None) -> None:
        self._progress.set()
        if not self.ended.done():
            self.ended.set_result(None)

    def vanish(self) -> None:
        """Closes the connection as a client does that is gone."""
        if self._transport is not None:
            self._transport.close()

    async def reach(self, events: int) -> None:
        """Returns when that many events have come, or the connection has ended."""
        while self.events < events and not self.ended.done():
            self._progress.clear()
            await self._progress.wait()


class Client:
    """Talks to the server on `port` of this machine; a connection a request."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def open(self, ask: Ask) -> Exchange:
        """Sends a request and returns at once."""
        return await self._send("POST", ask.path, ask.body())

    async def ask(self, ask: Ask) -> Answer:
        """Sends a request and waits for its end."""
        return await self.finish(await self.open(ask))

    async def finish(self, exchange: Exchange) -> Answer:
        """Waits for the end of a request that was opened, and reads it."""
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                await asyncio.shield(exchange.ended)
        except TimeoutError:
            pass
        finally:
            exchange.vanish()
        return read_answer(exchange.started, exchange.arrivals)

    async def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of a GET."""
        exchange = await self._send("GET", path, b"")
        await exchange.ended
        response = read_response(exchange.arrivals)
        return response.status, b"".join(part.data for part in response.body)

    async def metrics(self) -> dict[str, float]:
        """The server's own metrics: value by name with labels, as the text format writes them."""
        _, body = await self.get("/metrics")
        lines = (line.rsplit(" ", 1) for line in body.decode().splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, value in lines}

    async def _send(self, method: str, path: str, body: bytes) -> Exchange:
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nConnection: close\r\n"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        request = f"{head}\r\n".encode() + body
        loop = asyncio.get_running_loop()
        _, exchange = await loop.create_connection(lambda: Exchange(request), "127.0.0.1", self.port)
        return exchange
