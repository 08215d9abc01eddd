"""The API's description: OpenAPI at `/docs/openapi.json`, shown at `/docs` with a script that is served from here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from litestar import Request, Response, Router
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin
from litestar.openapi.spec import Components, Reference, SecurityScheme
from litestar.static_files import create_static_files_router

from service import __version__
from service.api.auth import PUBLIC
from service.errors import NotFound

STATIC = Path(__file__).parent.parent / "static"

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>mistral-api: the API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{up}static/swagger-ui/swagger-ui.css">
</head>
<body>
<div id="description"></div>
<script src="{up}static/swagger-ui/swagger-ui-bundle.js"></script>
<script>
const base = location.pathname.replace(/\\/docs\\/?$/, "");
SwaggerUIBundle({
  url: base + "/docs/openapi.json",
  dom_id: "#description",
  deepLinking: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
});
</script>
</body>
</html>
"""


class DocsPage(OpenAPIRenderPlugin):
    """Swagger UI without anything from elsewhere."""

    def __init__(self) -> None:
        super().__init__(path="/")

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:  # noqa: ARG002
        """The page; it fetches the description itself. Its links are relative: a proxy may show it under a prefix."""
        up = "../" if request.scope["raw_path"].endswith(b"/") else ""
        return PAGE.replace("{up}", up).encode()


class Description(JsonRenderPlugin):
    """OpenAPI as JSON. HEAD is left out: it stands beside every GET and needs no words."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The description."""
        paths = {
            path: {method: operation for method, operation in item.items() if method != "head"}
            for path, item in openapi_schema["paths"].items()
        }
        return super().render(request, {**openapi_schema, "paths": paths})


async def _in_our_words(response: Response[Any]) -> Response[Any]:
    """Litestar answers for what is not below /docs with a page of its own."""
    if response.status_code == 404:
        raise NotFound("there is no such page of the description")
    return response


def openapi_config(*, needs_key: bool) -> OpenAPIConfig:
    """Litestar's configuration; the pages are open to everybody, as they tell nothing of the model."""
    schemes: dict[str, SecurityScheme | Reference] = {
        "key": SecurityScheme(type="http", scheme="bearer", description="One of `--api-key`.")
    }
    return OpenAPIConfig(
        title="mistral-api",
        version=__version__,
        description=(
            "One GGUF model over OpenAI's API, llama-server's, and `/infer`. `null` is as good as absent, unknown fields are "
            "ignored, and a field that is known but not served yet is refused by name."
        ),
        path="/docs",
        openapi_router=Router(
            "/docs", route_handlers=[], include_in_schema=False, opt={PUBLIC: True}, after_request=_in_our_words
        ),
        render_plugins=[DocsPage(), Description()],
        components=Components(security_schemes=schemes if needs_key else None),
        security=[{"key": []}] if needs_key else None,
        use_handler_docstrings=True,
    )


def static_router() -> Router:
    """Files that pages need."""
    return create_static_files_router(
        path="/static",
        directories=[STATIC],
        opt={PUBLIC: True},
        include_in_schema=False,
        cache_control=None,
    )
