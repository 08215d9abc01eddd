"""Sequences that lie in the host's memory instead of the pool."""

from __future__ import annotations

import ctypes

import numpy as np
from llama_cpp import llama_cpp as native
from numpy.typing import NDArray

from service.engine.model import Drop, Load, Save


class SavedSequences:
    """Copies of whole sequences, by key. For the engine's thread; takes the time of copying the memory twice."""

    def __init__(self, context: int) -> None:
        self._context = context
        self._copies: dict[int, NDArray[np.uint8]] = {}

    def apply(self, operation: Save | Load | Drop) -> None:
        """Raises RuntimeError where llama.cpp does not take or give a state: the books and the pool differ then."""
        if isinstance(operation, Save):
            self._save(operation)
        elif isinstance(operation, Load):
            self._load(operation)
        else:
            del self._copies[operation.key]

    def _save(self, operation: Save) -> None:
        size = int(native.llama_state_seq_get_size(self._context, operation.sequence))
        copy = np.empty(size, np.uint8)  # not zeroed first: that would take as long as copying
        if native.llama_state_seq_get_data(self._context, _bytes(copy), size, operation.sequence) != size:
            raise RuntimeError(f"llama.cpp gave no state for {operation}")
        self._copies[operation.key] = copy

    def _load(self, operation: Load) -> None:
        copy = self._copies[operation.key]
        if native.llama_state_seq_set_data(self._context, _bytes(copy), copy.size, operation.sequence) == 0:
            raise RuntimeError(f"llama.cpp took no state for {operation}")


def _bytes(copy: NDArray[np.uint8]) -> ctypes.Array[ctypes.c_uint8]:
    return (ctypes.c_uint8 * copy.size).from_buffer(copy.data)
