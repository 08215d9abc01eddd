"""Tries a library of CPU kernels in a process of its own, because a kernel that the CPU cannot run kills whoever calls it.

Run as a program by variants.py; needs no model file and nothing of this service, so it is started by its path:

    trial.py score REGISTRY LIBRARY …   one line `LIBRARY SCORE` each, as ggml counts it; 0: not for this CPU
    trial.py try REGISTRY LIBRARY       multiplies matrices; silent and 0 if every result is right

REGISTRY is libggml's path. The last line of standard output says what was being done; standard error may say why it failed.
Takes half a second on an idle machine, most of it Python's own start.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# ggml.h, `enum ggml_type`: the types that models are made of. Those with kernels of their own (AMX, repacked) are among them.
WEIGHT_TYPES = {
    "F16": 1, "BF16": 30, "Q4_0": 2, "Q4_1": 3, "Q5_0": 6, "Q5_1": 7, "Q8_0": 8, "Q2_K": 10, "Q3_K": 11, "Q4_K": 12, "Q5_K": 13,
    "Q6_K": 14, "IQ4_NL": 20, "IQ4_XS": 23, "MXFP4": 39,
}  # fmt: skip
F32 = 0
ROW, COLUMNS = 512, 64  # whole blocks of every type, whole tiles of AMX, a tile for each of two threads
BATCHES = (1, 64)
THREADS = 2
MOST_ERROR = 0.005  # of the mean square; kernels round activations to 8 bits, which costs about 0.0001
CONTEXT_BYTES = 1 << 20
CPU_SECONDS = 10
"""Of CPU time: a kernel that spins for ever is ended however busy the machine, and a good one is not for the machine being busy."""

Pointer = ctypes.c_void_p
Floats = NDArray[np.float32]


class InitParams(ctypes.Structure):
    """ggml.h, `struct ggml_init_params`."""

    _fields_ = (("mem_size", ctypes.c_size_t), ("mem_buffer", Pointer), ("no_alloc", ctypes.c_bool))


class TypeTraits(ctypes.Structure):
    """ggml.h, `struct ggml_type_traits`."""

    _fields_ = (
        ("type_name", ctypes.c_char_p),
        ("blck_size", ctypes.c_int64),
        ("blck_size_interleave", ctypes.c_int64),
        ("type_size", ctypes.c_size_t),
        ("is_quantized", ctypes.c_bool),
        ("to_float", ctypes.CFUNCTYPE(None, Pointer, Pointer, ctypes.c_int64)),
        ("from_float_ref", Pointer),
    )


class Ggml:
    """The few functions of ggml that a matrix product needs."""

    def __init__(self, registry: Path) -> None:
        library = ctypes.CDLL(str(registry))
        size, number, long = ctypes.c_size_t, ctypes.c_int, ctypes.c_int64

        def function(name: str, result: type | None, *arguments: type) -> ctypes._NamedFuncPointer:
            found: ctypes._NamedFuncPointer = getattr(library, name)
            found.restype, found.argtypes = result, arguments
            return found

        self.load = function("ggml_backend_load", Pointer, ctypes.c_char_p)
        self.device = function("ggml_backend_reg_dev_get", Pointer, Pointer, size)
        self.proc = function("ggml_backend_reg_get_proc_address", Pointer, Pointer, ctypes.c_char_p)
        self.start = function("ggml_backend_dev_init", Pointer, Pointer, ctypes.c_char_p)
        self.buffer_type = function("ggml_backend_dev_buffer_type", Pointer, Pointer)
        self.buffer_type_name = function("ggml_backend_buft_name", ctypes.c_char_p, Pointer)
        self.supports = function("ggml_backend_dev_supports_op", ctypes.c_bool, Pointer, Pointer)
        self.allocate = function("ggml_backend_alloc_ctx_tensors_from_buft", Pointer, Pointer, Pointer)
        self.free_buffer = function("ggml_backend_buffer_free", None, Pointer)
        self.write = function("ggml_backend_tensor_set", None, Pointer, Pointer, size, size)
        self.read = function("ggml_backend_tensor_get", None, Pointer, Pointer, size, size)
        self.compute = function("ggml_backend_graph_compute", number, Pointer, Pointer)
        self.init = function("ggml_init", Pointer, InitParams)
        self.free = function("ggml_free", None, Pointer)
        self.tensor = function("ggml_new_tensor_2d", Pointer, Pointer, number, long, long)
        self.product = function("ggml_mul_mat", Pointer, Pointer, Pointer, Pointer)
        self.graph = function("ggml_new_graph", Pointer, Pointer)
        self.expand = function("ggml_build_forward_expand", None, Pointer, Pointer)
        self.row_size = function("ggml_row_size", size, number, long)
        self.quantize = function("ggml_quantize_chunk", size, number, Pointer, Pointer, long, long, long, Pointer)
        self.traits = function("ggml_get_type_traits", ctypes.POINTER(TypeTraits), number)

    def context(self) -> Pointer:
        return Pointer(self.init(InitParams(CONTEXT_BYTES, None, True)))


class Kernels:
    """One opened library with its only device, on two threads."""

    def __init__(self, ggml: Ggml, library: str) -> None:
        self._ggml = ggml
        registration = Pointer(ggml.load(library.encode()))
        if not registration:
            raise SystemExit("ggml refused to open it")
        self._device = Pointer(ggml.device(registration, 0))
        self._backend = Pointer(ggml.start(self._device, None))
        self._set_threads(registration)
        self.buffer_types = [Pointer(ggml.buffer_type(self._device)), *self._extra_buffer_types(registration)]

    def _set_threads(self, registration: Pointer) -> None:
        address = self._ggml.proc(registration, b"ggml_backend_set_n_threads")
        if address:
            ctypes.CFUNCTYPE(None, Pointer, ctypes.c_int)(address)(self._backend, THREADS)

    def _extra_buffer_types(self, registration: Pointer) -> Iterator[Pointer]:
        """Where weights are laid out anew for special kernels: AMX tiles, interleaved rows."""
        address = self._ggml.proc(registration, b"ggml_backend_dev_get_extra_bufts")
        if not address:
            return
        found = ctypes.CFUNCTYPE(ctypes.POINTER(Pointer), Pointer)(address)(self._device)
        index = 0
        while found and found[index]:
            yield Pointer(found[index])
            index += 1

    def products(
        self, buffer_type: Pointer, weight_type: int, blocks: NDArray[np.uint8], inputs: list[Floats]
    ) -> list[Floats]:
        """Weights times each of the inputs (rows, ROW) → (rows, COLUMNS); none if this buffer type has no kernel for it."""
        ggml = self._ggml
        weights_context = ggml.context()
        weights = ggml.tensor(weights_context, weight_type, ROW, COLUMNS)
        weights_buffer = ggml.allocate(weights_context, buffer_type)
        results = []
        for index, values in enumerate(inputs):
            context = ggml.context()
            operand = ggml.tensor(context, F32, ROW, len(values))
            product = ggml.product(context, weights, operand)
            if not ggml.supports(self._device, product):
                break
            if index == 0:  # laying out anew is defined only where the operation is supported
                ggml.write(weights, blocks.ctypes.data, 0, blocks.nbytes)
            results.append(self._run(context, operand, product, values))
            ggml.free(context)
        ggml.free_buffer(weights_buffer)
        ggml.free(weights_context)
        return results

    def _run(self, context: Pointer, operand: int, product: int, values: Floats) -> Floats:
        ggml = self._ggml
        graph = ggml.graph(context)
        ggml.expand(graph, product)
        buffer = ggml.allocate(context, self.buffer_types[0])
        ggml.write(operand, values.ctypes.data, 0, values.nbytes)
        result = np.full((len(values), COLUMNS), np.nan, np.float32)
        status = ggml.compute(self._backend, graph)
        if status != 0:
            raise SystemExit(f"computing answered {status}")
        ggml.read(product, result.ctypes.data, 0, result.nbytes)
        ggml.free_buffer(buffer)
        return result


def quantized(ggml: Ggml, weight_type: int, weights: Floats) -> tuple[NDArray[np.uint8], Floats]:
    """Weights as blocks of a type, and the values that those blocks stand for, both by ggml's plain C code."""
    blocks = np.zeros(ggml.row_size(weight_type, ROW) * COLUMNS, np.uint8)
    ggml.quantize(weight_type, weights.ctypes.data, blocks.ctypes.data, 0, COLUMNS, ROW, None)
    values = np.zeros_like(weights)
    ggml.traits(weight_type).contents.to_float(blocks.ctypes.data, values.ctypes.data, values.size)
    return blocks, values


