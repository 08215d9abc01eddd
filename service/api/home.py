"""The web page at `/` and its files, built from `ui/` into `service/static/ui`.

A file lies there as it is, and beside it as `.gz` and `.br`. Names in `assets/` hold a hash of the content, so browsers keep them for good;
the page itself is asked for each time and answered with 304 while it is the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from mimetypes import guess_type
from pathlib import Path
from typing import Any

from litestar import Request, Response, route
from litestar.enums import HttpMethod
from litestar.params import FromPath
from litestar.static_files import create_static_files_router
from litestar.types import ControllerRouterHandler

from service.api.auth import PUBLIC
from service.api.describing import READ
from service.errors import NotFound

BUILT = Path(__file__).parent.parent / "static" / "ui"
SUFFIXES = {"br": ".br", "gzip": ".gz"}
"""Content codings, the better one first."""
REVALIDATE = "no-cache"
IMMUTABLE = "public, max-age=31536000, immutable"
FORWARDED_PREFIX = re.compile(r"(?:/[\w.~-]+)+/?", re.ASCII)
"""What `X-Forwarded-Prefix` may hold; `//other.host` would be another place."""
WRITE = (HttpMethod.POST, HttpMethod.PUT, HttpMethod.PATCH, HttpMethod.DELETE)

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "base-uri 'self'",
        "form-action 'none'",
        "frame-ancestors 'self'",
        "require-trusted-types-for 'script'",
        "trusted-types dompurify",
    )
)
"""Only our own files run, and only text that DOMPurify has cleaned becomes HTML (ui/src/markdown.ts). `base-uri` is for `_based`."""

PAGE_HEADERS = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "x-dns-prefetch-control": "off",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
VARY = {"vary": "accept-encoding, x-forwarded-prefix"}


@dataclass
class BuiltFile:
    """One built file in all its codings, read when it is first asked for."""

    path: Path
    cache_control: str
    headers: dict[str, str] = field(default_factory=dict)

    @cached_property
    def bodies(self) -> dict[str, bytes]:
        """The content by its coding; `""` is the plain one."""
        coded = {coding: self.path.with_name(self.path.name + suffix) for coding, suffix in SUFFIXES.items()}
        found = {coding: path.read_bytes() for coding, path in coded.items() if path.is_file()}
        return found | {"": self.path.read_bytes()}

    @cached_property
    def digest(self) -> str:
        return sha256(self.bodies[""]).hexdigest()[:24]

    def answer(self, request: Request[Any, Any, Any]) -> Response[bytes | None]:
        """The file in the best coding that the browser takes, or 304."""
        coding = _coding(request.headers.get("accept-encoding", ""), self.bodies)
        etag = f'"{self.digest}{"-" + coding if coding else ""}"'
        headers = {
            "cache-control": self.cache_control,
            "etag": etag,
            "vary": "accept-encoding",
            "x-content-type-options": "nosniff",
        } | self.headers
        if etag in [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]:
            return Response(None, status_code=304, headers=headers)
        if coding:
            headers["content-encoding"] = coding
        return Response(self.bodies[coding], headers=headers, media_type=_media_type(self.path))


def _coding(accepted: str, there: dict[str, bytes]) -> str:
    """The first of our codings that is accepted (RFC 9110, 12.5.3; `q=0` refuses one)."""
    wanted = set()
    for entry in accepted.split(","):
        coding, _, weight = entry.partition(";")
        if weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            wanted.add(coding.strip().lower())
    return next((coding for coding in SUFFIXES if coding in there and coding in wanted), "")


def _media_type(path: Path) -> str:
    """Scripts by their own name: what `mimetypes` says of them depends on the machine. Litestar adds the charset."""
    return "text/javascript" if path.suffix == ".js" else guess_type(path.name)[0] or "application/octet-stream"


def _forwarded_prefix(request: Request[Any, Any, Any]) -> str:
    """The beginning of the path that a proxy took away, if it says so: Traefik does, ingress-nginx when told to."""
    told = request.headers.get("x-forwarded-prefix", "")
    return told.rstrip("/") if FORWARDED_PREFIX.fullmatch(told) else ""


def _based(page: BuiltFile, base: str) -> Response[bytes | None]:
    """The page with its place told. Who strips a prefix sends `/` for `/prefix` as well, whose relative links would miss it."""
    body = page.bodies[""].replace(b"<head>", b'<head>\n    <base href="%s" />' % base.encode(), 1)
    headers = {"cache-control": page.cache_control, "x-content-type-options": "nosniff"} | page.headers
    return Response(body, headers=headers, media_type=_media_type(page.path))


def page_routes(folder: Path = BUILT) -> list[ControllerRouterHandler]:
    """Our web page: `/` and `/assets/…`."""
    page = BuiltFile(folder / "index.html", REVALIDATE, PAGE_HEADERS | VARY)
    assets = {
        path.name: BuiltFile(path, IMMUTABLE)
        for path in sorted((folder / "assets").iterdir())
        if path.suffix not in SUFFIXES.values()
    }

    @route("/", http_method=READ, opt={PUBLIC: True}, include_in_schema=False)
    async def home(request: Request[Any, Any, Any]) -> Response[bytes | None]:
        """The page. Its links are relative, so its own path has to end with a slash; a proxy may have cut its beginning off."""
        path = str(request.scope["raw_path"].decode("ascii", "replace"))
        if not path.endswith("/"):
            return Response(None, status_code=308, headers={"location": f"./{path.rpartition('/')[2]}/"})
        prefix = _forwarded_prefix(request)
        return _based(page, prefix + path) if prefix else page.answer(request)

    @route("/assets/{name:str}", http_method=READ, opt={PUBLIC: True}, include_in_schema=False)
    async def asset(name: FromPath[str], request: Request[Any, Any, Any]) -> Response[bytes | None]:
        """A file of the page."""
        if name not in assets:
            raise NotFound(f"there is nothing at {request.scope['method']} {request.scope['path']}")
        return assets[name].answer(request)

    return [home, asset]


def folder_routes(folder: Path) -> list[ControllerRouterHandler]:
    """A folder of the operator's instead of our page; `index.html` answers for folders."""
    files = create_static_files_router(
        path="/", directories=[folder], opt={PUBLIC: True}, include_in_schema=False, html_mode=True, cache_control=None
    )
    return [files, _no_endpoint]


@route("/{_rest:path}", http_method=WRITE, opt={PUBLIC: True}, include_in_schema=False)
async def _no_endpoint(request: Request[Any, Any, Any]) -> None:
    """The folder's files stand at every path: without this an unknown endpoint would be one that only takes GET."""
    raise NotFound(f"there is nothing at {request.scope['method']} {request.scope['path']}")
