"""The model on a GPU computes what it computes on the CPUs, whatever part of it lies there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
from numpy.typing import NDArray

from service.engine.llama.devices import Device
from service.engine.llama.loading import load_model
from service.engine.llama.model import LlamaModel
from service.engine.llama.options import LlamaOptions
from service.engine.model import CopyPrefix, DecodeResult, Load, Rows, Save, Trim

pytestmark = pytest.mark.usefixtures("gpu")

TEXT = "one two three four five six seven eight nine ten eleven twelve"
SAME = 0.01
"""Of the logits' mean square: the CPUs round activations to 8 bits, the GPU in other places."""


def loaded(path: Path, **changes: object) -> LlamaModel:
    options = LlamaOptions(str(path), context=1024, batch=256, ubatch=128, sequences=8, threads=4, threads_batch=4)
    return load_model(replace(options, **changes), lambda _: None)  # type: ignore[arg-type]


def logits_of(model: LlamaModel, start: int = 0, sequence: int = 0) -> NDArray[np.float32]:
    tokens = model.tokenize(TEXT, add_special=True, parse_special=True)
    assert model.decode([Rows(sequence, start, tokens[start:], wants_sample=True)]) is DecodeResult.OK
    return np.array(model.logits(0))


def difference(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.mean((one - other) ** 2) / np.mean(one**2))


@pytest.fixture(scope="module")
def on_cpus(calm: Path) -> NDArray[np.float32]:
    model = loaded(calm, devices=("none",))
    logits = logits_of(model)
    assert model.runtime.gpu_layers == 0
    model.close()
    return logits


@pytest.mark.parametrize(
    ("changes", "layers"),
    [
        ({}, 5),
        ({"gpu_layers": -2}, 5),
        ({"gpu_layers": 99}, 5),
        ({"gpu_layers": 3}, 3),
        ({"gpu_layers": 1}, 1),
        ({"gpu_layers": 0}, 0),
        ({"split_mode": "none"}, 5),
        ({"split_mode": "tensor"}, 5),
        ({"tensor_split": (1.0,)}, 5),
        ({"kv_offload": False}, 5),
        ({"flash_attn": "on"}, 5),
        ({"flash_attn": "off"}, 5),
        ({"flash_attn": "on", "cache_type_k": "q8_0", "cache_type_v": "q8_0"}, 5),
        ({"mmap": False}, 5),
    ],
    ids=str,
)
def test_logits_are_those_of_the_cpus(
    calm: Path, on_cpus: NDArray[np.float32], changes: dict[str, object], layers: int
) -> None:
    model = loaded(calm, **changes)
    found = difference(on_cpus, logits_of(model))
    print(f"difference {found:.2e}, {model.runtime.gpu_layers} layers")  # noqa: T201
    assert model.runtime.gpu_layers == layers
    model.close()
    assert found < SAME


def test_a_device_can_be_named(calm: Path, on_cpus: NDArray[np.float32], gpu: Device) -> None:
    model = loaded(calm, devices=(gpu.name,))
    assert difference(on_cpus, logits_of(model)) < SAME
    model.close()


def test_a_step_is_over_when_decode_returns(calm: Path) -> None:
    """The engine measures it, and learns from that how many rows of a prompt keep other texts going."""
    model = loaded(calm, context=4096, batch=2048, ubatch=512)
    tokens = list(range(300, 2300))
    times = []
    for _ in range(3):
        began = perf_counter()
        model.decode([Rows(0, 0, tokens, wants_sample=True)])
        ended = perf_counter()
        model.logits(0)[0]
        times.append((ended - began, perf_counter() - ended))
        model.apply([Trim(0, 0)])
    model.close()
    print(f"decode and what came after: {times}")  # noqa: T201
    computing, after = times[-1]
    assert after < computing / 10


def test_prefixes_are_shared_saved_and_fetched(calm: Path) -> None:
    model = loaded(calm)
    expected = logits_of(model)
    count = len(model.tokenize(TEXT, add_special=True, parse_special=True))
    model.apply([CopyPrefix(0, 1, count - 4)])
    assert difference(expected, logits_of(model, count - 4, 1)) < SAME
    model.apply([Save(0, 7, count), Trim(0, 0), Trim(1, 0), Load(7, 2, count), Trim(2, count - 4)])
    assert difference(expected, logits_of(model, count - 4, 2)) < SAME
    model.close()
