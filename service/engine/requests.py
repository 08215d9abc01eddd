"""The vocabulary of the engine: what goes in, what comes out. Immutable values, no behaviour."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

RANDOM_SEED = 0xFFFFFFFF
"""llama.cpp's LLAMA_DEFAULT_SEED: a fresh seed for each request."""

DEFAULT_SAMPLERS = ("penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature")
"""llama-server's order of samplers (common/common.h, `common_params_sampling::samplers`)."""


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How tokens are chosen. Names and defaults are llama-server's (common/common.h, `common_params_sampling`).

    `logit_bias` adds to the logits of token ids; minus infinity forbids one. `seed` is a 32-bit number; RANDOM_SEED draws one.
    """

    seed: int = RANDOM_SEED
    temperature: float = 0.8
    dynatemp_range: float = 0.0
    dynatemp_exponent: float = 1.0
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    top_n_sigma: float = -1.0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    typical_p: float = 1.0
    repeat_last_n: int = 64
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = 64
    dry_sequence_breakers: tuple[str, ...] = ("\n", ":", '"', "*")
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    adaptive_target: float = -1.0
    adaptive_decay: float = 0.9
    min_keep: int = 0
    samplers: tuple[str, ...] = DEFAULT_SAMPLERS
    logit_bias: tuple[tuple[int, float], ...] = ()
    ignore_eos: bool = False


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One text to generate.

    `prompt` are token ids, at least one. `max_tokens` of -1 goes on until the model ends or the context is full; 0 computes the
    prompt only. `probabilities` asks for that many alternatives beside each token (0: none). `reuse_cache` lets the prompt's
    beginning be taken from earlier requests. `salt` splits the cache: only requests of the same salt share. A lower `priority` is
    served sooner. `deadline` is the number of seconds after its arrival when the request fails, wherever it is; 0: never.
    """

    id: str
    prompt: tuple[int, ...]
    sampling: SamplingParams = SamplingParams()
    max_tokens: int = -1
    stop: tuple[str, ...] = ()
    probabilities: int = 0
    post_sampling_probabilities: bool = False
    reuse_cache: bool = True
    salt: str = ""
    priority: int = 0
    deadline: float = 0.0


@dataclass(frozen=True, slots=True)
class TokenChance:
    """A token, its bytes and how likely it was: a log-probability (natural), or a probability after the sampler chain."""

    token: int
    piece: bytes
    value: float


@dataclass(frozen=True, slots=True)
class TokenProbabilities:
    """What was chosen and what else was likely, most likely first."""

    chosen: TokenChance
    top: tuple[TokenChance, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """What the model answered for one sequence in one step. `is_end` marks an end-of-generation token; `piece` is its text."""

    token: int
    piece: bytes
    is_end: bool
    probabilities: TokenProbabilities | None = None


class StopReason(Enum):
    """Why a text ended, in the words of llama-server's `stop_type`."""

    END = "eos"
    WORD = "word"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True)
class Timings:
    """Clock readings of one request in seconds (monotonic). 0 where the stage was not reached."""

    arrived: float = 0.0
    started: float = 0.0
    first_token: float = 0.0
    ended: float = 0.0


@dataclass(frozen=True, slots=True)
class Summary:
    """What stands when a text has ended. `cached_tokens` of the prompt were not computed for this request."""

    reason: StopReason
    prompt_tokens: int
    cached_tokens: int
    generated_tokens: int
    timings: Timings
    stopping_word: str = ""
    truncated: bool = False
    """True where the context, not the request, ended the text."""


@dataclass(frozen=True, slots=True)
class Delta:
    """What one step (or several, merged) added to one text. `summary` is set on the last one.

    `text` holds only what can no longer become part of a stop string. `generated_tokens` counts since the start. A character
    of several tokens comes with the last of them.
    """

    text: str = ""
    tokens: tuple[int, ...] = ()
    probabilities: tuple[TokenProbabilities, ...] = ()
    generated_tokens: int = 0
    cached_tokens: int = 0
    timings: Timings = Timings()
    summary: Summary | None = None

    def then(self, later: Delta) -> Delta:
        """This delta and a later one of the same text as one."""
        return Delta(
            text=self.text + later.text,
            tokens=self.tokens + later.tokens,
            probabilities=self.probabilities + later.probabilities,
            generated_tokens=later.generated_tokens,
            cached_tokens=later.cached_tokens,
            timings=later.timings,
            summary=later.summary,
        )


class Outcome(Enum):
    """How a request left the engine; the label of its metric."""

    STOP = "stop"
    LENGTH = "length"
    ABORTED = "aborted"
    OVERDUE = "overdue"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request that has left the engine, for metrics. Times in seconds; None where the stage was not reached."""

    outcome: Outcome
    prompt_tokens: int
    cached_tokens: int
    generated_tokens: int
    queue_seconds: float | None
    first_token_seconds: float | None
    prompt_seconds: float | None
    generation_seconds: float | None


@dataclass(frozen=True, slots=True)
class StepStats:
    """One step of the loop. Rows are tokens given to the model; seconds are wall time. `own_seconds` is what the engine itself took.

    `reused_tokens` are prompt tokens taken from the cache at this step's admissions. Prefixes of `saved_tokens` went to the host's memory,
    of `fetched_tokens` came back.
    """

    seconds: float
    decode_seconds: float
    sample_seconds: float
    save_seconds: float
    fetch_seconds: float
    decode_rows: int
    prefill_rows: int
    sampled_tokens: int
    saved_tokens: int
    fetched_tokens: int
    reused_tokens: int
    preemptions: int
    evicted_cells: int
    running: int
    waiting: int
    predicted_seconds: float
    used_cells: int
    cached_cells: int
    total_cells: int
    token_gaps: tuple[float, ...] = ()
    """Seconds since the last token, pauses included, of each text that got a further one."""

    @property
    def own_seconds(self) -> float:
        return self.seconds - self.decode_seconds - self.sample_seconds - self.save_seconds - self.fetch_seconds


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """What the engine takes at most.

    `context` is the number of tokens one request may hold (prompt and answer); `parallel` how many run at once; `batch` the rows
    of one step; `queue` how many requests may wait, and `queue_tokens` how many prompt tokens in all of them.
    """

    context: int
    parallel: int
    batch: int
    queue: int
    queue_tokens: int


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a model says of itself. Sizes in bytes, lengths in tokens."""

    path: str
    description: str
    architecture: str
    quantization: str
    parameters: int
    size: int
    vocabulary: int
    vocabulary_type: int
    embedding: int
    trained_context: int
    bos_token: str
    eos_token: str
    adds_bos: bool
    chat_template: str
    tool_template: str = ""
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RuntimeInfo:
    """How the model runs here: llama.cpp's build, the CPU kernels that passed the trial, threads, memory in bytes."""

    build: str
    cpu_variant: str
    threads: int
    threads_batch: int
    context: int
    gpu_layers: int
    anonymous_bytes: int


@dataclass(frozen=True, slots=True)
class ThreadCount:
    """Threads for single rows and for many."""

    decode: int
    batch: int
