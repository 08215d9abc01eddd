"""Our options as llama.cpp's parameter structs."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import TypeAlias

from llama_cpp import llama_cpp as native

from service.engine.llama.devices import Device
from service.engine.llama.model import AbortFlag
from service.engine.llama.options import CACHE_TYPES, LlamaOptions
from service.errors import SettingError

ContextParams: TypeAlias = native.llama_context_params

SPLIT_MODES = {"none": 0, "layer": 1, "row": 2, "tensor": 3}
FLASH_ATTENTION = {"auto": -1, "off": 0, "on": 1}
ROPE_SCALING = {"": -1, "none": 0, "linear": 1, "yarn": 2, "longrope": 3}

# (mmap, mlock) → llama.h, `enum llama_load_mode`.
LOAD_MODES = {(False, False): 0, (True, False): 1, (False, True): 2, (True, True): 3}


def check_names(options: LlamaOptions) -> None:
    """Raises SettingError for a name that llama.cpp does not have."""
    for setting, value, known in (
        ("--cache-type-k", options.cache_type_k, CACHE_TYPES),
        ("--cache-type-v", options.cache_type_v, CACHE_TYPES),
        ("--flash-attn", options.flash_attn, FLASH_ATTENTION),
        ("--rope-scaling", options.rope_scaling, ROPE_SCALING),
        ("--split-mode", options.split_mode, SPLIT_MODES),
    ):
        if value not in known:
            raise SettingError(setting, value, f"one of {', '.join(name for name in known if name)}")


class ModelParams:
    """A `llama_model_params` with the arrays that it points to; the progress callback is left to the caller."""

    def __init__(self, options: LlamaOptions, devices: Sequence[Device], gpu_layers: int) -> None:
        self._devices = (ctypes.c_void_p * (len(devices) + 1))(*(device.pointer for device in devices), None)
        self._shares = (ctypes.c_float * native.llama_max_devices())(*options.tensor_split)
        self.native = native.llama_model_default_params()
        self.native.devices = ctypes.addressof(self._devices)
        self.native.tensor_split = self._shares
        self.native.n_gpu_layers = gpu_layers
        self.native.load_mode = LOAD_MODES[options.mmap, options.mlock]
        if devices:
            # One device stands in the list already where the mode is "none", so it is the first.
            self.native.split_mode = SPLIT_MODES[options.split_mode]
            self.native.main_gpu = 0 if options.split_mode == "none" else options.main_gpu


def context_params(options: LlamaOptions, tokens: int, sequences: int, abort: AbortFlag) -> ContextParams:
    """A `llama_context_params` for one unified pool of `tokens` cells."""
    params = native.llama_context_default_params()
    params.n_ctx = tokens
    params.n_batch = options.batch
    params.n_ubatch = min(options.ubatch, options.batch)
    params.n_seq_max = sequences
    # A step samples at most one row of each sequence; llama.cpp wants room for one of every sequence at the least.
    params.n_outputs_max = sequences
    params.n_threads = options.threads
    params.n_threads_batch = options.threads_batch
    params.flash_attn_type = FLASH_ATTENTION[options.flash_attn]
    params.type_k = CACHE_TYPES[options.cache_type_k].number
    params.type_v = CACHE_TYPES[options.cache_type_v].number
    params.kv_unified = True
    params.offload_kqv = options.kv_offload
    # A cache of the window's size only would lose the prefixes that later requests share.
    params.swa_full = True
    params.no_perf = True
    params.abort_callback = abort.callback
    params.abort_callback_data = abort.data
    set_rope(params, options)
    return params


def set_rope(params: ContextParams, options: LlamaOptions) -> None:
    params.rope_scaling_type = ROPE_SCALING[options.rope_scaling]
    params.rope_freq_base = options.rope_freq_base
    # llama-server's --rope-scale is the inverse of the frequency's scale, and gives way to it.
    params.rope_freq_scale = options.rope_freq_scale or (1 / options.rope_scale if options.rope_scale else 0.0)
    params.yarn_orig_ctx = options.yarn_orig_ctx
    params.yarn_ext_factor = options.yarn_ext_factor
    params.yarn_attn_factor = options.yarn_attn_factor
    params.yarn_beta_slow = options.yarn_beta_slow
    params.yarn_beta_fast = options.yarn_beta_fast
