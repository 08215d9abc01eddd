"""The page at `/`."""

from __future__ import annotations

from html import escape

from litestar import MediaType, Response, route
from litestar.di import NamedDependency

from service import __version__
from service.api.auth import PUBLIC
from service.api.context import Service
from service.api.describing import READ

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>mistral-api</title>
<link rel="icon" href="data:,">
<style>body {{ font: 1.1rem/1.5 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem }}</style>
</head>
<body>
<h1>mistral-api</h1>
<p>This service answers over OpenAI's API, llama-server's, and <code>/infer</code> (version {version}).</p>
<p>Model: <code>{model}</code>, {state}.</p>
<ul>
<li><a href="docs">The API, to read and to try</a> (<a href="docs/openapi.json">OpenAPI</a>)</li>
<li><a href="v1/models">The model</a>, <a href="props">its settings</a></li>
<li><a href="health">Health</a>, <a href="metrics">metrics</a></li>
</ul>
</body>
</html>
"""


@route("/", http_method=READ, opt={PUBLIC: True}, media_type=MediaType.HTML, summary="Home page", tags=["Service"])
async def home(service: NamedDependency[Service]) -> Response[str]:
    """What this is, which model it serves, and where its API is described."""
    engine = service.engine
    name = service.settings.alias or str(service.settings.model or "none")
    return Response(PAGE.format(version=__version__, model=escape(name), state=escape(engine.state.value)))
