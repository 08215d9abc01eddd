"""The composition root: what is wired to what."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from litestar import Litestar
from litestar.di import Provide
from litestar.types import ControllerRouterHandler

from service.api.access import Access, ExchangeMiddleware
from service.api.auth import key_guard
from service.api.body import StrictRequest
from service.api.chat import chat_completions
from service.api.completions import completions, native_completion
from service.api.context import Service
from service.api.cors import Cors
from service.api.docs import openapi_config, static_router
from service.api.error_handlers import ErrorHandlers
from service.api.health import health, live, ready
from service.api.home import folder_routes, page_routes
from service.api.infer import infer
from service.api.metrics import metrics as metrics_page
from service.api.models import find_model, list_models
from service.api.props import change_props, props
from service.api.tokenize import apply_template, detokenize, tokenize
from service.chat.template import chosen_source
from service.engine.engine import Engine
from service.settings import Settings
from service.telemetry.metrics import Metrics

HANDLERS: tuple[ControllerRouterHandler, ...] = (
    infer, chat_completions, completions, native_completion, tokenize, detokenize, apply_template, list_models,
    find_model, props, change_props, health, live, ready, metrics_page,
)  # fmt: skip


def create_app(settings: Settings, engine: Engine, metrics: Metrics) -> Litestar:
    """The service over an engine, which starts and stops with it. Raises SettingError."""
    chosen_source(settings.chat_template)
    metrics.watch(engine)
    cors = Cors(settings.cors_origins, settings.cors_methods, settings.cors_headers, settings.cors_credentials)
    access = Access(metrics, cors)
    service = Service(settings, engine, metrics, access)

    async def provide_service() -> Service:
        return service

    return Litestar(
        path=settings.api_prefix or None,
        route_handlers=[*HANDLERS, static_router(), *_pages(settings)],
        dependencies={"service": Provide(provide_service)},
        guards=[key_guard(settings.api_key)] if settings.api_key else [],
        middleware=[ExchangeMiddleware(access)],
        before_send=[access.before_send],
        exception_handlers=ErrorHandlers(access).map(),
        lifespan=[_running(engine)],
        openapi_config=openapi_config(needs_key=bool(settings.api_key)),
        request_class=StrictRequest,
        request_max_body_size=settings.max_body_size,
        logging_config=None,  # Litestar would take the log away from telemetry/logs.py
        debug=False,
    )


def _pages(settings: Settings) -> list[ControllerRouterHandler]:
    """What stands at `/`: as in llama-server nothing with --no-ui, also where --path names a folder."""
    if not settings.ui:
        return []
    return folder_routes(settings.static_path) if settings.static_path else page_routes()


def _running(engine: Engine) -> Callable[[Litestar], AbstractAsyncContextManager[None]]:
    """The engine's life as Litestar's lifespan. The model loads behind an open port."""

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        engine.start()
        try:
            yield
        finally:
            await engine.stop()

    return lifespan
