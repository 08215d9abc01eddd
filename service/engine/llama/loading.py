"""Brings a model file into memory: checks, weights, context, warm-up. Everything that can go wrong gets its words here."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from llama_cpp import llama_cpp as native

from service.engine import memory
from service.engine.llama import logs
from service.engine.llama.devices import Device, chosen_devices
from service.engine.llama.library import Library, open_library
from service.engine.llama.metadata import cache_shape, model_info, read_metadata
from service.engine.llama.model import AbortFlag, LlamaModel
from service.engine.llama.native_params import ModelParams, check_names, context_params
from service.engine.llama.options import MAX_SEQUENCES, LlamaOptions
from service.engine.llama.placement import AUTO, FITTED_CONTEXT, Placement, layers_within, placement_of, places_of
from service.engine.llama.variants import NoVariantRuns
from service.engine.llama.vocabulary import Vocabulary
from service.engine.model import DecodeResult, ModelLoader, Rows, Trim
from service.engine.requests import RuntimeInfo
from service.errors import ModelLoadError

log = logging.getLogger("engine.llama")

Progress = Callable[[float], None]
WEIGHTS_SHARE = 0.9  # of the progress; context and warm-up are the rest
WARM_ROWS = 32
WHOLE_STATE_SEQUENCES = 16  # a recurrent model keeps a whole state for each sequence from the start
MAGIC = b"GGUF"
NO_WORDS = re.compile(r"^(\w+: )+(error loading model: )?(\w+: )?")  # the functions that a complaint went through


def model_loader(options: LlamaOptions) -> ModelLoader:
    """What the engine calls in its own thread."""
    return partial(load_model, options)


def load_model(options: LlamaOptions, progress: Progress) -> LlamaModel:
    """Loads, makes a context and warms up; `progress` goes from 0 to 1.

    Raises ModelLoadError with the path and the reason, SettingError for a name that llama.cpp does not have.
    """
    check_names(options)
    check_file(options.path)
    library = opened_library(options)
    devices, layers = offloading(options)
    before = memory.anonymous_bytes()
    with ExitStack() as undo:
        model = load_weights(options, devices, layers, progress)
        undo.callback(native.llama_model_free, model)
        check_kind(options.path, model)
        placement = placement_of(options, devices, layers, layer_count(model))
        kept = kept_weights(options, model, placement, memory.anonymous_bytes() - before)
        placement = replace(placement, kept=kept)
        loaded = with_context(options, model, library, placement, undo)
        if options.warmup:
            warm_up(loaded, options.path)
        grown = memory.anonymous_bytes() - before
        loaded.runtime = replace(loaded.runtime, anonymous_bytes=grown)
        undo.pop_all()
    loaded.spare_bytes = placement.spare_bytes
    log.info("%s loaded: %s beside the file", options.path, memory.mebibytes(grown))
    progress(1.0)
    return loaded


def check_file(path: str) -> None:
    """Says what llama.cpp would say less clearly: no file, not a file, not this format."""
    try:
        with Path(path).open("rb") as file:
            magic = file.read(len(MAGIC))
    except IsADirectoryError:
        raise ModelLoadError(path, "it is a folder, not a file") from None
    except OSError as error:
        raise ModelLoadError(path, (error.strerror or str(error)).lower()) from None
    if magic != MAGIC:
        raise ModelLoadError(path, f"it is not a GGUF file, which would begin with {MAGIC!r}; it begins with {magic!r}")


def opened_library(options: LlamaOptions) -> Library:
    try:
        return open_library(options.cpu_variant, options.cpu_variants_dir)
    except (NoVariantRuns, OSError) as error:
        raise ModelLoadError(options.path, str(error)) from error


def made(path: str, what: str, make: Callable[[], int | None]) -> int:
    """What `make` answers. A null pointer becomes a ModelLoadError with the first thing that llama.cpp complained about."""
    with logs.relay.collected_errors() as errors:
        pointer = make()
    if not pointer:
        raise ModelLoadError(path, f"{what}{in_words(errors)}")
    return int(pointer)


def in_words(errors: list[str]) -> str:
    """The first complaint is the cause; those after it are who passed it on."""
    if not errors:
        return "llama.cpp gives no reason"
    reason = NO_WORDS.sub("", errors[0])
    damaged = any(error.startswith("gguf_init") for error in errors)
    return f"the file is damaged or incomplete ({reason})" if damaged else reason


def offloading(options: LlamaOptions) -> tuple[list[Device], int]:
    """The GPUs, and the layers for them; below 0 all. Where the options leave it open, a look at the file says how many fit."""
    devices = chosen_devices(options)
    if options.gpu_layers != AUTO or not devices:
        return devices, options.gpu_layers
    with sketched(options) as model:
        total = layer_count(model)
        layers = fitting_layers(options, model, devices)
    if layers < total:
        names = ", ".join(device.name for device in devices)
        log.warning("%d of %d layers fit on %s; the CPUs compute the others", layers, total, names)
    return devices if layers else [], layers


def fitting_layers(options: LlamaOptions, model: int, devices: Sequence[Device]) -> int:
    """All layers, or as many as fit where some stay on the host."""
    tokens = options.context or min(FITTED_CONTEXT, int(native.llama_model_n_ctx_train(model)))
    metadata, total, size = read_metadata(model), layer_count(model), int(native.llama_model_size(model))

    def fitting(*, split: bool) -> int:
        return layers_within(devices, total, size, cost_by_share(options, model, metadata, split=split), tokens)

    return total if fitting(split=False) == total else fitting(split=True)


@contextmanager
def sketched(options: LlamaOptions) -> Iterator[int]:
    """The model without its weights: what it says of itself, in the time of reading the vocabulary."""
    params = ModelParams(replace(options, mmap=False, mlock=False), (), 0)
    params.native.no_alloc = True
    path = options.path.encode()
    with logs.relay.hushed():
        model = made(options.path, "", lambda: native.llama_model_load_from_file(path, params.native))
    try:
        yield model
    finally:
        native.llama_model_free(model)


def load_weights(options: LlamaOptions, devices: Sequence[Device], layers: int, progress: Progress) -> int:
    def advance(share: float, _data: int) -> bool:
        progress(share * WEIGHTS_SHARE)
        return True

    params = ModelParams(options, devices, layers)
    params.native.progress_callback = native.llama_progress_callback(advance)
    path = options.path.encode()
    return made(options.path, "", lambda: native.llama_model_load_from_file(path, params.native))


def check_kind(path: str, model: int) -> None:
    """Only models that continue a text can be served."""
    if native.llama_model_has_encoder(model) or not native.llama_model_has_decoder(model):
        raise ModelLoadError(path, "models with an encoder are not served, only those that continue a text")
    if native.llama_model_is_diffusion(model):
        raise ModelLoadError(path, "diffusion models are not served, only those that continue a text")
    if native.llama_vocab_type(native.llama_model_get_vocab(model)) == native.LLAMA_VOCAB_TYPE_NONE:
        raise ModelLoadError(path, "it has no vocabulary")


def layer_count(model: int) -> int:
    """As `--gpu-layers` counts them: the output is one."""
    return int(native.llama_model_n_layer(model)) + 1


def kept_weights(options: LlamaOptions, model: int, placement: Placement, repacked: int) -> int:
    """Bytes of the mapped file that are read for every token. `repacked` are those that loading took beside it: they are not."""
    on_host = int(native.llama_model_size(model) * placement.weights_on_host)
    return max(0, on_host - repacked) if options.mmap else 0


def with_context(
    options: LlamaOptions, model: int, library: Library, placement: Placement, undo: ExitStack
) -> LlamaModel:
    """The model with its pool of cells, where `placement` has its weights."""
    metadata = read_metadata(model)
    cost = cost_by_share(options, model, metadata, split=placement.split)
    tokens = planned_context(options, model, places_of(placement, cost))
    abort = AbortFlag()
    params = context_params(options, tokens, sequence_count(options, model), abort)
    context = made(
        options.path,
        f"no context of {tokens} tokens can be made: ",
        lambda: native.llama_init_from_model(model, params),
    )
    undo.callback(native.llama_free, context)
    if not native.llama_get_memory(context):
        raise ModelLoadError(options.path, "it has no memory of earlier tokens, so it cannot continue a text")
    vocabulary = Vocabulary(model)
    runtime = RuntimeInfo(
        build=library.build,
        cpu_variant=library.cpu_variant,
        threads=options.threads,
        threads_batch=options.threads_batch,
        context=int(native.llama_n_ctx(context)),
        gpu_layers=placement.layers,
        anonymous_bytes=0,
    )
    info = model_info(model, vocabulary, options.path, metadata)
    loaded = LlamaModel((model, context), vocabulary, info, runtime, abort)
    if loaded.saves:
        loaded.token_bytes = cache_shape(model, metadata, options).cell_bytes
    return loaded


def sequence_count(options: LlamaOptions, model: int) -> int:
    whole_states = native.llama_model_is_recurrent(model) or native.llama_model_is_hybrid(model)
    return min(options.sequences, WHOLE_STATE_SEQUENCES if whole_states else MAX_SEQUENCES)


def cost_by_share(
    options: LlamaOptions, model: int, metadata: dict[str, str], *, split: bool
) -> Callable[[float], memory.ContextCost]:
    """What a context costs in a place, by the share of the cells that lie there.

    Left to itself, llama.cpp may do without flash attention where a model is split between the host and GPUs.
    """
    shape, sequences = cache_shape(model, metadata, options), sequence_count(options, model)
    flash = options.flash_attn == "on" or (options.flash_attn == "auto" and not split)
    return lambda share: memory.context_cost(shape, options.ubatch, sequences, flash_attention=flash, share=share)


def planned_context(options: LlamaOptions, model: int, places: list[memory.Place]) -> int:
    """The context's length, with its sum in the log."""
    choice = memory.choose_context(options.context, int(native.llama_model_n_ctx_train(model)), *places)
    log.log(
        logging.INFO if choice.fits else logging.WARNING, "%s%s", choice.reason, "" if choice.fits else ": may not fit"
    )
    return choice.tokens


def warm_up(model: LlamaModel, path: str) -> None:
    """One row and a few: pages come in, threads start, and a model that computes no numbers is found out now."""
    for count in (1, min(WARM_ROWS, model.batch)):
        result = model.decode((Rows(0, 0, (0,) * count, wants_sample=True),))
        if result is not DecodeResult.OK:
            raise ModelLoadError(path, f"a first decode of {count} rows answered: {result.value}")
        if np.isnan(model.logits(0)).any():
            raise ModelLoadError(path, "it computes numbers that are none (NaN): the file is damaged")
        model.apply((Trim(0, 0),))
