"""Asks one set of CPU kernels for products and attention, in a process of its own: `python -m tests.support.kernels VARIANT`.

Prints a JSON object: what was asked, and how far the worst answer was from what it should be. A process opens its kernels once.
"""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.engine.llama import trial
from service.engine.llama.library import library_folder, library_path
from service.engine.llama.trial import Floats, Ggml, Kernels
from service.engine.llama.variants import PREFIX

COUNTS = (2, 3, 4, 5, 7, 8, 9, 16, 17, 33)
"""Rows in a product: around the widths of the kernels."""
CELL_TYPES = {"f32": 0, "f16": 1, "bf16": 30, "q8_0": 8, "q4_0": 2}
MASKED = -np.inf


def product_rows(ggml: Ggml, kernels: Kernels) -> dict[str, float]:
    """For each type and place of weights: the greatest difference between a row among others and the same row alone."""
    trial.COLUMNS = 72  # not whole tiles of every kernel
    trial.CONTEXT_BYTES = 1 << 22
    random = np.random.default_rng(1)
    weights = random.standard_normal((trial.COLUMNS, trial.ROW), np.float32)
    rows = random.standard_normal((max(COUNTS), trial.ROW), np.float32)
    found = {}
    for name, kind in trial.WEIGHT_TYPES.items():
        blocks, _ = trial.quantized(ggml, kind, weights)
        for place in kernels.buffer_types:
            asked = [rows[i : i + 1].copy() for i in range(len(rows))] + [rows[:count].copy() for count in COUNTS]
            answers = kernels.products(place, kind, blocks, asked)
            if answers:
                alone = np.concatenate(answers[: len(rows)])
                together = zip(COUNTS, answers[len(rows) :], strict=True)
                worst = max(float(np.abs(answer - alone[:count]).max()) for count, answer in together)
                found[f"{name} in {ggml.buffer_type_name(place).decode()}"] = worst
    return found


@dataclass(frozen=True)
class Case:
    """One attention: sizes, the type of the cells, and what models do to scores."""

    dk: int = 64
    dv: int = 64
    heads: int = 6
    kv_heads: int = 2
    rows: int = 5
    cells: int = 300
    kind: str = "f16"
    max_bias: float = 0.0
    softcap: float = 0.0
    sinks: bool = False
    seed: int = 1

    @property
    def scale(self) -> float:
        return float(self.dk**-0.5)


CASES = (
    Case(),
    Case(kind="f32"),
    Case(kind="bf16"),
    Case(kind="q8_0"),
    Case(kind="q4_0"),
    Case(rows=1, cells=1000),
    Case(rows=70, cells=200, heads=8, kv_heads=8),
    Case(dk=128, dv=128, heads=4, kv_heads=1),
    Case(dk=80, dv=80),
    Case(dk=192, dv=128, heads=40, kv_heads=1),
    Case(max_bias=8.0, heads=12, kv_heads=4),
    Case(softcap=20.0),
    Case(sinks=True, rows=33),
    Case(sinks=True, rows=1, max_bias=8.0),
)


@dataclass(frozen=True)
class Tensors:
    """q: (heads, rows, dk); k and v: (heads, cells, size), or those as the pool's bytes; mask: (rows, cells); sinks: one for each head."""

    q: Floats
    k: NDArray[Any]
    v: NDArray[Any]
    mask: NDArray[np.float16]
    sinks: Floats | None


