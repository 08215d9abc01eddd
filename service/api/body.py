"""Request bodies: read up to a limit, decoded strictly, and every mistake named by its field.

Litestar would take "5" and true for numbers. `StrictRequest` decodes into the type of the handler's `data` itself; Litestar
passes a value that has this type already.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar, get_args

import msgspec
from litestar import Request

from service.api.disconnect import ClientGone
from service.api.schemas.chat import Role
from service.errors import BodyTooLarge, InvalidRequest

T = TypeVar("T")

PATH = re.compile(r" - at `\$\.?(.*)`$")
STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")
MISSING = re.compile(r"^Object missing required field `(\w+)`")
ROLES = ", ".join(get_args(Role))
"""The only words that a type here enumerates."""
SHOWN_VALUE = 40
"""Longer values are not repeated in an error."""


class StrictRequest(Request[Any, Any, Any]):
    """A request whose JSON body is checked against the handler's own type."""

    async def body(self) -> bytes:
        """The whole body. Raises BodyTooLarge, InvalidRequest (nothing in it) and ClientGone."""
        if isinstance(self._body, bytes):
            return self._body
        limit = self.route_handler.resolve_request_max_body_size()
        announced = self.headers.get("content-length", "")
        if limit is not None and announced.isdecimal() and int(announced) > limit:
            raise BodyTooLarge(f"the body has {announced} bytes; no more than {limit} are taken")
        self._body = await self._read(limit)
        return self._body

    async def _read(self, limit: int | None) -> bytes:
        read = bytearray()
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            read += message.get("body", b"")  # type: ignore[arg-type]
            if limit is not None and len(read) > limit:
                raise BodyTooLarge(f"the body has more than {limit} bytes")
            if not message.get("more_body", False):
                break
        if not read:
            raise InvalidRequest("the body is empty; a JSON object is expected")
        return bytes(read)

    async def json(self) -> Any:  # noqa: ANN401 - as Litestar has it
        """The body as the type of the handler's `data`."""
        return decode(await self.body(), self.route_handler.parsed_fn_signature.parameters["data"].annotation)


def decode(body: bytes, expected: type[T]) -> T:
    """JSON to a value of `expected`. Raises InvalidRequest that names the field, what it takes and what came."""
    try:
        return msgspec.json.decode(body, type=expected)
    except msgspec.ValidationError as error:
        return _decode_again(body, expected, error)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}") from error
    except RecursionError as error:
        raise InvalidRequest("the body is nested too deeply") from error


def _decode_again(body: bytes, expected: type[T], error: msgspec.ValidationError) -> T:
    """5.0 is a whole number too. If that was not it, the error is told."""
    try:
        raw = _whole_floats_as_integers(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _describe(str(error), None) from error
    try:
        return msgspec.convert(raw, expected)
    except msgspec.ValidationError as second:
        raise _describe(str(second), raw) from second


def _whole_floats_as_integers(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole_floats_as_integers(item) for item in value]
    if isinstance(value, dict):
        return {key: _whole_floats_as_integers(item) for key, item in value.items()}
    return value


def _describe(text: str, raw: object) -> InvalidRequest:
    """msgspec's words as ours: the field first, then what is expected and what came."""
    found = PATH.search(text)
    field = found.group(1) if found else ""
    reason = PATH.sub("", text)
    if missing := MISSING.match(reason):
        name = missing.group(1)
        field = f"{field}.{name}" if field else name
        return InvalidRequest(f"'{field}' is required", param=field)
    reason = reason.replace(" | null", "").replace("`", "")
    if reason.startswith("Invalid enum value"):
        return InvalidRequest(f"{field}: {reason[:1].lower()}{reason[1:]}, expected one of {ROLES}", param=field)
    field = field.partition("[...]")[0]
    came = _value_at(raw, field)
    if isinstance(came, (bool, int, float)) or (isinstance(came, str) and len(came) <= SHOWN_VALUE):
        reason = f"{reason.partition(', got ')[0]}, got {msgspec.json.encode(came).decode()}"
    reason = reason[:1].lower() + reason[1:]
    return InvalidRequest(f"{field}: {reason}" if field else f"the body: {reason}", param=field or None)


def _value_at(raw: object, field: str) -> object:
    value = raw
    for key, index in STEP.findall(field):
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and index and int(index) < len(value):
            value = value[int(index)]
        else:
            return None
    return value
