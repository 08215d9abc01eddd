"""The one model, as OpenAI's, llama-server's and Ollama's clients look for it."""

from __future__ import annotations

from litestar import route
from litestar.di import NamedDependency
from litestar.params import FromPath

from service.api.context import Service
from service.api.describing import MODEL_ERRORS, READ
from service.api.schemas.info import ModelDetails, ModelEntry, ModelList, ModelMeta, OllamaModel
from service.errors import NotFound


@route(["/v1/models", "/models"], http_method=READ, summary="Models", tags=["Models"], responses=MODEL_ERRORS)
async def list_models(service: NamedDependency[Service]) -> ModelList:
    """The model that is served."""
    name = service.model_name
    entry = OllamaModel(
        name=name,
        model=name,
        tags=[""],
        capabilities=["completion"],
        details=ModelDetails(families=[""]),
    )
    return ModelList([entry], "list", [model_entry(service)])


@route(
    ["/v1/models/{name:path}", "/models/{name:path}"],
    http_method=READ,
    summary="A model",
    tags=["Models"],
    responses=MODEL_ERRORS,
)
async def find_model(name: FromPath[str], service: NamedDependency[Service]) -> ModelEntry:
    """The model by its id, an alias or its path; anything else is a 404."""
    known = (service.model_name, *service.settings.aliases, service.engine.model.info.path)
    if _plain(name) not in {_plain(one) for one in known}:
        raise NotFound(f"model {_plain(name)!r} is not served here", param="model")
    return model_entry(service)


def _plain(name: str) -> str:
    """A name as it survives in a URL: clients fold `./` and double slashes."""
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def model_entry(service: Service) -> ModelEntry:
    """What the model is like."""
    info = service.engine.model.info
    return ModelEntry(
        id=service.model_name,
        created=service.started,
        aliases=list(service.settings.aliases),
        tags=[],
        meta=ModelMeta(
            vocab_type=info.vocabulary_type,
            n_vocab=info.vocabulary,
            n_ctx=service.engine.limits.context,
            n_ctx_train=info.trained_context,
            n_embd=info.embedding,
            n_params=info.parameters,
            size=info.size,
            ftype=info.quantization,
        ),
    )