class Attention:
    """ggml's flash attention on tensors made of arrays; the cells of `case` lie where `places` says, in a pool of `pool`."""

    def __init__(self, ggml: Ggml, kernels: Kernels) -> None:
        self._ggml, self._kernels = ggml, kernels
        library = ctypes.CDLL(str(library_path(library_folder(), "ggml")))
        pointer, long, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
        self._tensor = library.ggml_new_tensor_4d
        self._tensor.restype, self._tensor.argtypes = pointer, (pointer, ctypes.c_int, long, long, long, long)
        self._attend = library.ggml_flash_attn_ext
        self._attend.restype, self._attend.argtypes = pointer, (*[pointer] * 5, number, number, number)
        self._sinks = library.ggml_flash_attn_ext_add_sinks
        self._sinks.restype, self._sinks.argtypes = None, (pointer, pointer)

    def cells(self, kind: str, values: Floats) -> tuple[NDArray[np.uint8], Floats]:
        """(heads, cells, size) as the pool's bytes, and what they stand for."""
        flat = np.ascontiguousarray(values.reshape(-1, values.shape[-1]))
        if kind == "f32":
            return flat.view(np.uint8), values
        ggml, number = self._ggml, CELL_TYPES[kind]
        rows, size = flat.shape
        blocks = np.zeros(ggml.row_size(number, size) * rows, np.uint8)
        ggml.quantize(number, flat.ctypes.data, blocks.ctypes.data, 0, rows, size, None)
        meant = np.zeros_like(flat)
        ggml.traits(number).contents.to_float(blocks.ctypes.data, meant.ctypes.data, meant.size)
        return blocks, meant.reshape(values.shape)

    def pooled(self, case: Case, given: Tensors) -> Tensors:
        """With k and v as the pool's bytes."""
        return replace(given, k=self.cells(case.kind, given.k)[0], v=self.cells(case.kind, given.v)[0])

    def meant(self, case: Case, given: Tensors) -> Tensors:
        """With k and v as what the pool's bytes stand for."""
        return replace(given, k=self.cells(case.kind, given.k)[1], v=self.cells(case.kind, given.v)[1])

    def run(self, case: Case, given: Tensors) -> Floats:
        """Attention to the pool's bytes: (rows, heads, dv)."""
        mask, sinks = given.mask, given.sinks
        ggml, kind = self._ggml, CELL_TYPES[case.kind]
        context = ggml.context()
        pool = mask.shape[1]
        tensors = [
            (self._tensor(context, 0, case.dk, len(mask), case.heads, 1), given.q),
            (self._tensor(context, kind, case.dk, pool, case.kv_heads, 1), given.k),
            (self._tensor(context, kind, case.dv, pool, case.kv_heads, 1), given.v),
            (self._tensor(context, 1, pool, len(mask), 1, 1), mask),
        ]
        result = self._attend(context, *(tensor for tensor, _ in tensors), case.scale, case.max_bias, case.softcap)
        if sinks is not None:
            tensors.append((self._tensor(context, 0, case.heads, 1, 1, 1), sinks))
            self._sinks(result, tensors[-1][0])
        graph = ggml.graph(context)
        ggml.expand(graph, result)
        buffer = ggml.allocate(context, self._kernels.buffer_types[0])
        for tensor, values in tensors:
            ggml.write(tensor, values.ctypes.data, 0, values.nbytes)
        answer = np.full((len(mask), case.heads, case.dv), np.nan, np.float32)
        assert ggml.compute(self._kernels._backend, graph) == 0
        ggml.read(result, answer.ctypes.data, 0, answer.nbytes)
        ggml.free_buffer(buffer)
        ggml.free(context)
        return answer


def expected(case: Case, given: Tensors) -> Floats:
    """The definition (Press et al. 2021 for the slopes of `max_bias`), in 64 bits."""
    group = case.heads // case.kv_heads
    k, v = (np.repeat(values.astype(np.float64), group, axis=0) for values in (given.k, given.v))
    scores = np.einsum("hrd,hcd->hrc", given.q.astype(np.float64), k) * case.scale
    if case.softcap:
        scores = case.softcap * np.tanh(scores / case.softcap)
    scores += slopes(case)[:, None, None] * given.mask.astype(np.float64)
    top = scores.max(axis=-1, keepdims=True)
    weights = np.exp(scores - top)
    total = weights.sum(axis=-1, keepdims=True)
    if given.sinks is not None:
        total += np.exp(given.sinks.astype(np.float64)[:, None, None] - top)
    answer: Floats = np.einsum("hrc,hcd->rhd", weights / total, v).astype(np.float32)
    return answer


