"""What settings mean for the engine."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from service.engine.llama.options import MAX_SEQUENCES, LlamaOptions
from service.engine.threads import usable_cpus
from service.settings import SamplingDefaults, Settings
from service.wiring import engine_options, llama_options, thread_watch

CHANGED = Settings(
    model="m.gguf", ctx_size=77, batch_size=64, ubatch_size=32, parallel=100, threads=1, threads_batch=1,
    n_gpu_layers=3, device=("CUDA0",), split_mode="none", main_gpu=1, tensor_split=(3.0, 1.0), kv_offload=False,
    flash_attn="on", cache_type_k="q8_0", cache_type_v="q8_0", mmap=False, mlock=True,
    rope_scaling="yarn", rope_freq_base=1.5, rope_freq_scale=0.5, yarn_orig_ctx=5, yarn_ext_factor=0.1,
    yarn_attn_factor=0.2, yarn_beta_slow=0.3, yarn_beta_fast=0.4, cpu_variant="haswell",
    cpu_variants_dir=Path("kernels"), warmup=False,
)  # fmt: skip


def loading(settings: Settings) -> LlamaOptions:
    return llama_options(settings, thread_watch(settings).count)


@pytest.mark.parametrize(
    ("parallel", "kv_unified", "expected"),
    [
        (-1, None, (8, False)),
        (-1, True, (8, False)),
        (-1, False, (8, True)),
        (4, None, (4, True)),
        (4, True, (4, False)),
        (4, False, (4, True)),
    ],
)
def test_the_context_is_split_as_llama_server_splits_it(
    parallel: int, kv_unified: bool | None, expected: tuple[int, bool]
) -> None:
    options = engine_options(Settings(parallel=parallel, kv_unified=kv_unified))
    assert (options.parallel, options.split_context) == expected


def test_limits_and_sampling_defaults_reach_the_engine() -> None:
    settings = Settings(token_gap_ms=700, queue_limit=9, queue_tokens=99, sampling=SamplingDefaults(top_k=3))
    options = engine_options(settings)
    assert (options.token_gap, options.queue, options.queue_tokens, options.sampling.top_k) == (0.7, 9, 99, 3)


def test_every_setting_of_the_model_reaches_llama_cpp() -> None:
    options, defaults = loading(CHANGED), LlamaOptions("")
    for entry in fields(LlamaOptions):
        if entry.name in ("rope_scale", "threads", "threads_batch"):
            continue
        assert getattr(options, entry.name) != getattr(defaults, entry.name), entry.name
    assert (options.context, options.batch, options.ubatch) == (77, 64, 32)
    assert (options.yarn_beta_slow, options.yarn_beta_fast) == (0.3, 0.4)


def test_sequence_ids_are_left_for_cached_prefixes() -> None:
    assert loading(Settings(parallel=1)).sequences == 64
    assert loading(CHANGED).sequences == 200
    assert loading(Settings(parallel=128)).sequences == MAX_SEQUENCES


def test_threads_are_the_cpus_of_this_process_unless_fewer_are_wanted() -> None:
    cpus = max(1, int(usable_cpus()))
    assert (loading(Settings()).threads, loading(Settings()).threads_batch) == (cpus, cpus)
    assert (loading(CHANGED).threads, loading(CHANGED).threads_batch) == (1, 1)
    assert loading(Settings(threads=1)).threads_batch == 1
    assert loading(Settings(cpu_limit=1000)).threads == 1
