"""Every setting, declared once: its field, its default, its names, its variable, what it takes and what it means.

A variable is llama-server's where it has one for the setting, else `MISTRAL_API_` and the long name. (None of ours begins with
`MISTRAL_API_PORT` or `MISTRAL_API_SERVICE`: Kubernetes sets those itself for a Service of that name.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from service.settings.completing import completed
from service.settings.kinds import (
    CACHE_TYPE,
    FOLDER,
    GPU_LAYERS,
    JSONL,
    LOAD_MODE,
    LOG_LEVEL,
    PARALLEL,
    PREFIX,
    ROPE_SCALE,
    SECONDS,
    SHARES,
    SPLIT_MODE,
    VERBOSITY,
)
from service.settings.option import Option, declared_options, option, spelled
from service.settings.reading import read
from service.settings.sampling import SamplingDefaults
from service.settings.values import (
    FLAG,
    TEXT,
    choice,
    constant_flag,
    number,
    path,
    path_as_written,
    switch_or_auto,
    text,
    whole,
    words,
)

MODEL, RUN, LENGTH, BATCHING = "Model", "How it runs", "Context beyond the training", "Batching"
HTTP, ACCESS, LOG, COMMAND = "HTTP", "Access", "Log", "This command"

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings, read once. `notes` are lines for the log: what was given and changes nothing."""

    model: str | None = option(
        None, MODEL, "The GGUF file to serve.",
        spelled("-m --model", "LLAMA_ARG_MODEL", path_as_written("the path of a GGUF file")),
    )  # fmt: skip
    aliases: tuple[str, ...] = option(
        (), MODEL, "Names of the model in the API, with commas; the first stands in answers.",
        spelled("-a --alias", "LLAMA_ARG_ALIAS", words("names with commas between them", "NAMES")),
        shown_default="the model's path",
    )  # fmt: skip
    chat_template: str = option(
        "", MODEL, "A Jinja template for chats, or the name of a common one, such as `chatml`.",
        spelled("--chat-template", "LLAMA_ARG_CHAT_TEMPLATE", TEXT),
        shown_default="the model's own",
    )  # fmt: skip
    chat_template_file: Path | None = option(
        None, MODEL, "A file with the Jinja template for chats.",
        spelled("--chat-template-file", "LLAMA_ARG_CHAT_TEMPLATE_FILE", path("the path of a Jinja template")),
    )  # fmt: skip
    ctx_size: int = option(
        0, MODEL, "Tokens in the context. 0 takes the trained length, but no more than fits into memory.",
        spelled("-c --ctx-size", "LLAMA_ARG_CTX_SIZE", whole(0)),
    )  # fmt: skip
    load_mode: str = option(
        "auto", MODEL, "How the file is read: mapped, locked in memory, both or neither. auto maps.",
        spelled("-lm --load-mode", "LLAMA_ARG_LOAD_MODE", LOAD_MODE),
    )  # fmt: skip
    mmap: bool = option(True, MODEL, "Map the file.", spelled("--mmap !--no-mmap", "LLAMA_ARG_MMAP", FLAG))
    mlock: bool = option(
        False, MODEL, "Lock the model in memory.", spelled("--mlock", "LLAMA_ARG_MLOCK", FLAG),
    )  # fmt: skip
    warmup: bool = option(
        True, MODEL, "Compute once before the first request.",
        spelled("--warmup !--no-warmup", "MISTRAL_API_WARMUP", FLAG),
    )  # fmt: skip

    threads: int = option(
        -1, RUN, "Threads for generation. -1: the CPUs this process may use.",
        spelled("-t --threads", "LLAMA_ARG_THREADS", whole(-1)),
    )  # fmt: skip
    cpu_limit: int = option(
        0, RUN, "Thousandths of a CPU that this process may use, as Kubernetes' Downward API says them. 0: only what the system says.",
        spelled("--cpu-limit", "MISTRAL_API_CPU_LIMIT", whole(0)),
    )  # fmt: skip
    threads_batch: int = option(
        -1, RUN, "Threads for prompts. -1: as many as --threads.",
        spelled("-tb --threads-batch", "MISTRAL_API_THREADS_BATCH", whole(-1)),
    )  # fmt: skip
    cpu_variant: str = option(
        "", RUN, "The CPU kernels, such as haswell, instead of the best that pass a trial.",
        spelled("--cpu-variant", "MISTRAL_API_CPU_VARIANT", TEXT), shown_default="the best that passes",
    )  # fmt: skip
    cpu_variants_dir: Path | None = option(
        None, RUN, "The folder of the CPU kernels' libraries.",
        spelled("--cpu-variants-dir", "MISTRAL_API_CPU_VARIANTS_DIR", path("a folder", "FOLDER")),
        shown_default="llama-cpp-python's",
    )  # fmt: skip
    n_gpu_layers: int = option(
        -1, RUN, "Layers on GPUs, where llama.cpp was built for one. auto: all that fit beside 4,096 tokens, or --ctx-size.",
        spelled("-ngl --gpu-layers --n-gpu-layers", "LLAMA_ARG_N_GPU_LAYERS", GPU_LAYERS), shown_default="auto",
    )  # fmt: skip
    device: tuple[str, ...] = option(
        (), RUN, "The GPUs to use, such as CUDA0,CUDA1, or none.",
        spelled("-dev --device", "LLAMA_ARG_DEVICE", words("names with commas between them, or none", "DEVICES")), shown_default="all",
    )  # fmt: skip
    split_mode: str = option(
        "layer", RUN, "How the model is split over several GPUs; none: the one that --main-gpu names takes all of it.",
        spelled("-sm --split-mode", "LLAMA_ARG_SPLIT_MODE", SPLIT_MODE),
    )  # fmt: skip
    main_gpu: int = option(
        0, RUN, "A GPU by its number, from 0.", spelled("-mg --main-gpu", "LLAMA_ARG_MAIN_GPU", whole(0))
    )
    tensor_split: tuple[float, ...] = option(
        (), RUN, "Each GPU's share of the model.",
        spelled("-ts --tensor-split", "LLAMA_ARG_TENSOR_SPLIT", SHARES), shown_default="by free memory",
    )  # fmt: skip
    kv_offload: bool = option(
        True, RUN, "The cache lies on the GPUs too.",
        spelled("-kvo --kv-offload !-nkvo !--no-kv-offload", "LLAMA_ARG_KV_OFFLOAD", FLAG),
    )  # fmt: skip
    flash_attn: str = option(
        "auto", RUN, "Flash attention. Without it a text may turn on what runs beside it.",
        spelled("-fa --flash-attn", "LLAMA_ARG_FLASH_ATTN", switch_or_auto()),
    )  # fmt: skip
    cache_type_k: str = option(
        "f16", RUN, "Type of the keys in the cache.", spelled("-ctk --cache-type-k", "LLAMA_ARG_CACHE_TYPE_K", CACHE_TYPE),
    )  # fmt: skip
    cache_type_v: str = option(
        "f16", RUN, "Type of the values in the cache; a quantized one needs flash attention.",
        spelled("-ctv --cache-type-v", "LLAMA_ARG_CACHE_TYPE_V", CACHE_TYPE),
    )  # fmt: skip

    rope_scaling: str = option(
        "", LENGTH, "How RoPE's frequencies are scaled.",
        spelled("--rope-scaling", "LLAMA_ARG_ROPE_SCALING_TYPE", choice("none", "linear", "yarn")),
        shown_default="as the model says",
    )  # fmt: skip
    rope_freq_base: float = option(
        0.0, LENGTH, "RoPE's base frequency.", spelled("--rope-freq-base", "LLAMA_ARG_ROPE_FREQ_BASE", number(0)),
        shown_default="as the model says",
    )  # fmt: skip
    rope_freq_scale: float = option(
        0.0, LENGTH, "Factor of RoPE's frequencies; `--rope-scale N` is the same as 1/N.",
        spelled("--rope-freq-scale", "LLAMA_ARG_ROPE_FREQ_SCALE", number(0)),
        spelled("--rope-scale", "LLAMA_ARG_ROPE_SCALE", ROPE_SCALE), shown_default="as the model says",
    )  # fmt: skip
    yarn_orig_ctx: int = option(
        0, LENGTH, "YaRN: the length the model was trained at.",
        spelled("--yarn-orig-ctx", "LLAMA_ARG_YARN_ORIG_CTX", whole(0)), shown_default="as the model says",
    )  # fmt: skip
    yarn_ext_factor: float = option(
        -1.0, LENGTH, "YaRN: share of extrapolation; 0 interpolates only.",
        spelled("--yarn-ext-factor", "LLAMA_ARG_YARN_EXT_FACTOR", number()), shown_default="as the model says",
    )  # fmt: skip
    yarn_attn_factor: float = option(
        -1.0, LENGTH, "YaRN: scale of the attention.",
        spelled("--yarn-attn-factor", "LLAMA_ARG_YARN_ATTN_FACTOR", number()), shown_default="as the model says",
    )  # fmt: skip
    yarn_beta_slow: float = option(
        -1.0, LENGTH, "YaRN: the high correction dimension.",
        spelled("--yarn-beta-slow", "LLAMA_ARG_YARN_BETA_SLOW", number()), shown_default="as the model says",
    )  # fmt: skip
    yarn_beta_fast: float = option(
        -1.0, LENGTH, "YaRN: the low correction dimension.",
        spelled("--yarn-beta-fast", "LLAMA_ARG_YARN_BETA_FAST", number()), shown_default="as the model says",
    )  # fmt: skip

    parallel: int = option(
        -1, BATCHING, "Requests that run at once. -1: 8, each with the whole context; N: each with 1/N of it.",
        spelled("-np --parallel", "LLAMA_ARG_N_PARALLEL", PARALLEL),
    )  # fmt: skip
    kv_unified: bool | None = option(
        None, BATCHING, "Each request may use the whole context, also with --parallel N.",
        spelled("-kvu --kv-unified !-no-kvu !--no-kv-unified", "LLAMA_ARG_KV_UNIFIED", FLAG),
        shown_default="on without --parallel",
    )  # fmt: skip
    batch_size: int = option(
        2048, BATCHING, "The most tokens of one step.", spelled("-b --batch-size", "LLAMA_ARG_BATCH", whole(1)),
    )  # fmt: skip
    ubatch_size: int = option(
        512, BATCHING, "Tokens that llama.cpp computes at once; 0 and more than a step has are --batch-size.",
        spelled("-ub --ubatch-size", "LLAMA_ARG_UBATCH", whole(0)),
    )  # fmt: skip
    token_gap_ms: int = option(
        350, BATCHING, "The longest pause, in ms, that a running text should see while prompts of others are computed.",
        spelled("--token-gap-ms", "MISTRAL_API_TOKEN_GAP_MS", whole(1)),
    )  # fmt: skip
    queue_limit: int = option(
        256, BATCHING, "Requests that may wait; more are sent away with 429.",
        spelled("--queue-limit", "MISTRAL_API_QUEUE_LIMIT", whole(0)),
    )  # fmt: skip
    queue_tokens: int = option(
        0, BATCHING, "Prompt tokens that may wait in all; more are sent away with 429. 0: as many as fill the cache four times.",
        spelled("--queue-tokens", "MISTRAL_API_QUEUE_TOKENS", whole(0)),
    )  # fmt: skip
    request_timeout: float = option(
        0.0, BATCHING, "The most seconds until a request fails with 504, waiting included; it may ask for fewer. 0: no bound.",
        spelled("--request-timeout", "MISTRAL_API_REQUEST_TIMEOUT", SECONDS),
    )  # fmt: skip
    cache_ram: int | None = option(
        None, BATCHING,
        "MiB of memory for beginnings of prompts that had to leave the cache, where copying beats computing; 0: none, -1: no bound.",
        spelled("-cram --cache-ram", "LLAMA_ARG_CACHE_RAM", whole(-1)),
        shown_default="8192, but no more than a quarter of what is free; 0 where the cache lies on a GPU",
    )  # fmt: skip
    cache_isolation: str = option(
        "none", BATCHING, "Who may share the beginnings of prompts in the cache: all (none), or the requests of one API key (key).",
        spelled("--cache-isolation", "MISTRAL_API_CACHE_ISOLATION", choice("none", "key")),
    )  # fmt: skip
    n_predict: int = option(
        -1, BATCHING, "The most tokens of an answer where the request does not say. -1: no bound but the context.",
        spelled("-n --predict --n-predict", "LLAMA_ARG_N_PREDICT", whole(-1)),
    )  # fmt: skip
    cache_prompt: bool = option(
        True, BATCHING, "Take the beginning of a prompt from earlier requests, where the request does not say.",
        spelled("--cache-prompt !--no-cache-prompt", "LLAMA_ARG_CACHE_PROMPT", FLAG),
    )  # fmt: skip

    host: str = option(
        "127.0.0.1", HTTP, "Addresses to listen on, with commas; one that ends in .sock is a Unix socket.",
        spelled("--host", "LLAMA_ARG_HOST", text("an address of this machine", "HOST")),
    )  # fmt: skip
    port: int = option(
        8000, HTTP, "The port; 0 takes a free one.",
        spelled("--port", "LLAMA_ARG_PORT", whole(0, 65535, "PORT")),
    )  # fmt: skip
    reuse_port: bool = option(
        False, HTTP, "Share the port with other processes.", spelled("--reuse-port", "LLAMA_ARG_REUSE_PORT", FLAG),
    )  # fmt: skip
    timeout: int = option(
        3600, HTTP, "Seconds until an idle connection is closed.", spelled("-to --timeout", "LLAMA_ARG_TIMEOUT", whole(0)),
    )  # fmt: skip
    sse_ping_interval: int = option(
        15, HTTP, "Seconds without an event until a stream sends a comment; -1 never does.",
        spelled("--sse-ping-interval", "LLAMA_ARG_SSE_PING_INTERVAL", whole(-1)),
    )  # fmt: skip
    max_body_size: int = option(
        10 * MEBIBYTE, HTTP, "The most bytes of a request's body; more is a 413.",
        spelled("--max-body-size", "MISTRAL_API_MAX_BODY_SIZE", whole(1, placeholder="BYTES")),
    )  # fmt: skip
    drain_delay: float = option(
        5.0, HTTP, "Seconds after a signal to end in which the port stays open and the service says it is not ready.",
        spelled("--drain-delay", "MISTRAL_API_DRAIN_DELAY", SECONDS),
    )  # fmt: skip
    drain_timeout: float = option(
        30.0, HTTP, "Seconds after that in which running requests may finish.",
        spelled("--drain-timeout", "MISTRAL_API_DRAIN_TIMEOUT", SECONDS),
    )  # fmt: skip

    ui: bool = option(
        True, HTTP, "Serve the web page at `/`.", spelled("--ui --webui !--no-ui !--no-webui", "LLAMA_ARG_UI", FLAG),
    )  # fmt: skip
    static_path: Path | None = option(
        None, HTTP, "A folder to serve at `/` instead of our web page.",
        spelled("--path", "LLAMA_ARG_STATIC_PATH", FOLDER), shown_default="our page",
    )  # fmt: skip
    api_prefix: str = option(
        "", HTTP, "The path under which everything is served, such as `/llm`.",
        spelled("--api-prefix", "LLAMA_ARG_API_PREFIX", PREFIX),
    )  # fmt: skip

    api_key: tuple[str, ...] = option(
        (), ACCESS, "Keys that clients must show, with commas.",
        spelled("--api-key", "LLAMA_API_KEY", words("at least one key", "KEYS")), repeats=True, secret=True,
    )  # fmt: skip
    api_key_file: Path | None = option(
        None, ACCESS, "A file of keys, one a line; `priority=N` behind a key is the best that its requests get. # begins a comment.",
        spelled("--api-key-file", "LLAMA_ARG_API_KEY_FILE", path("the path of a file of keys")),
    )  # fmt: skip
    cors_origins: str = option(
        "*", ACCESS, "Origins that browsers may call from, with commas; `localhost` is any port of this machine.",
        spelled("--cors-origins", "LLAMA_ARG_CORS_ORIGINS", text("origins", "ORIGINS")),
    )  # fmt: skip
    cors_methods: str = option(
        "GET, POST, DELETE, OPTIONS", ACCESS, "Methods that browsers may use.",
        spelled("--cors-methods", "LLAMA_ARG_CORS_METHODS", text("methods", "METHODS")),
    )  # fmt: skip
    cors_headers: str = option(
        "*", ACCESS, "Headers that browsers may send.",
        spelled("--cors-headers", "LLAMA_ARG_CORS_HEADERS", text("headers", "HEADERS")),
    )  # fmt: skip
    cors_credentials: bool = option(
        True, ACCESS, "Let browsers send credentials.",
        spelled("--cors-credentials !--no-cors-credentials", "LLAMA_ARG_CORS_CREDENTIALS", FLAG),
    )  # fmt: skip
    props: bool = option(
        False, ACCESS, "Answer POST /props.", spelled("--props", "LLAMA_ARG_ENDPOINT_PROPS", FLAG),
    )  # fmt: skip

    log_format: str = option(
        "auto", LOG, "JSON lines, or lines for people; auto is console on a terminal.",
        spelled("--log-format", "MISTRAL_API_LOG_FORMAT", choice("auto", "json", "console")),
        spelled("--log-jsonl !--no-log-jsonl", "LLAMA_ARG_LOG_JSONL", JSONL),
    )  # fmt: skip
    log_level: str = option(
        "info", LOG, "What is logged: this and what is worse. debug has llama.cpp's own lines too.",
        spelled("--log-level", "MISTRAL_API_LOG_LEVEL", LOG_LEVEL),
        spelled("-lv --verbosity --log-verbosity", "LLAMA_ARG_LOG_VERBOSITY", VERBOSITY),
        spelled("-v --verbose --log-verbose", "", constant_flag("debug")),
        spelled("--log-disable", "", constant_flag("off")),
    )  # fmt: skip

    help: bool = option(False, COMMAND, "Print this and end.", spelled("-h --help --usage", "", FLAG))
    version: bool = option(False, COMMAND, "Print our version and llama.cpp's and end.", spelled("--version", "", FLAG))
    check: bool = option(
        False, COMMAND, "Print the settings as they were understood and end.", spelled("--check", "", FLAG)
    )

    sampling: SamplingDefaults = SamplingDefaults()
    notes: tuple[str, ...] = field(default=())
    key_priorities: tuple[tuple[str, int], ...] = field(default=(), repr=False)
    """Keys of the key file that have a priority."""

    @property
    def alias(self) -> str:
        """The model's first name, or nothing."""
        return self.aliases[0] if self.aliases else ""

    @classmethod
    def from_arguments(cls, arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
        """Reads the command line (without the command) and the variables. Raises SettingError.

        The command line wins; an empty variable counts as none. Files of keys and templates are read here.
        """
        options = {name: declared for name, declared, _ in every_option()}
        found = read(options, arguments, environment)
        of_sampling = {entry.name for entry in fields(SamplingDefaults)}
        chosen = {name: value for name, value in found.values.items() if name not in of_sampling}
        sampling = {name: value for name, value in found.values.items() if name in of_sampling}
        settings = cls(**chosen, sampling=SamplingDefaults(**sampling), notes=tuple(found.notes))
        return completed(settings, found.given_by)


def every_option() -> Iterator[tuple[str, Option, object]]:
    """Field, Option and default of every setting, in the order of help and documents."""
    own = list(declared_options(Settings))
    yield from (entry for entry in own if entry[1].group != COMMAND)
    yield from declared_options(SamplingDefaults)
    yield from (entry for entry in own if entry[1].group == COMMAND)
