"""Every metric, declared once: name, type, labels, meaning, buckets. docs/metrics.md is made of these."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from service.telemetry.distribution import Distribution
from service.telemetry.exposition import Labels, head, histogram, number, sample

WAIT_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640)
QUEUE_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
TOKEN_SECONDS = (0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10)
STEP_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
DURATION_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536)


@dataclass(frozen=True, slots=True)
class Spec:
    """One metric as it is declared. A counter's name ends in `_total`; times are in seconds, sizes in bytes."""

    name: str
    kind: str
    text: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    def distribution(self) -> Distribution:
        """An empty distribution with this histogram's buckets."""
        return Distribution(self.bounds)

    def family(self, samples: Iterable[tuple[Labels, float]]) -> str:
        """The text of a counter or gauge with its values by label values."""
        lines = [sample(self.name, self.labels, values) % number(value) for values, value in samples]
        return head(self.name, self.kind, self.text) + "".join(lines)

    def single(self, value: float) -> str:
        """The text of a counter or gauge without labels."""
        return head(self.name, self.kind, self.text) + sample(self.name, (), ()) % number(value)

    def histogram(self, samples: Iterable[tuple[Labels, Distribution]]) -> str:
        """The text of a histogram with its distributions by label values."""
        parts = [head(self.name, self.kind, self.text)]
        for values, distribution in samples:
            counts = distribution.cumulative()
            template = histogram(self.name, self.labels, values, self.bounds)
            parts.append(template % (*counts, counts[-1], number(distribution.total)))
        return "".join(parts)


def _counter(name: str, text: str, *labels: str) -> Spec:
    return Spec(f"mistral_api_{name}_total", "counter", text, labels)


def _gauge(name: str, text: str, *labels: str) -> Spec:
    return Spec(f"mistral_api_{name}", "gauge", text, labels)


def _histogram(name: str, bounds: tuple[float, ...], text: str, *labels: str) -> Spec:
    return Spec(f"mistral_api_{name}", "histogram", text, labels, bounds)


def _theirs(name: str, text: str) -> Spec:
    return Spec(f"llamacpp:{name}", "counter" if name.endswith("_total") else "gauge", text)


# Requests

FIRST_TOKEN = _histogram("time_to_first_token_seconds", WAIT_SECONDS, "From a request's arrival to its first token.")
BETWEEN_TOKENS = _histogram(
    "time_between_tokens_seconds", TOKEN_SECONDS,
    "Between two tokens of one text: the step that brought the second, and whatever the text had to wait for before it.",
)  # fmt: skip
DURATION = _histogram(
    "request_duration_seconds", DURATION_SECONDS, "From a request's arrival to its end, of those that got a token."
)
QUEUE = _histogram("request_queue_seconds", QUEUE_SECONDS, "From a request's arrival to its start.")
PROMPT_SIZE = _histogram("request_prompt_tokens", TOKENS, "Tokens of a request's prompt.")
GENERATED_SIZE = _histogram("request_generated_tokens", TOKENS, "Tokens of a request's text.")
RUNNING = _gauge("requests_running", "Requests that run.")
WAITING = _gauge("requests_waiting", "Requests that wait for their start.")
REQUESTS = _counter(
    "requests",
    "Requests that left the engine: stop (its own end), length (a limit), aborted (the client left), failed, overdue (its deadline).",
    "outcome",
)  # fmt: skip
ERRORS = _counter("errors", "Errors told to clients, by the labels of docs/errors.md.", "error")

# Tokens and steps

COMPUTED = _counter("prompt_tokens_computed", "Prompt tokens that were computed, again after a preemption too.")
CACHED = _counter("prompt_tokens_cached", "Prompt tokens that were taken from the cache.")
GENERATED = _counter("generated_tokens", "Tokens that were chosen.")
STEPS = _counter("steps", "Steps of the engine's loop.")
STEP_TIME = _histogram("step_seconds", STEP_SECONDS, "Time of a step.")
STEP_ROWS = _histogram("step_rows", ROWS, "Tokens given to the model in a step.")
STEP_PARTS = _counter(
    "step_part_seconds",
    "Time of all steps by part: decode (llama.cpp computes), sample, save and fetch (--cache-ram), own (the engine itself).",
    "part",
)
PREEMPTIONS = _counter("preemptions", "Requests that gave their cells to another one and went on later.")
EVICTED = _counter("kv_cells_evicted", "Cells of cached prefixes that were given to running requests.")
SAVED = _counter("kv_cells_saved", "Cells of cached prefixes that were copied to the host's memory (--cache-ram).")
FETCHED = _counter("kv_cells_fetched", "Cells of cached prefixes that were copied back from the host's memory.")
CELLS_USED = _gauge("kv_cells_used", "Cells of the cache that running requests hold.")
CELLS_CACHED = _gauge(
    "kv_cells_cached", "Cells of the cache that only prefixes of earlier requests hold; they give way."
)
CELLS = _gauge("kv_cells", "Cells of the cache, one a token.")

