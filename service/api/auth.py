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
        # Headers are read as Latin-1, so this gives the bytes that came; a key of the settings is meant in UTF-8.
        shown = sha256(shown_key(connection).encode("latin-1")).digest()
        if not any(compare_digest(shown, digest) for digest in digests):
            raise InvalidApiKey("Invalid API Key")

    return guard


def shown_key(connection: ASGIConnection) -> str:  # type: ignore[type-arg]
    """The key that a client shows, as Latin-1 text; empty where it shows none."""
    scheme, _, key = connection.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" and key.strip() else connection.headers.get("x-api-key", "")
