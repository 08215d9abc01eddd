"""DRY samplers, made once for each set of parameters and then copied.

Making one goes over the whole vocabulary for each sequence breaker: tens of milliseconds in which no stream would move.
"""

from __future__ import annotations

import ctypes
from collections import OrderedDict
from typing import Any

from llama_cpp import llama_cpp as native

from service.engine.llama.vocabulary import Vocabulary
from service.engine.requests import SamplingParams

MOST_KEPT = 8


class DrySamplers:
    """Keeps the prototypes used last. For the engine's thread."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._prototypes: OrderedDict[tuple[object, ...], Any] = OrderedDict()

    def make(self, params: SamplingParams, last: int) -> Any:  # noqa: ANN401 - a pointer of the binding, which has no types
        """A fresh native sampler that looks at the `last` tokens; the caller owns it."""
        breakers = params.dry_sequence_breakers
        key = (params.dry_multiplier, params.dry_base, params.dry_allowed_length, last, breakers)
        if key not in self._prototypes:
            if len(self._prototypes) == MOST_KEPT:
                native.llama_sampler_free(self._prototypes.popitem(last=False)[1])
            texts = [text.encode("utf-8", "replace") for text in breakers]
            array = (ctypes.c_char_p * len(texts))(*texts)
            self._prototypes[key] = native.llama_sampler_init_dry(
                self._vocabulary.pointer, *key[:-1], array, len(texts)
            )
        self._prototypes.move_to_end(key)
        return native.llama_sampler_clone(self._prototypes[key])

    def close(self) -> None:
        while self._prototypes:
            native.llama_sampler_free(self._prototypes.popitem()[1])
