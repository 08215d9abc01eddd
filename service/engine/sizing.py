"""What the engine's options mean for the model that was loaded."""

from __future__ import annotations

from service.engine.copying import Copying
from service.engine.interface import EngineOptions
from service.engine.kv_cache import KvCache
from service.engine.model import Model
from service.engine.pace import LearnedPace
from service.engine.requests import EngineLimits
from service.engine.shelf import Shelf
from service.errors import InvalidRequest, StartError

MOST_SAVED_BYTES, SPARED_FOR_SAVING = 8 << 30, 0.25
"""Of the host's memory, for prefixes that left the pool, where no number is set."""
QUEUED_POOLS = 4
"""How often the prompts that wait may fill the pool, where no number is set."""


def check_defaults(model: Model, options: EngineOptions) -> None:
    """Raises StartError where the model cannot take the sampling parameters of requests that say nothing."""
    try:
        model.check_sampling(options.sampling)
    except InvalidRequest as error:
        raise StartError(f"the sampling parameters that are set cannot be used: {error.message}") from error


def limits_of(model: Model, options: EngineOptions) -> EngineLimits:
    """What requests the engine takes."""
    context = model.cells // options.parallel if options.split_context else model.cells
    return EngineLimits(
        context=min(context, model.info.trained_context) or context,
        parallel=min(options.parallel, model.sequences),
        batch=model.batch,
        queue=options.queue,
        queue_tokens=options.queue_tokens or QUEUED_POOLS * model.cells,
    )


def copying_of(model: Model, pace: LearnedPace) -> Copying:
    """What moving prefixes to the host's memory and back spares, at the pace of computing them."""
    return Copying(lambda start, end: pace.computing(start, end, model.batch))


def cache_of(model: Model, options: EngineOptions, copying: Copying) -> KvCache:
    """The empty books of the model's pool."""
    return KvCache(
        model.cells,
        model.sequences,
        partial=model.keeps_partial,
        windowed=model.windowed,
        shelf=Shelf(saved_bytes(model, options), model.token_bytes, copying),
        reaches=model.reaches,
    )


def saved_bytes(model: Model, options: EngineOptions) -> int:
    """What was asked for, else a part of the memory that is free now, and no more than llama-server would take."""
    if options.saved_bytes is not None:
        return options.saved_bytes
    return min(MOST_SAVED_BYTES, int(model.spare_bytes * SPARED_FOR_SAVING))
