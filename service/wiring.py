"""What the settings mean for the engine."""

from __future__ import annotations

import sys
from dataclasses import asdict

from service.engine.engine import Engine
from service.engine.interface import EngineOptions, Observer
from service.engine.llama.loading import model_loader
from service.engine.llama.options import MAX_SEQUENCES, LlamaOptions
from service.engine.requests import SamplingParams, ThreadCount
from service.engine.threads import ThreadWatch, ThreadWishes
from service.settings import Settings

AUTO_PARALLEL = 8
LEAST_SEQUENCES = 64


def build_engine(settings: Settings, observer: Observer) -> Engine:
    """The engine of these settings, not started."""
    threads = thread_watch(settings)
    return Engine(model_loader(llama_options(settings, threads.count)), engine_options(settings), observer, threads)


def thread_watch(settings: Settings) -> ThreadWatch:
    """What says how many threads the kernels may use, now and later."""
    return ThreadWatch(ThreadWishes(settings.threads, settings.threads_batch, settings.cpu_limit))


def engine_options(settings: Settings) -> EngineOptions:
    """As in llama-server, each of N requests has 1/N of the context only where --parallel was given, and no --kv-unified."""
    automatic = settings.parallel == -1
    return EngineOptions(
        parallel=AUTO_PARALLEL if automatic else settings.parallel,
        split_context=not (automatic if settings.kv_unified is None else settings.kv_unified),
        queue=settings.queue_limit,
        queue_tokens=settings.queue_tokens,
        token_gap=settings.token_gap_ms / 1000,
        calibrate=settings.warmup,
        saved_bytes=_saved_bytes(settings.cache_ram),
        sampling=SamplingParams(**asdict(settings.sampling)),
    )


def _saved_bytes(mebibytes: int | None) -> int | None:
    if mebibytes is None:
        return None
    return sys.maxsize if mebibytes < 0 else mebibytes << 20


def llama_options(settings: Settings, threads: ThreadCount) -> LlamaOptions:
    """How the model is to be loaded. Half of the sequence ids or more are left for cached prefixes."""
    parallel = engine_options(settings).parallel
    return LlamaOptions(
        path=settings.model or "",
        context=settings.ctx_size,
        batch=settings.batch_size,
        ubatch=settings.ubatch_size,
        sequences=min(MAX_SEQUENCES, max(LEAST_SEQUENCES, 2 * parallel)),
        threads=threads.decode,
        threads_batch=threads.batch,
        gpu_layers=settings.n_gpu_layers,
        devices=settings.device,
        split_mode=settings.split_mode,
        main_gpu=settings.main_gpu,
        tensor_split=settings.tensor_split,
        kv_offload=settings.kv_offload,
        flash_attn=settings.flash_attn,
        cache_type_k=settings.cache_type_k,
        cache_type_v=settings.cache_type_v,
        mmap=settings.mmap,
        mlock=settings.mlock,
        rope_scaling=settings.rope_scaling,
        rope_freq_base=settings.rope_freq_base,
        rope_freq_scale=settings.rope_freq_scale,
        yarn_orig_ctx=settings.yarn_orig_ctx,
        yarn_ext_factor=settings.yarn_ext_factor,
        yarn_attn_factor=settings.yarn_attn_factor,
        yarn_beta_slow=settings.yarn_beta_slow,
        yarn_beta_fast=settings.yarn_beta_fast,
        cpu_variant=settings.cpu_variant,
        cpu_variants_dir=settings.cpu_variants_dir,
        warmup=settings.warmup,
    )
