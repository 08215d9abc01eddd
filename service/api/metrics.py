"""Figures for Prometheus."""

from __future__ import annotations

from litestar import Response, route
from litestar.di import NamedDependency

from service.api.context import Service
from service.api.describing import KEY_ERRORS, READ


@route("/metrics", http_method=READ, summary="Metrics", tags=["Service"], responses=KEY_ERRORS, media_type="text/plain")
async def metrics(service: NamedDependency[Service]) -> Response[bytes]:
    """Prometheus' text format: ours with the prefix `mistral_api_`, and llama-server's names. Never waits for the engine."""
    text, content_type = service.metrics.render()
    headers = {"content-type": content_type, "process-start-time-unix": str(service.started)}
    return Response(text, headers=headers)
