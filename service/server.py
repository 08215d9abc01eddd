"""uvicorn, run by ourselves: one worker, signals that drain, a model that fails to load ends the process.

At the first SIGTERM or SIGINT the service says that it is not ready, and refuses new requests with 503 and Retry-After; the port
stays open. After --drain-delay it waits for what runs, up to --drain-timeout, cuts off the rest and ends with 0. A second signal ends
the process at once.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import structlog
import uvicorn
import uvloop

from service.engine.engine import Engine
from service.engine.interface import EngineState
from service.errors import EngineDead, StartError
from service.listening import BACKLOG, shown_address
from service.settings import Settings
from service.timeslice import ask_for_short_slice

FLUSH_SECONDS = 5
"""For answers that are computed and not yet read."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)

log: structlog.stdlib.BoundLogger = structlog.get_logger("server")


class DrainingServer(uvicorn.Server):
    """uvicorn's server, which drains the engine before it closes the port."""

    def __init__(self, config: uvicorn.Config, engine: Engine, settings: Settings) -> None:
        super().__init__(config)
        self.exit_code = 0
        self._engine = engine
        self._settings = settings
        self._watch: asyncio.Task[None] | None = None

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals end in `signalled`; uvicorn's own way raises them again at the end, so the exit code would not be 0."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self.signalled, number)
        yield
        for number in SIGNALS:
            loop.remove_signal_handler(number)

    def signalled(self, number: int) -> None:
        """The first signal drains, the second one ends the process."""
        if self.should_exit:
            log.warning("ended at once", signal=signal.Signals(number).name)
            logging.shutdown()
            os._exit(128 + number)
        self._engine.drain()
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts to answer, and looks after the model meanwhile."""
        await super().startup(sockets)
        log.info("listening", on=[shown_address(opened) for opened in sockets or []])
        self._watch = asyncio.create_task(self._watch_loading())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drains if there is anything to drain, then closes the port."""
        if self._watch is not None:
            self._watch.cancel()
        self._engine.drain()
        if self._engine.state is EngineState.DRAINING:
            await self._drain()
        await self._engine.stop()
        await super().shutdown(sockets)
        log.info("ended", code=self.exit_code)

    async def _drain(self) -> None:
        delay, timeout = self._settings.drain_delay, self._settings.drain_timeout
        log.info("draining", delay=delay, timeout=timeout, running=self._engine.running, waiting=self._engine.waiting)
        await asyncio.sleep(delay)
        if not await self._engine.wait_idle(timeout):
            log.warning("requests are cut off", running=self._engine.running, waiting=self._engine.waiting)

    async def _watch_loading(self) -> None:
        began = monotonic()
        try:
            await self._engine.wait_loaded()
        except (StartError, EngineDead) as error:
            log.error(str(error))
            self.exit_code = 1
            self.should_exit = True
            return
        log.info("ready", model=self._engine.model.info.path, seconds=round(monotonic() - began, 2))


def make_server(app: Callable[..., Any], engine: Engine, settings: Settings) -> DrainingServer:
    """A server of one worker, with no log of its own."""
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=settings.timeout,
        timeout_graceful_shutdown=FLUSH_SECONDS,
    )
    return DrainingServer(config, engine, settings)


def serve(app: Callable[..., Any], engine: Engine, settings: Settings, sockets: list[socket.socket]) -> int:
    """Serves until a signal comes; the process's exit code."""
    server = make_server(app, engine, settings)
    ask_for_short_slice()
    # All that was built so far stays: looking through it for garbage would stop every text for fifty milliseconds.
    gc.collect()
    gc.freeze()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(server.serve(sockets))
    return server.exit_code
