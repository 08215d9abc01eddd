"""The families of our own names, as they stand when somebody asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from service import __version__
from service.engine.interface import EngineState
from service.engine.requests import EngineLimits, ModelInfo, Outcome, RuntimeInfo
from service.errors import ServiceError
from service.telemetry import catalog
from service.telemetry.totals import EngineView, Totals

LOADED = (EngineState.READY, EngineState.DRAINING)


def error_labels(cls: type[ServiceError] = ServiceError) -> list[str]:
    """The labels of all errors that clients can be told, so that each has a series from the start."""
    own = [cls.label] if hasattr(cls, "label") else []
    return own + [label for child in cls.__subclasses__() for label in error_labels(child)]


def engine_families(totals: Totals, engine: EngineView | None) -> Iterator[str]:
    """Requests, tokens, steps; and where an engine is watched, its gauges."""
    yield from _request_families(totals)
    yield from _step_families(totals)
    yield catalog.BUILD_INFO.family([((__version__,), 1)])
    if engine is not None:
        yield from _gauges(engine)
        if engine.state in LOADED:
            yield from _model_families(engine.model.info, engine.model.runtime, engine.limits)


def http_families(totals: Totals) -> Iterator[str]:
    """Answers by route."""
    yield catalog.HTTP_REQUESTS.family(totals.http.items())
    yield catalog.HTTP_TIME.histogram(totals.http_time.items())


def _request_families(totals: Totals) -> Iterator[str]:
    yield catalog.FIRST_TOKEN.histogram([((), totals.first_token)])
    yield catalog.BETWEEN_TOKENS.histogram([((), totals.between_tokens)])
    yield catalog.DURATION.histogram([((), totals.duration)])
    yield catalog.QUEUE.histogram([((), totals.queue)])
    yield catalog.PROMPT_SIZE.histogram([((), totals.prompt_size)])
    yield catalog.GENERATED_SIZE.histogram([((), totals.generated_size)])
    yield catalog.REQUESTS.family(((outcome.value,), totals.outcomes[outcome]) for outcome in Outcome)
    yield catalog.ERRORS.family(((label,), totals.errors[label]) for label in error_labels())


def _step_families(totals: Totals) -> Iterator[str]:
    yield catalog.COMPUTED.single(totals.computed)
    yield catalog.CACHED.single(totals.cached)
    yield catalog.GENERATED.single(totals.generated)
    yield catalog.STEPS.single(totals.steps)
    yield catalog.STEP_TIME.histogram([((), totals.step_time)])
    yield catalog.STEP_ROWS.histogram([((), totals.step_rows)])
    parts = {
        "decode": totals.decode_seconds, "sample": totals.sample_seconds, "save": totals.save_seconds,
        "fetch": totals.fetch_seconds, "own": totals.own_seconds,
    }  # fmt: skip
    yield catalog.STEP_PARTS.family(((part,), seconds) for part, seconds in parts.items())
    yield catalog.PREEMPTIONS.single(totals.preemptions)
    yield catalog.EVICTED.single(totals.evicted)
    yield catalog.SAVED.single(totals.saved)
    yield catalog.FETCHED.single(totals.fetched)


def _gauges(engine: EngineView) -> Iterator[str]:
    yield catalog.RUNNING.single(engine.running)
    yield catalog.WAITING.single(engine.waiting)
    yield catalog.STATE.family(((state.value,), float(engine.state is state)) for state in EngineState)
    yield catalog.PROGRESS.single(engine.progress)
    step = engine.last_step
    yield catalog.CELLS_USED.single(step.used_cells - step.cached_cells if step else 0)
    yield catalog.CELLS_CACHED.single(step.cached_cells if step else 0)


def _model_families(info: ModelInfo, runtime: RuntimeInfo, limits: EngineLimits) -> Iterator[str]:
    labels = (PurePath(info.path).name, info.architecture, info.quantization, runtime.build, runtime.cpu_variant)
    yield catalog.MODEL_INFO.family([(labels, 1)])
    yield catalog.CELLS.single(runtime.context)
    yield catalog.CONTEXT.single(limits.context)
    yield catalog.PARALLEL.single(limits.parallel)
    yield catalog.QUEUE_LIMIT.single(limits.queue)
    yield catalog.THREADS.family([(("decode",), runtime.threads), (("batch",), runtime.threads_batch)])
    yield catalog.MODEL_ANONYMOUS.single(runtime.anonymous_bytes)
