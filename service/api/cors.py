"""Cross-origin requests by llama-server's four options."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from litestar.datastructures import MutableScopeHeaders
from litestar.types import Scope

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Cors:
    """`origins`: `*`, `localhost` (any port of this machine) or origins with commas between them.

    As llama-server does, the origin that asks is named in the answer where it may ask: with credentials browsers take no `*`.
    """

    origins: str
    methods: str
    headers: str
    credentials: bool

    def allows(self, origin: str) -> bool:
        """Whether a page from `origin` may read answers."""
        listed = [entry.strip() for entry in self.origins.split(",")]
        if "*" in listed or origin in listed:
            return True
        return "localhost" in listed and _host_of(origin) in LOCAL_HOSTS

    def add_to(self, headers: MutableScopeHeaders, scope: Scope) -> None:
        """Sets the headers of one answer."""
        origin = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"), "")
        if not origin or not self.allows(origin):
            return
        headers["access-control-allow-origin"] = origin
        headers["access-control-expose-headers"] = "x-request-id, retry-after"
        headers["access-control-allow-credentials"] = "true" if self.credentials else "false"
        headers["vary"] = "origin"
        if scope["method"] == "OPTIONS":  # type: ignore[typeddict-item]
            headers["access-control-allow-methods"] = self.methods
            headers["access-control-allow-headers"] = self._allowed_headers(scope)
            headers["access-control-max-age"] = "600"

    def _allowed_headers(self, scope: Scope) -> str:
        """With credentials `*` is a name like any other for browsers, so what was asked for is named."""
        if self.headers.strip() != "*":
            return self.headers
        asked = (
            value.decode("latin-1") for name, value in scope["headers"] if name == b"access-control-request-headers"
        )
        return next(asked, "*")


def _host_of(origin: str) -> str | None:
    try:
        return urlsplit(origin).hostname
    except ValueError:
        return None
