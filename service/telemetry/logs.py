"""The log: JSON lines, or lines for people on a terminal; one for each request that ended. Never a prompt, a text or a key.

Everything goes through structlog's processors, also what libraries write with Python's logging (uvicorn, llama.cpp).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from service.telemetry.outlet import Outlet

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request that is being served; stands in every line that is logged meanwhile."""

LEVELS = {
    "off": logging.CRITICAL + 1,
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}
QUIET_ROUTES = frozenset({"/health", "/v1/health", "/health/live", "/health/ready", "/metrics"})
FIRST_KEYS = ("time", "level", "logger", "event")

log: structlog.stdlib.BoundLogger = structlog.get_logger("request")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLine:
    """What is logged of a request. Times in seconds since its arrival; None and "" where there was none.

    `route` is the route's template. `error` is the label of the error that the client was told.
    """

    id: str
    route: str
    method: str
    status: int
    seconds: float
    model: str = ""
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    generated_tokens: int | None = None
    queue_seconds: float | None = None
    first_token_seconds: float | None = None
    finish_reason: str = ""
    error: str = ""
    client_gone: bool = False

    @property
    def tokens_per_second(self) -> float | None:
        """Of the text, from its first token on; None for less than two tokens."""
        if self.first_token_seconds is None or (self.generated_tokens or 0) < 2:
            return None
        seconds = self.seconds - self.first_token_seconds
        return ((self.generated_tokens or 0) - 1) / seconds if seconds > 0 else None


@contextmanager
def logging_to(log_format: str, log_level: str, stream: TextIO | None = None) -> Iterator[None]:
    """Logs to `stream`, else to standard error, as the two settings say; on the way out what was before is back."""
    stream = stream or sys.stderr
    console = log_format == "console" or (log_format == "auto" and stream.isatty())
    outlet = Outlet(stream)
    outlet.setFormatter(_formatter(console=console, colors=console and stream.isatty()))
    root, uvicorn = logging.getLogger(), logging.getLogger("uvicorn")
    before = root.level, uvicorn.level
    level = LEVELS[log_level]
    root.addHandler(outlet)
    root.setLevel(level)
    # uvicorn tells of its own life at info; ours says the same once.
    uvicorn.setLevel(level if level <= logging.DEBUG else max(level, logging.WARNING))
    _configure_structlog()
    try:
        yield
    finally:
        root.removeHandler(outlet)
        root.setLevel(before[0])
        uvicorn.setLevel(before[1])
        outlet.close()


def log_request(line: RequestLine) -> None:
    """The one line of a request that has ended. Health and metrics are silent while they succeed."""
    if line.route in QUIET_ROUTES and line.status < 400:
        return
    fields = {
        "id": line.id,
        "method": line.method,
        "route": line.route,
        "status": line.status,
        "model": line.model or None,
        "prompt_tokens": line.prompt_tokens,
        "cached_tokens": line.cached_tokens,
        "generated_tokens": line.generated_tokens,
        "queue_seconds": _rounded(line.queue_seconds),
        "first_token_seconds": _rounded(line.first_token_seconds),
        "seconds": _rounded(line.seconds),
        "tokens_per_second": _rounded(line.tokens_per_second),
        "finish_reason": line.finish_reason or None,
        "error": line.error or None,
        "client_gone": line.client_gone,
    }
    # 503 is said while loading and draining, again and again: no reason to worry.
    level = logging.WARNING if line.status >= 500 and line.status != 503 else logging.INFO
    log.log(level, "request", **{key: value for key, value in fields.items() if value is not None})


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)


def _configure_structlog() -> None:
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


def _shared() -> list[Processor]:
    """What our lines and those of libraries go through alike."""
    return [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _with_request_id,
    ]


def _formatter(*, console: bool, colors: bool) -> logging.Formatter:
    last: list[Processor]
    if console:
        # The default shows the variables of each frame with a traceback: prompts stand in those.
        plain = structlog.dev.plain_traceback
        last = [
            structlog.dev.ConsoleRenderer(
                colors=colors, exception_formatter=plain, timestamp_key="time", sort_keys=False
            )
        ]
    else:
        last = [structlog.processors.format_exc_info, _ordered, structlog.processors.JSONRenderer(ensure_ascii=False)]
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=_shared(), processors=[remove, *last])


def _with_request_id(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    if (request_id := REQUEST_ID.get()) and "id" not in event:
        event["id"] = request_id
    return event


def _ordered(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    first: EventDict = {key: event.pop(key) for key in FIRST_KEYS if key in event}
    first.update(event)
    return first