# The model and the process

BUILD_INFO = _gauge("build_info", "1, with our version.", "version")
MODEL_INFO = _gauge(
    "model_info", "1, with what is served and how; `model` is the file's name.",
    "model", "architecture", "quantization", "llama_cpp", "cpu_variant",
)  # fmt: skip
STATE = _gauge("engine_state", "1 for the state the engine is in, 0 for the others.", "state")
PROGRESS = _gauge("model_load_progress", "How much of the model is loaded, 0 to 1.")
CONTEXT = _gauge("context_tokens", "Tokens that one request may hold.")
PARALLEL = _gauge("requests_parallel", "Requests that may run at once.")
QUEUE_LIMIT = _gauge("requests_queue_limit", "Requests that may wait.")
THREADS = _gauge("threads", "Threads that compute: decode (text), batch (prompts).", "for")
MODEL_ANONYMOUS = _gauge("model_anonymous_bytes", "Memory beside the mapped file that loading the model took.")
ANONYMOUS = _gauge(
    "process_anonymous_bytes", "Memory of this process that cannot be reclaimed: what a limit counts at least."
)

# HTTP

HTTP_REQUESTS = _counter("http_requests", "Requests answered, by the route's template.", "route", "method", "status")
HTTP_TIME = _histogram(
    "http_request_seconds", DURATION_SECONDS, "From a request's head to the last byte of the answer.", "route", "method"
)

# llama-server's own names (tools/server/server-task.cpp, `server_task_result_metrics::to_metrics`)

LLAMA_PROMPT = _theirs("prompt_tokens_total", "Prompt tokens that were computed.")
LLAMA_CACHED = _theirs("prompt_tokens_cached_total", "Prompt tokens that were taken from the cache.")
LLAMA_PROMPT_TIME = _theirs("prompt_seconds_total", "Decode time of the steps that had prompt tokens.")
LLAMA_PREDICTED = _theirs("tokens_predicted_total", "Tokens of the texts that have ended.")
LLAMA_PREDICTED_TIME = _theirs(
    "tokens_predicted_seconds_total", "Time of those texts from the first token on, added up."
)
LLAMA_DECODES = _theirs("n_decode_total", "Steps that called llama.cpp's decode.")
LLAMA_LONGEST = _theirs("n_tokens_max", "The longest request that has ended, prompt and text.")
LLAMA_DRAFTS = tuple(
    _theirs(f"spec_decode_num_{name}_total", "0: speculative decoding is not served.")
    for name in ("draft_tokens", "accepted_tokens", "drafts")
)
LLAMA_PROMPT_RATE = _theirs("prompt_tokens_seconds", "Prompt tokens a second, over the last minute.")
LLAMA_PREDICTED_RATE = _theirs(
    "predicted_tokens_seconds", "Tokens a second of one text, over those that ended in the last minute."
)
LLAMA_PROCESSING = _theirs("requests_processing", "Requests that run.")
LLAMA_DEFERRED = _theirs("requests_deferred", "Requests that wait for their start.")
LLAMA_BUSY = _theirs("n_busy_slots_per_decode", "Requests that ran in a step, on average since the start.")

# The names of all of Prometheus' client libraries

PROCESS_VIRTUAL = Spec("process_virtual_memory_bytes", "gauge", "Address space of this process.")
PROCESS_RESIDENT = Spec("process_resident_memory_bytes", "gauge", "Memory of this process, with what is mapped.")
PROCESS_STARTED = Spec("process_start_time_seconds", "gauge", "When this process started, in Unix time.")
PROCESS_CPU = Spec("process_cpu_seconds_total", "counter", "CPU time of this process.")
PROCESS_FILES = Spec("process_open_fds", "gauge", "Open files and connections.")
PROCESS_MAX_FILES = Spec("process_max_fds", "gauge", "How many there may be.")


def every_spec() -> list[Spec]:
    """All metrics in the order of this file."""
    specs: list[Spec] = []
    for value in globals().values():
        if isinstance(value, Spec):
            specs.append(value)
        elif isinstance(value, tuple):
            specs.extend(entry for entry in value if isinstance(entry, Spec))
    return specs
