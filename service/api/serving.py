"""From an order to its answer: whole, or as a stream. The one place where generating endpoints meet the engine."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from litestar import Request, Response

from service.api.access import Access, exchange_of
from service.api.choices import Choices, Told
from service.api.context import Service
from service.api.disconnect import unless_gone
from service.api.error_handlers import error_body, internal_error
from service.api.order import Order
from service.api.shapes import Shape
from service.api.sse import DONE, PING, EventStream, events
from service.api.terms import under_terms
from service.errors import ServiceError


async def serve(
    service: Service, request: Request[Any, Any, Any], order: Order, shape: Shape, param: str
) -> Response[Any]:
    """Answers an order. `param` is the field that holds the prompt.

    Everything that can be refused is refused before the first byte: a stream begins with its first text, or with a comment when
    that takes longer than the ping interval. If the client leaves, the generations end at once.
    """
    order = under_terms(order, request, service.settings)
    exchange = exchange_of(request.scope)
    exchange.model = service.model_name
    exchange.copies = order.copies
    exchange.prompt_tokens = sum(len(one.prompt) for one in order.requests[:: order.copies])
    choices = Choices(service.engine, order.requests, param)
    try:
        if order.stream:
            first = await unless_gone(request.receive, choices.next(order.ping))
            writer = _StreamWriter(service.access, request, order, shape, choices)
            return EventStream(writer.chunks(first), choices.close)
        answers = await unless_gone(request.receive, choices.all(exchange.note))
    except BaseException:
        choices.close()
        raise
    return Response(shape.whole(answers), status_code=200)


class _StreamWriter:
    """The bytes of one stream."""

    def __init__(
        self, access: Access, request: Request[Any, Any, Any], order: Order, shape: Shape, choices: Choices
    ) -> None:
        self._access = access
        self._scope = request.scope
        self._exchange = exchange_of(request.scope)
        self._order = order
        self._shape = shape
        self._choices = choices
        self._opened = False

    async def chunks(self, first: Told) -> AsyncGenerator[bytes, None]:
        """Events and comments. After an error nothing more comes, not even `[DONE]`."""
        told = first
        try:
            while not self._choices.ended:
                yield self._events(told) if told else PING
                told = await self._choices.next(self._order.ping)
            yield self._events(told) + events(self._shape.closing()) + (DONE if self._shape.ends_with_done else b"")
        except ServiceError as error:
            yield self._failure(error)
        except Exception as exception:
            yield self._failure(internal_error(exception, self._exchange.id))

    def _events(self, told: Told) -> bytes:
        values = [] if self._opened else [*self._shape.opening()]
        self._opened = True
        for index, delta in told:
            self._exchange.note(index, delta)
            values += self._shape.piece(index, delta)
        return events(values)

    def _failure(self, error: ServiceError) -> bytes:
        self._access.count_error(error, self._scope)
        return events([error_body(error)])
