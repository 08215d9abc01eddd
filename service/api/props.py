"""What the service is set to."""

from __future__ import annotations

from litestar import post, route
from litestar.di import NamedDependency
from msgspec import UNSET, UnsetType

from service import __version__
from service.api.context import Service
from service.api.describing import MODEL_ERRORS, READ, SWITCHED_OFF
from service.api.generation_settings import generation_settings
from service.api.schemas.info import DefaultGeneration, Modalities, NextToken, Props, PropsChanged
from service.engine.requests import GenerationRequest
from service.errors import NotSupported


@route("/props", http_method=READ, summary="Properties", tags=["Service"], responses=MODEL_ERRORS)
async def props(service: NamedDependency[Service]) -> Props:
    """The model, its chat template, and what a request gets that says nothing. `memory` is in bytes."""
    engine, settings = service.engine, service.settings
    info, runtime = engine.model.info, engine.model.runtime
    return Props(
        default_generation_settings=_default_generation(service),
        total_slots=engine.limits.parallel,
        model_alias=service.model_name,
        model_ftype=info.quantization,
        model_path=info.path,
        modalities=Modalities(),
        endpoint_props=settings.props,
        ui=settings.ui,
        chat_template=service.template.source,
        chat_template_tool_use=_tool_template(service),
        chat_template_caps={"supports_system_role": service.template.takes_system},
        bos_token=info.bos_token,
        eos_token=info.eos_token,
        build_info=runtime.build,
        cpu_variant=runtime.cpu_variant,
        threads=runtime.threads,
        threads_batch=runtime.threads_batch,
        gpu_layers=runtime.gpu_layers,
        memory={"model": info.size, "anonymous": runtime.anonymous_bytes},
        queue_limit=engine.limits.queue,
        api_prefix=settings.api_prefix,
        state=engine.state.value,
        version=__version__,
    )


@post("/props", status_code=200, summary="Change properties", tags=["Service"], responses=MODEL_ERRORS | SWITCHED_OFF)
async def change_props(service: NamedDependency[Service]) -> PropsChanged:
    """Does nothing yet, as in llama-server; 501 without `--props`."""
    if not service.settings.props:
        raise NotSupported("This server does not support changing properties. Start it with `--props`")
    return PropsChanged()


def _tool_template(service: Service) -> str | UnsetType:
    """The model's second template, where it has one and `--chat-template` does not replace both."""
    return (not service.settings.chat_template and service.engine.model.info.tool_template) or UNSET


def _default_generation(service: Service) -> DefaultGeneration:
    request = GenerationRequest(
        id="", prompt=(), sampling=service.default_sampling, max_tokens=service.settings.n_predict
    )
    return DefaultGeneration(
        n_ctx=service.engine.limits.context,
        is_processing=service.engine.running > 0,
        params=generation_settings(request, stream=True),
        next_token=NextToken(),
    )
