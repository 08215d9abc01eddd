"""Is it well, does it live, would it take a request now?"""

from __future__ import annotations

from litestar import route
from litestar.di import NamedDependency

from service.api.auth import PUBLIC
from service.api.context import Service
from service.api.describing import MODEL_ERRORS, READ
from service.api.schemas.info import Health
from service.engine.interface import EngineState
from service.errors import Draining, EngineDead, EngineStuck

UNWELL = {503: MODEL_ERRORS[503]}


@route(
    ["/health", "/v1/health"],
    http_method=READ,
    opt={PUBLIC: True},
    summary="Health",
    tags=["Service"],
    responses=UNWELL,
)
async def health(service: NamedDependency[Service]) -> Health:
    """200 once the model is loaded; 503 with `progress` (0 to 1) before, and when the engine has died or is stuck. Never waits."""
    check_model(service)
    check_beat(service)
    return Health()


@route("/health/live", http_method=READ, opt={PUBLIC: True}, summary="Liveness", tags=["Service"], responses=UNWELL)
async def live(service: NamedDependency[Service]) -> Health:
    """200 while the engine's loop lives: also while it loads, drains, or computes a long step. 503: restart it."""
    check_beat(service)
    return Health()


@route("/health/ready", http_method=READ, opt={PUBLIC: True}, summary="Readiness", tags=["Service"], responses=UNWELL)
async def ready(service: NamedDependency[Service]) -> Health:
    """200 while a request would be served now: not loading, not going away, not dead, not stuck."""
    check_model(service)
    check_beat(service)
    if service.engine.state is EngineState.DRAINING:
        raise Draining("the service is shutting down", retry_after=1)
    return Health()


def check_model(service: Service) -> None:
    """Raises ModelLoading or EngineDead."""
    service.engine.model  # noqa: B018 - the property raises


def check_beat(service: Service) -> None:
    """Raises EngineDead or EngineStuck."""
    if service.engine.beating:
        return
    if service.engine.state in {EngineState.READY, EngineState.DRAINING}:
        raise EngineStuck("the engine is stuck: no step has ended for far too long; the service needs a restart")
    raise EngineDead("the engine has stopped; the service needs a restart")
