from __future__ import annotations

import numpy as np
import pytest
from gguf import GGMLQuantizationType
from gguf.quants import dequantize

from scripts.make_gguf import PRESETS, Tensor, llama_tensors, q4_k_m, stored_shape, weights

Q4_K, Q6_K, F32 = GGMLQuantizationType.Q4_K, GGMLQuantizationType.Q6_K, GGMLQuantizationType.F32


@pytest.mark.parametrize("kind", [Q4_K, Q6_K, F32])
def test_random_weights_have_mean_zero_and_the_deviation_asked_for(kind: GGMLQuantizationType) -> None:
    stored = weights(Tensor("matrix", (64, 2048), kind, 0.02), np.random.default_rng(1))
    values = stored if kind == F32 else dequantize(stored, kind)
    assert values.shape == (64, 2048)
    assert np.isfinite(values).all()
    assert abs(float(values.mean())) < 0.002
    assert float(values.std()) == pytest.approx(0.02, rel=0.05)


def test_the_same_seed_gives_the_same_weights() -> None:
    tensor = Tensor("matrix", (4, 256), Q4_K)
    first, again, other = (weights(tensor, np.random.default_rng(seed)).tobytes() for seed in (1, 1, 2))
    assert first == again != other


def test_a_norm_is_all_ones() -> None:
    assert weights(Tensor("norm", (8,), F32), np.random.default_rng(1)).tolist() == [1.0] * 8


def test_rows_that_do_not_divide_into_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match="matrix"):
        stored_shape(Tensor("matrix", (4, 100), Q4_K))


def test_q4_k_m_gives_six_bits_where_llama_cpp_does() -> None:
    kind = q4_k_m(22)
    assert kind("output", -1) == Q6_K
    assert kind("token_embd", -1) == Q4_K
    six = [layer for layer in range(22) if kind("ffn_down", layer) == Q6_K]
    assert six == [0, 1, 4, 7, 10, 13, 16, 19, 20, 21]
    assert [layer for layer in range(22) if kind("attn_v", layer) == Q6_K] == six
    assert all(kind("ffn_up", layer) == Q4_K for layer in range(22))


def test_the_benchmark_model_has_about_a_billion_weights() -> None:
    shape = PRESETS["1b"].shape
    tensors = list(llama_tensors(shape, 32_000, q4_k_m(shape.layers)))
    assert sum(int(np.prod(tensor.shape)) for tensor in tensors) == pytest.approx(1.1e9, rel=0.01)
