"""The rows of one decode, as llama.cpp reads them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np
from llama_cpp import llama_cpp as native
from numpy.typing import NDArray

from service.engine.model import Rows

Integers = NDArray[np.int32]


class Batch:
    """A `llama_batch` over arrays that live as long as this object; filled anew for each decode.

    `native` is the C struct. `sample_rows[i]` is the row in the batch whose logits group i wants, -1 for none.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.sample_rows: list[int] = []
        self._tokens = np.zeros(capacity, np.int32)
        self._positions = np.zeros(capacity, np.int32)
        self._sequences = np.zeros(capacity, np.int32)
        self._logits = np.zeros(capacity, np.int8)
        self._counts = np.ones(capacity, np.int32)
        self._steps = np.arange(capacity, dtype=np.int32)
        # Row i's list of sequences is one element long and stands at self._sequences[i].
        first = self._sequences.ctypes.data
        self._lists = np.arange(first, first + 4 * capacity, 4, dtype=np.uintp)
        self.native = native.llama_batch()
        self.native.token = pointer(self._tokens)
        self.native.pos = pointer(self._positions)
        self.native.n_seq_id = pointer(self._counts)
        self.native.seq_id = ctypes.cast(self._lists.ctypes.data, ctypes.POINTER(ctypes.POINTER(ctypes.c_int32)))
        self.native.logits = ctypes.cast(self._logits.ctypes.data, ctypes.POINTER(ctypes.c_int8))

    def fill(self, groups: Sequence[Rows]) -> None:
        """Packs the groups one after the other; logits only for the last row of a group that wants them."""
        counts = [len(group.tokens) for group in groups]
        total = sum(counts)
        if not 0 < total <= self.capacity or 0 in counts:
            raise ValueError(f"{total} rows in a batch of {self.capacity}, groups of {counts}")
        rows = []
        row = 0
        for group, count in zip(groups, counts, strict=True):
            end = row + count
            self._put(group, row, end)
            rows.append(end - 1 if group.wants_sample else -1)
            row = end
        self.native.n_tokens = total
        self.sample_rows = rows

    def _put(self, group: Rows, row: int, end: int) -> None:
        if end == row + 1:  # a decoding sequence: numpy's slices would cost twice as much
            self._tokens[row] = group.tokens[0]
            self._positions[row] = group.start
            self._sequences[row] = group.sequence
            self._logits[row] = group.wants_sample
            return
        self._tokens[row:end] = group.tokens
        np.add(self._steps[: end - row], group.start, out=self._positions[row:end])
        self._sequences[row:end] = group.sequence
        self._logits[row:end] = 0
        self._logits[end - 1] = group.wants_sample


def pointer(array: Integers) -> ctypes._Pointer[ctypes.c_int32]:
    return ctypes.cast(array.ctypes.data, ctypes.POINTER(ctypes.c_int32))
