"""API keys: `Authorization: Bearer KEY` or `X-Api-Key: KEY`."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from hmac import compare_digest

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard

from service.errors import InvalidApiKey

PUBLIC = "public"
"""The key of a handler's `opt` that lets everybody in."""


def key_guard(keys: Sequence[str]) -> Guard:
    """A guard that lets in who shows one of `keys`. Its time tells nothing of a key: digests are compared, in constant time."""
    digests = [sha256(key.encode()).digest() for key in keys]

    def guard(connection: ASGIConnection, handler: BaseRouteHandler) -> None:  # type: ignore[type-arg]
        if handler.opt.get(PUBLIC) or connection.scope["method"] == "OPTIONS":  # type: ignore[typeddict-item]
            return
        shown = sha256(_shown_key(connection).encode("utf-8", "surrogateescape")).digest()
        if not any(compare_digest(shown, digest) for digest in digests):
            raise InvalidApiKey("Invalid API Key")

    return guard


def _shown_key(connection: ASGIConnection) -> str:  # type: ignore[type-arg]
    scheme, _, key = connection.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" and key.strip() else connection.headers.get("x-api-key", "")
