"""What OpenAPI's description needs beside the types: errors that every endpoint may answer, streams, examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from litestar.enums import HttpMethod
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example, OpenAPIMediaType, OpenAPIResponse, Operation, RequestBody

from service.api.schemas.answers import ErrorBody
from service.api.sse import MEDIA_TYPE

JSON = "application/json"
READ = (HttpMethod.GET, HttpMethod.HEAD)
"""Methods of what is only read."""


def _error(description: str) -> ResponseSpec:
    return ResponseSpec(ErrorBody, description=description, generate_examples=False)


KEY_ERRORS = {401: _error("No key, or one that is not known.")}
MODEL_ERRORS = KEY_ERRORS | {503: _error("The model is loading, the service is going away, or its engine has stopped.")}
BODY_ERRORS = MODEL_ERRORS | {
    400: _error("A field is wrong, or not served; `param` names it."),
    413: _error("The body is too large."),
}
GENERATION_ERRORS = BODY_ERRORS | {
    429: _error("Too many requests wait; `retry-after` says when to come back."),
    500: _error("The model could not compute this request."),
}
SWITCHED_OFF = {501: _error("Not switched on.")}


def answer(body: type[Any], description: str) -> ResponseSpec:
    """A good answer."""
    return ResponseSpec(body, description=description, generate_examples=False)


@dataclass
class ExampleOperation(Operation):
    """An operation whose body has an example, and whose answer may come as events."""

    example: ClassVar[Any] = None
    streams: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if isinstance(self.request_body, RequestBody) and self.example is not None:
            self.request_body.content[JSON].examples = {"sample": Example(value=self.example)}
        good = (self.responses or {}).get("200")
        if self.streams and isinstance(good, OpenAPIResponse) and good.content is not None:
            good.content[MEDIA_TYPE] = OpenAPIMediaType()


def sample(example: Mapping[str, Any], *, streams: bool = False) -> type[Operation]:
    """An operation class with this example of a body; `streams`: `stream: true` answers events."""
    return type("SampleOperation", (ExampleOperation,), {"example": dict(example), "streams": streams})
