"""A model in llama.cpp's hands: one context, one unified pool of cells, one batch."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from llama_cpp import llama_cpp as native
from numpy.typing import NDArray

from service.engine.llama.batch import Batch
from service.engine.llama.chain import Chain, NativeSampler
from service.engine.llama.dry import DrySamplers
from service.engine.llama.parameters import check
from service.engine.llama.sampler import LlamaSampler
from service.engine.llama.state import SavedSequences
from service.engine.llama.vocabulary import Vocabulary
from service.engine.model import CacheOp, CopyPrefix, DecodeResult, Drop, Load, Rows, Save
from service.engine.requests import GenerationRequest, ModelInfo, RuntimeInfo, SamplingParams, ThreadCount

RESULTS = {1: DecodeResult.NO_CELLS, 2: DecodeResult.ABORTED}
NOTHING_COMPUTED = (1, -1)
"""No place found, or a batch that makes no sense: found out before anything runs (llama.h, `llama_decode`)."""


class AbortFlag:
    """What llama.cpp asks before each node of a graph whether to go on.

    A Python function would take the interpreter's lock a thousand times a step. strlen of these bytes is 0 or 1 without it:
    the cheapest C function there is that reads a flag.
    """

    def __init__(self) -> None:
        self._flag = (ctypes.c_uint8 * 2)()
        strlen = ctypes.cast(ctypes.CDLL(None).strlen, ctypes.c_void_p).value
        self.callback = native.ggml_abort_callback(strlen)
        self.data = ctypes.cast(self._flag, ctypes.c_void_p)

    def set(self, raised: bool) -> None:
        self._flag[0] = 1 if raised else 0


class LlamaModel:
    """Implements engine/model.py's Model. Made by loading.py; `native_parts` are the llama_model and its llama_context."""

    def __init__(
        self,
        native_parts: tuple[int, int],
        vocabulary: Vocabulary,
        info: ModelInfo,
        runtime: RuntimeInfo,
        abort: AbortFlag,
    ) -> None:
        model, context = native_parts
        self.info = info
        self.runtime = runtime
        self.cells = int(native.llama_n_ctx(context))
        self.sequences = int(native.llama_n_seq_max(context))
        self.batch = int(native.llama_n_batch(context))
        self.keeps_partial = not (native.llama_model_is_recurrent(model) or native.llama_model_is_hybrid(model))
        self._window = int(native.llama_model_n_swa(model))
        self.windowed = self._window > 0
        self.saves = self.keeps_partial and not self.windowed  # what was saved is cut to any length later
        self._model = model
        self._context = context
        self._memory = native.llama_get_memory(context)
        self._vocabulary = vocabulary
        self._dry = DrySamplers(vocabulary)
        self.token_bytes = 0
        self.spare_bytes = 0
        self._saved = SavedSequences(context)
        self._abort = abort
        self._rows = Batch(self.batch)
        self._closed = False

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        return self._vocabulary.tokenize(text, add_special=add_special, parse_special=parse_special)

    def piece(self, token: int, *, special: bool = True) -> bytes:
        return self._vocabulary.piece(token, special=special)

    def detokenize(self, tokens: Sequence[int]) -> bytes:
        return self._vocabulary.detokenize(tokens)

    def is_end(self, token: int) -> bool:
        return token in self._vocabulary.end_tokens

    def apply(self, operations: Sequence[CacheOp]) -> None:
        for operation in operations:
            if isinstance(operation, CopyPrefix):
                native.llama_memory_seq_cp(self._memory, operation.source, operation.target, 0, operation.length)
            elif isinstance(operation, Save | Load | Drop):
                self._saved.apply(operation)
            elif not native.llama_memory_seq_rm(self._memory, operation.sequence, operation.length, -1):
                raise ValueError(f"{operation}: this model cannot drop a part of a sequence")

    def decode(self, groups: Sequence[Rows]) -> DecodeResult:
        self._rows.fill(groups)
        code = native.llama_decode(self._context, self._rows.native)
        # A GPU may compute still. Whoever measures a step means all of it, and learns from it how long a prompt's part may be.
        native.llama_synchronize(self._context)
        self._abort.set(False)
        if code == 0:
            return DecodeResult.OK
        result = RESULTS.get(code, DecodeResult.FAILED)
        return result if self._take_back(groups, code) else DecodeResult.LOST

    def _take_back(self, groups: Sequence[Rows], code: int) -> bool:
        """Rows that llama.cpp had computed before it failed go again. False: more than these rows went with them.

        Whole states are moved between cells while a graph runs, those of sequences outside the batch too. In a graph that did not
        end some layers have moved and some have not, so none of them can be trusted.
        """
        if not self.keeps_partial and code not in NOTHING_COMPUTED:
            native.llama_memory_clear(self._memory, False)
            return False
        for group in groups:
            native.llama_memory_seq_rm(self._memory, group.sequence, group.start, -1)
        return all(self.reaches(group.sequence, group.start) for group in groups)

    def reaches(self, sequence: int, length: int) -> bool:
        """A window of n tokens sees n - 1 before its own. llama.cpp keeps all positions from the least one on."""
        if not self._window:
            return True
        return int(native.llama_memory_seq_pos_min(self._memory, sequence)) <= max(0, length - self._window + 1)

    def interrupt(self) -> None:
        """Ends the decode that runs now, else the next one, with ABORTED. From any thread; works on the CPU only.

        Not with whole states: one that nobody waits for would cost those of everybody.
        """
        if self.keeps_partial:
            self._abort.set(True)

    def set_threads(self, count: ThreadCount) -> None:
        native.llama_set_n_threads(self._context, count.decode, count.batch)
        self.runtime = replace(self.runtime, threads=count.decode, threads_batch=count.batch)

    def check_sampling(self, params: SamplingParams) -> None:
        check(params, self._vocabulary.size)

    def open_sampler(self, request: GenerationRequest) -> LlamaSampler:
        """Raises InvalidRequest on parameters that the native chain cannot take."""
        chain = Chain(self._vocabulary, self._dry, request.sampling, self.cells)
        sampler = LlamaSampler(self, chain, self._vocabulary, request)
        sampler.see(request.prompt)
        return sampler

    def draw(self, chain: NativeSampler, group: int) -> int:
        """A token by a native chain from the logits of a group, which the chain then remembers."""
        return int(native.llama_sampler_sample(chain, self._context, self._row(group)))

    def _row(self, group: int) -> int:
        row = self._rows.sample_rows[group]
        if row < 0:
            raise ValueError(f"group {group} of the last decode has no logits")
        return row

    def logits(self, group: int) -> NDArray[np.float32]:
        """The raw row of a group of the last decode that wanted a sample: a view, valid until the next decode."""
        found = native.llama_get_logits_ith(self._context, self._row(group))
        return np.ctypeslib.as_array(found, shape=(self._vocabulary.size,))

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._vocabulary.close()
        self._dry.close()
        native.llama_free(self._context)
        native.llama_model_free(self._model)
