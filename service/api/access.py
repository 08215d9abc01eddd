"""What is kept of each HTTP exchange, for the log line, the metrics and the headers that every answer has.

Litestar's middleware does not see 404 and 405; `before_send` does, but not the end of a stream whose client has left. So the
hook closes an exchange with the last part of its answer, and the middleware closes what was left open.
"""

from __future__ import annotations

import re
from time import monotonic
from uuid import uuid4

from litestar.datastructures import MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from service.api.answers import finish_reason
from service.api.cors import Cors
from service.engine.requests import Delta
from service.errors import ServiceError
from service.telemetry.logs import REQUEST_ID, RequestLine, log_request
from service.telemetry.metrics import Metrics

STATE_KEY = "exchange"
UNMATCHED = "unmatched"
CLIENT_ID = re.compile(r"[!-~]{1,128}")
"""What a client's own id may look like: printable ASCII without spaces."""
CLIENT_GONE = 499
"""The status of an exchange whose client left before there was an answer (nginx's number; nobody sees it)."""


class Exchange:
    """One request and its answer. `told` holds the last delta of each choice; `copies` choices in a row share a prompt."""

    def __init__(self, scope: Scope) -> None:
        self.id = _client_id(scope) or uuid4().hex
        self.began = monotonic()
        self.status = 0
        self.gone = False
        self.closed = False
        self.model = ""
        self.error = ""
        self.prompt_tokens: int | None = None
        self.copies = 1
        self.told: dict[int, Delta] = {}

    def note(self, index: int, delta: Delta) -> None:
        """A choice has gone on."""
        self.told[index] = delta

    def line(self, scope: Scope, seconds: float) -> RequestLine:
        """What is logged of it."""
        told = self.told.values()
        first = min((delta.timings for delta in told), key=lambda clock: clock.first_token, default=None)
        cached = [delta.cached_tokens for index, delta in self.told.items() if index % self.copies == 0]
        ended = [delta.summary for delta in told if delta.summary is not None]
        return RequestLine(
            id=self.id,
            route=route_of(scope),
            method=str(scope["method"]),  # type: ignore[typeddict-item]
            status=self.status,
            seconds=seconds,
            model=self.model,
            prompt_tokens=self.prompt_tokens,
            cached_tokens=sum(cached) if cached else None,
            generated_tokens=sum(delta.generated_tokens for delta in told) if told else None,
            queue_seconds=first.started - first.arrived if first else None,
            first_token_seconds=first.first_token - self.began if first else None,
            finish_reason=finish_reason(ended[0]) if ended else "",
            error=self.error,
            client_gone=self.gone,
        )


def exchange_of(scope: Scope) -> Exchange:
    """The exchange of this request; made where there is none yet."""
    state = scope.setdefault("state", {})
    if STATE_KEY not in state:
        state[STATE_KEY] = Exchange(scope)
    exchange: Exchange = state[STATE_KEY]
    return exchange


def route_of(scope: Scope) -> str:
    """The route's template: a label that clients cannot make up."""
    return scope.get("path_template") or UNMATCHED


def _client_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and CLIENT_ID.fullmatch(text := value.decode("latin-1")):
            return text
    return ""


class Access:
    """Headers, log and metrics of every answer."""

    def __init__(self, metrics: Metrics, cors: Cors) -> None:
        self._metrics = metrics
        self._cors = cors

    async def before_send(self, message: Message, scope: Scope) -> None:
        """Litestar's hook: each part of each answer, of which the first and the last count."""
        if message.get("more_body") or scope["type"] != ScopeType.HTTP:
            return
        exchange = exchange_of(scope)
        if message["type"] == "http.response.start":
            exchange.status = message["status"]
            headers = MutableScopeHeaders.from_message(message)
            headers["x-request-id"] = exchange.id
            self._cors.add_to(headers, scope)
        elif message["type"] == "http.response.body":
            self.close(scope)

    def close(self, scope: Scope) -> None:
        """Logs and counts an exchange, once."""
        exchange = exchange_of(scope)
        if exchange.closed:
            return
        exchange.closed = True
        seconds = monotonic() - exchange.began
        self._metrics.http_request(route_of(scope), str(scope["method"]), exchange.status, seconds)  # type: ignore[typeddict-item]
        log_request(exchange.line(scope, seconds))

    def count_error(self, error: ServiceError, scope: Scope) -> None:
        """A client is told of an error."""
        exchange_of(scope).error = error.label
        self._metrics.error(error)


class ExchangeMiddleware(ASGIMiddleware):
    """Begins an exchange with its request, and ends it where its answer was cut off."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, access: Access) -> None:
        self._access = access

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        exchange = exchange_of(scope)
        token = REQUEST_ID.set(exchange.id)
        try:
            await next_app(scope, receive, send)
        finally:
            if not exchange.closed:
                exchange.gone = True
                self._access.close(scope)
            REQUEST_ID.reset(token)