def attempt(registry: Path, library: str) -> None:
    """Every weight type in every buffer type, one row and many. A wrong result is as bad as a crash."""
    ggml = Ggml(registry)
    say(f"opening {Path(library).name}")
    kernels = Kernels(ggml, library)
    random = np.random.default_rng(1)
    weights = random.standard_normal((COLUMNS, ROW), np.float32)
    inputs = [random.standard_normal((rows, ROW), np.float32) for rows in BATCHES]
    for name, weight_type in WEIGHT_TYPES.items():
        blocks, values = quantized(ggml, weight_type, weights)
        for buffer_type in kernels.buffer_types:
            place = ggml.buffer_type_name(buffer_type).decode()
            say(f"multiplying {name} in {place}")
            for given, result in zip(inputs, kernels.products(buffer_type, weight_type, blocks, inputs), strict=False):
                compare(given @ values.T, result)


def compare(expected: Floats, result: Floats) -> None:
    error = float(np.mean((result - expected) ** 2) / np.mean(expected**2))
    if not error < MOST_ERROR:
        raise SystemExit(f"{len(result)} rows came out wrong (error {error:.3g} of the mean square)")


def score(registry: Path, libraries: list[str]) -> None:
    """Prints each path before it is opened, and its score after: who reads knows which one killed us."""
    ctypes.CDLL(str(registry))
    for library in libraries:
        say(library)
        found = getattr(ctypes.CDLL(library), "ggml_backend_score", None)
        say(f"{library} {1 if found is None else found()}")


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - this is a program, and its output is what it is for


def main(mode: str, registry: str, *libraries: str) -> None:
    os.environ["GGML_NO_BACKTRACE"] = "1"
    limit_resources()
    if mode == "score":
        score(Path(registry), list(libraries))
    else:
        attempt(Path(registry), libraries[0])


def limit_resources() -> None:
    """No core dump, for a refused variant is an ordinary event; and so much CPU time."""
    import resource  # noqa: PLC0415 - not on Windows

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))


if __name__ == "__main__":
    main(*sys.argv[1:])
