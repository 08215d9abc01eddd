"""On which terms a request is served: how urgent, until when, and with whom it shares the cache."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from hashlib import sha256
from hmac import compare_digest
from typing import Any

from litestar import Request

from service.api.auth import shown_key
from service.api.order import Order
from service.errors import InvalidRequest
from service.settings import Settings

TIMEOUT_HEADER = "x-request-timeout"
LONGEST_TIMEOUT = 7 * 24 * 3600.0
"""Seconds; more is a mistake."""


def under_terms(order: Order, request: Request[Any, Any, Any], settings: Settings) -> Order:
    """The order with what its headers and its key add. Raises InvalidRequest.

    The shortest of body, header and setting is the deadline. A key's own priority is the best that its requests get. With
    `--cache-isolation key` only requests of one key share beginnings; a `cache_salt` divides them further.
    """
    key = shown_key(request)
    header = _seconds(request.headers.get(TIMEOUT_HEADER))
    requests = []
    for one in order.requests:
        limits = [seconds for seconds in (one.deadline, header, settings.request_timeout) if seconds]
        requests.append(
            replace(
                one,
                deadline=min(limits, default=0.0),
                priority=max(one.priority, _best_priority(key, settings)),
                salt=_isolated(one.salt, key) if settings.cache_isolation == "key" else one.salt,
            )
        )
    return replace(order, requests=tuple(requests))


def _isolated(salt: str, key: str) -> str:
    """A key's own part of the cache. Keys stay out of memory dumps of the cache's books."""
    return f"{sha256(key.encode('latin-1')).hexdigest()}/{salt}"


def _best_priority(key: str, settings: Settings) -> int:
    """The priority of a key; one without any does not bound its requests."""
    shown = key.encode("latin-1")
    return next((best for one, best in settings.key_priorities if compare_digest(one.encode(), shown)), -sys.maxsize)


def _seconds(header: str | None) -> float:
    """0 where the header is absent."""
    if header is None:
        return 0.0
    try:
        seconds = float(header)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= LONGEST_TIMEOUT:
        raise InvalidRequest(
            f"{TIMEOUT_HEADER}: {header[:40]!r} is not a number of seconds, more than 0 and up to {LONGEST_TIMEOUT:.0f}",
            param=TIMEOUT_HEADER,
        )
    return seconds
