"""How a model is to be loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MAX_SEQUENCES = 256
"""llama.cpp's LLAMA_MAX_SEQ: a cell carries one bit for each sequence."""


@dataclass(frozen=True, slots=True)
class CacheType:
    """A type that cells can have: ggml's number for it (ggml.h, `enum ggml_type`) and the bytes of one value in its blocks."""

    number: int
    value_bytes: float


CACHE_TYPES = {
    "f32": CacheType(0, 4.0),
    "f16": CacheType(1, 2.0),
    "bf16": CacheType(30, 2.0),
    "q8_0": CacheType(8, 34 / 32),
    "q5_1": CacheType(7, 24 / 32),
    "q5_0": CacheType(6, 22 / 32),
    "q4_1": CacheType(3, 20 / 32),
    "q4_0": CacheType(2, 18 / 32),
    "iq4_nl": CacheType(20, 18 / 32),
}


@dataclass(frozen=True, slots=True)
class LlamaOptions:
    """Names follow llama-server's options; lengths in tokens. A value of 0, None or "" leaves the choice to the model or to us.

    `context` 0 takes the trained length, or what fits into memory. `batch` is the most rows of one decode, `ubatch` the most
    that the kernels see at once. `sequences` are ids for running requests and cached prefixes together; each costs one row
    of logits. `threads` are counts already decided (threads.py). `gpu_layers` -1 offloads all that
    fit, -2 all. `devices` are names of GPUs ("CUDA0"), or "none"; `split_mode` says how a model is split over several, in shares of
    `tensor_split`, or that `main_gpu` takes all of it; without `kv_offload` the cells stay on the host.
    `flash_attn` is auto, on or off; the cache types are ggml's names ("f16", "q8_0"). `cpu_variant` names one library of CPU
    kernels, without a trial; `cpu_variants_dir` is where to look for them.
    """

    path: str
    context: int = 0
    batch: int = 2048
    ubatch: int = 512
    sequences: int = 64
    threads: int = 1
    threads_batch: int = 1
    gpu_layers: int = -1
    devices: tuple[str, ...] = ()
    split_mode: str = "layer"
    main_gpu: int = 0
    tensor_split: tuple[float, ...] = ()
    kv_offload: bool = True
    flash_attn: str = "auto"
    cache_type_k: str = "f16"
    cache_type_v: str = "f16"
    mmap: bool = True
    mlock: bool = False
    rope_scaling: str = ""
    rope_scale: float = 0.0
    rope_freq_base: float = 0.0
    rope_freq_scale: float = 0.0
    yarn_orig_ctx: int = 0
    yarn_ext_factor: float = -1.0
    yarn_attn_factor: float = -1.0
    yarn_beta_slow: float = -1.0
    yarn_beta_fast: float = -1.0
    cpu_variant: str = ""
    cpu_variants_dir: Path | None = None
    warmup: bool = True
