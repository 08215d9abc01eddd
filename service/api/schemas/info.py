"""What the service says of itself."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct, UnsetType


class Health(Struct):
    """All is well."""

    status: str = "ok"


class ModelMeta(Struct, kw_only=True):
    """What a model is like. `size` in bytes, `n_ctx` is the context of one request."""

    vocab_type: int
    n_vocab: int
    n_ctx: int
    n_ctx_train: int
    n_embd: int
    n_params: int
    size: int
    ftype: str


class ModelEntry(Struct, kw_only=True):
    """A model as OpenAI lists it, with llama-server's `meta`."""

    id: str
    object: str = "model"
    created: int
    owned_by: str = "llamacpp"
    aliases: list[str]
    tags: list[str]
    meta: ModelMeta


class ModelDetails(Struct, kw_only=True):
    """Ollama's details of a model; llama-server leaves all but the format empty."""

    parent_model: str = ""
    format: str = "gguf"
    family: str = ""
    families: list[str]
    parameter_size: str = ""
    quantization_level: str = ""


class OllamaModel(Struct, kw_only=True):
    """A model as Ollama's clients look for it."""

    name: str
    model: str
    modified_at: str = ""
    size: str = ""
    digest: str = ""
    type: str = "model"
    description: str = ""
    tags: list[str]
    capabilities: list[str]
    parameters: str = ""
    details: ModelDetails


class ModelList(Struct):
    """The one model, for two families of clients."""

    models: list[OllamaModel]
    object: str
    data: list[ModelEntry]


class NextToken(Struct):
    """llama-server's state of a fresh slot."""

    has_next_token: bool = True
    has_new_line: bool = False
    n_remain: int = -1
    n_decoded: int = 0
    stopping_word: str = ""


class DefaultGeneration(Struct, kw_only=True):
    """What a request gets that says nothing."""

    id: int = 0
    id_task: int = -1
    n_ctx: int
    speculative: bool = False
    is_processing: bool
    params: dict[str, Any]
    prompt: str = ""
    next_token: NextToken


class Modalities(Struct):
    """What the model reads beside text."""

    vision: bool = False
    video: bool = False
    audio: bool = False


class Props(Struct, kw_only=True):
    """The service and its model. What follows `cors_proxy_enabled` is ours; memory in bytes."""

    default_generation_settings: DefaultGeneration
    total_slots: int
    model_alias: str
    model_ftype: str
    model_path: str
    modalities: Modalities
    media_marker: str = ""
    endpoint_slots: bool = False
    endpoint_props: bool
    endpoint_metrics: bool = True
    ui: bool
    ui_settings: dict[str, Any] = {}
    chat_template: str
    chat_template_tool_use: str | UnsetType = UNSET
    chat_template_caps: dict[str, bool]
    bos_token: str
    eos_token: str
    build_info: str
    is_sleeping: bool = False
    cors_proxy_enabled: bool = False
    cpu_variant: str
    threads: int
    threads_batch: int
    gpu_layers: int
    memory: dict[str, int]
    queue_limit: int
    api_prefix: str
    state: str
    version: str


class PropsChanged(Struct):
    """What `POST /props` answers: there is nothing to change yet."""

    success: bool = True
