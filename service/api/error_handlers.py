"""Every failure as one envelope with the right status: `{"error": {"message", "type", "code", "param"}}`."""

from __future__ import annotations

import logging
import math
from traceback import format_tb
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from service.api.access import CLIENT_GONE, Access, exchange_of
from service.api.disconnect import ClientGone
from service.api.schemas.answers import ErrorBody, ErrorObject
from service.errors import InternalError, InvalidRequest, MethodNotAllowed, ModelLoading, NotFound, ServiceError

log = logging.getLogger("api")

AnyRequest = Request[Any, Any, Any]


def error_body(error: ServiceError) -> ErrorBody:
    """What a client is told, in an answer or as an event."""
    told = ErrorObject(message=error.message, type=error.kind, code=error.status, param=error.param)
    for name, number in error.extra.items():
        setattr(told, name, number)
    if isinstance(error, ModelLoading):
        told.progress = error.progress
    return ErrorBody(told)


def error_headers(error: ServiceError) -> dict[str, str]:
    """When to come back, in whole seconds."""
    if error.retry_after is None:
        return {}
    return {"retry-after": str(max(math.ceil(error.retry_after), 1))}


def internal_error(exception: Exception, request_id: str) -> InternalError:
    """Logs a bug without its message, in which a prompt may stand, and says where to look for it."""
    place = "".join(format_tb(exception.__traceback__))
    log.error("a bug: %s\n%s", type(exception).__name__, place)
    return InternalError(f"internal error; the log has it under request id {request_id}")


class ErrorHandlers:
    """Litestar's exception handlers."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def map(self) -> ExceptionHandlersMap:
        """For `Litestar(exception_handlers=…)`."""
        return {
            ServiceError: self.service_error,
            HTTPException: self.http_exception,
            ClientGone: self.client_gone,
            Exception: self.bug,
        }

    def service_error(self, request: AnyRequest, error: ServiceError) -> Response[ErrorBody]:
        """An error that we know by name."""
        return self._answer(request, error, error.status, error_headers(error))

    def http_exception(self, request: AnyRequest, exception: HTTPException) -> Response[ErrorBody]:
        """Litestar's own: no such path, no such method, a host header that is none …"""
        where = f"{request.scope['method']} {request.scope['path']}"
        headers = dict(exception.headers or {})
        if exception.status_code == NotFound.status:
            return self._answer(request, NotFound(f"there is nothing at {where}"), NotFound.status, headers)
        if exception.status_code == MethodNotAllowed.status:
            allowed = headers.get("allow", "")
            error = MethodNotAllowed(f"{where}: this path takes {allowed}")
            return self._answer(request, error, error.status, headers)
        if exception.status_code < 500:
            return self._answer(request, InvalidRequest(exception.detail), exception.status_code, headers)
        return self.bug(request, exception)

    def client_gone(self, request: AnyRequest, _: ClientGone) -> Response[None]:
        """Nobody reads this; it closes the exchange."""
        exchange_of(request.scope).gone = True
        return Response(None, status_code=CLIENT_GONE)

    def bug(self, request: AnyRequest, exception: Exception) -> Response[ErrorBody]:
        """What nobody thought of."""
        error = internal_error(exception, exchange_of(request.scope).id)
        return self._answer(request, error, error.status, {})

    def _answer(
        self, request: AnyRequest, error: ServiceError, status: int, headers: dict[str, str]
    ) -> Response[ErrorBody]:
        self._access.count_error(error, request.scope)
        body = error_body(error)
        body.error.code = status
        return Response(body, status_code=status, headers=headers, media_type="application/json")