def slopes(case: Case) -> NDArray[np.float64]:
    if not case.max_bias:
        return np.ones(case.heads)
    whole = 2 ** int(np.log2(case.heads))
    heads = np.arange(case.heads)
    near = 2.0 ** (-case.max_bias / whole * (heads + 1))
    far = 2.0 ** (-case.max_bias / 2 / whole * (2 * (heads - whole) + 1))
    found: NDArray[np.float64] = np.where(heads < whole, near, far)
    return found


def inputs(case: Case) -> Tensors:
    random = np.random.default_rng(case.seed)

    def normal(*shape: int) -> Floats:
        return random.standard_normal(shape, np.float32)

    seen = random.random((case.rows, case.cells)) < 0.7
    seen[:, 0] = True
    added = -np.arange(case.cells)[None, :].astype(np.float16) / 8 if case.max_bias else np.float16(0)
    mask = np.where(seen, added, MASKED).astype(np.float16)
    return Tensors(
        normal(case.heads, case.rows, case.dk),
        normal(case.kv_heads, case.cells, case.dk),
        normal(case.kv_heads, case.cells, case.dv),
        mask,
        normal(case.heads) if case.sinks else None,
    )


def attention_errors(attention: Attention) -> dict[str, float]:
    """How far each case is from its definition."""
    found = {}
    for case in CASES:
        given = inputs(case)
        answer = attention.run(case, attention.pooled(case, given))
        found[str(case)] = float(np.abs(answer - expected(case, attention.meant(case, given))).max())
    return found


def attention_places(attention: Attention) -> dict[str, float]:
    """For each case: the greatest difference after its cells were moved about in a larger pool and its rows were asked in parts."""
    found = {}
    for case in CASES:
        given = inputs(case)
        alone = attention.run(case, attention.pooled(case, given))
        moved = attention.pooled(case, scattered(case, given))
        worst = 0.0
        for begin, end in parts(case.rows):
            asked = np.ascontiguousarray(given.q[:, begin:end])
            part = replace(moved, q=asked, mask=moved.mask[begin:end].copy())
            answer = attention.run(replace(case, rows=end - begin), part)
            worst = max(worst, float(np.abs(answer - alone[begin:end]).max()))
        found[str(case)] = worst
    return found


def scattered(case: Case, given: Tensors) -> Tensors:
    """The same cells in any order in a larger pool."""
    pool = 2 * case.cells + 37
    places = np.random.default_rng(2).permutation(pool)[: case.cells]
    mask = np.full((case.rows, pool), MASKED, np.float16)
    mask[:, places] = given.mask
    return replace(given, k=spread(given.k, places, pool), v=spread(given.v, places, pool), mask=mask)


def spread(values: Floats, places: NDArray[np.int64], pool: int) -> Floats:
    """(heads, cells, size) → (heads, pool, size): each cell at its place, others' between them."""
    wide = np.random.default_rng(3).standard_normal((values.shape[0], pool, values.shape[2]), np.float32)
    wide[:, places] = values
    return wide


def parts(rows: int) -> Iterator[tuple[int, int]]:
    """One row, a few, the rest; then all."""
    yield from pairwise(sorted({0, min(1, rows), min(4, rows), rows}))
    yield 0, rows


def main(arguments: Sequence[str]) -> None:
    folder = library_folder()
    ggml = Ggml(library_path(folder, "ggml"))
    kernels = Kernels(ggml, str(folder / f"{PREFIX}-{arguments[0]}.so"))
    attention = Attention(ggml, kernels)
    found = {
        "products": product_rows(ggml, kernels),
        "errors": attention_errors(attention),
        "places": attention_places(attention),
    }
    print(json.dumps(found))  # noqa: T201 - this is a program


if __name__ == "__main__":
    main(sys.argv[1:])
