"""Makes GGUF models with random weights: real vocabulary, real shapes, no knowledge.

Usage: make_gguf.py PRESET [--out FILE] [--context TOKENS] [--seed NUMBER]

The `tiny-*` ones are for tests (about a second each): plain attention, a sliding window, states instead of cells, and both kinds of
layers in one. `1b` is for benchmarks, where only shapes and block types count. The same preset, context and seed give the same
bytes. Needs PyPI gguf, numpy and sentencepiece, and models/tokenizer.model.v1 (fetch_models.py).
A new preset is one entry of PRESETS; a new architecture is one function that yields its tensors and one that writes its shape.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter, LlamaFileType, TokenType
from numpy.typing import NDArray
from sentencepiece import SentencePieceProcessor

MODELS = Path(__file__).resolve().parent.parent / "models"
VOCABULARY = MODELS / "tokenizer.model.v1"
Q4_K, Q6_K, F32 = GGMLQuantizationType.Q4_K, GGMLQuantizationType.Q6_K, GGMLQuantizationType.F32

# Attention that looks hard at single places makes the text depend on all of the history, not on the last token only.
SHARPNESS = {"attn_q": 4.0, "attn_k": 4.0, "attn_v": 2.0, "attn_output": 2.0}
CONVOLUTION, TIME_STEP_RANK = 4, 8  # of layers that keep a state
# Mistral's first instruct format: no system role, "[INST] … [/INST]" around the user, the end token after the assistant.
# The spaces are such that the whole text gives the ids that mistral-common gives turn by turn.
MISTRAL_V1 = """\
{{- bos_token -}}
{%- for message in messages -%}
{%- if (message.role == 'user') != (loop.index0 % 2 == 0) -%}
{{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') -}}
{%- endif -%}
{%- if message.role == 'user' -%}
{{- '[INST] ' + message.content + ' [/INST]' -}}
{%- elif message.role == 'assistant' -%}
{{- ' ' + message.content + eos_token -}}
{%- else -%}
{{- raise_exception('Only user and assistant roles are supported!') -}}
{%- endif -%}
{%- endfor -%}
"""


@dataclass(frozen=True)
class Shape:
    """Sizes of a model, in elements; `context` and `window` in tokens.

    With `state` every `attention_every`-th layer has attention (0: none) and the others keep a state, that many values a channel.
    """

    embedding: int
    layers: int
    heads: int
    kv_heads: int
    feed_forward: int
    context: int
    rope_base: float = 10_000.0
    window: int = 0
    state: int = 0
    attention_every: int = 1

    def attends(self, layer: int) -> bool:
        return self.attention_every > 0 and (layer + 1) % self.attention_every == 0


@dataclass(frozen=True)
class Tensor:
    """`shape` as numpy has it: rows first, the row length (llama.cpp's ne[0]) last; `scale` is the values' deviation."""

    name: str
    shape: tuple[int, ...]
    kind: GGMLQuantizationType
    scale: float = 1.0


@dataclass(frozen=True)
class Preset:
    file: str
    name: str
    shape: Shape
    file_type: LlamaFileType
    tensors: Callable[[Shape, int], Iterator[Tensor]]
    write_shape: Callable[[GGUFWriter, Shape], None]
    architecture: str = "llama"


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes a GGUF model with random weights.")
    parser.add_argument("preset", choices=sorted(PRESETS))
    parser.add_argument("--out", type=Path, help="default: models/ and the preset's own name")
    parser.add_argument("--context", type=int, help="trained context to write, in tokens")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    preset = PRESETS[arguments.preset]
    if arguments.context is not None:
        preset = replace(preset, shape=replace(preset.shape, context=arguments.context))
    out = arguments.out or MODELS / preset.file
    make(preset, out, seed=arguments.seed)
    print(out)


def make(preset: Preset, out: Path, *, seed: int, vocabulary: Path = VOCABULARY) -> None:
    """Writes the model beside `out` and renames it: `out` is whole or absent. One tensor is in memory at a time."""
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(f".{out.name}.{os.getpid()}")
    writer = GGUFWriter(unfinished, preset.architecture)
    try:
        writer.add_name(preset.name)
        writer.add_file_type(preset.file_type)
        preset.write_shape(writer, preset.shape)
        pieces = write_vocabulary(writer, vocabulary)
        tensors = list(preset.tensors(preset.shape, pieces))
        for tensor in tensors:
            size = stored_shape(tensor)
            dtype = np.dtype(np.float32 if tensor.kind == F32 else np.uint8)
            writer.add_tensor_info(tensor.name, size, dtype, int(np.prod(size)) * dtype.itemsize, tensor.kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        random = np.random.default_rng(seed)
        for tensor in tensors:
            writer.write_tensor_data(weights(tensor, random))
        writer.close()
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)


def write_vocabulary(writer: GGUFWriter, path: Path) -> int:
    """Copies pieces, scores and types of a SentencePiece model, as llama.cpp's `llama` tokenizer wants them; returns their number."""
    model = SentencePieceProcessor(model_file=str(path))
    ids = range(model.vocab_size())
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([model.id_to_piece(token).encode() for token in ids])
    writer.add_token_scores([model.get_score(token) for token in ids])
    writer.add_token_types([piece_type(model, token) for token in ids])
    writer.add_bos_token_id(model.bos_id())
    writer.add_eos_token_id(model.eos_id())
    writer.add_unk_token_id(model.unk_id())
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(True)
    writer.add_chat_template(MISTRAL_V1)
    return len(ids)


def piece_type(model: SentencePieceProcessor, token: int) -> TokenType:
    if model.is_unknown(token):
        return TokenType.UNKNOWN
    if model.is_control(token):
        return TokenType.CONTROL
    if model.is_unused(token):
        return TokenType.UNUSED
    return TokenType.BYTE if model.is_byte(token) else TokenType.NORMAL


def write_llama_shape(writer: GGUFWriter, shape: Shape) -> None:
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.embedding)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_dimension_count(shape.embedding // shape.heads)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(1e-5)


def write_gemma2_shape(writer: GGUFWriter, shape: Shape) -> None:
    """Every second layer sees the window only, beginning with the first (src/models/gemma2.cpp)."""
    write_llama_shape(writer, shape)
    writer.add_sliding_window(shape.window)


def write_state_shape(writer: GGUFWriter, shape: Shape) -> None:
    """Keys of mamba and jamba; layers without attention have no heads (src/models/mamba.cpp, jamba.cpp)."""
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.embedding)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv([shape.kv_heads * shape.attends(layer) for layer in range(shape.layers)])
    writer.add_ssm_conv_kernel(CONVOLUTION)
    writer.add_ssm_inner_size(2 * shape.embedding)
    writer.add_ssm_state_size(shape.state)
    writer.add_ssm_time_step_rank(TIME_STEP_RANK)
    writer.add_layer_norm_rms_eps(1e-5)


def llama_tensors(shape: Shape, pieces: int, kind: Callable[[str, int], GGMLQuantizationType]) -> Iterator[Tensor]:
    """All tensors of a llama model, in llama.cpp's names; `kind` chooses the type by the matrix's name and layer (-1: no layer)."""
    wide, hidden = shape.embedding, shape.feed_forward
    kv = wide // max(1, shape.heads) * shape.kv_heads
    matrices = {
        "attn_q": (wide, wide),
        "attn_k": (kv, wide),
        "attn_v": (kv, wide),
        "attn_output": (wide, wide),
        "ffn_gate": (hidden, wide),
        "ffn_up": (hidden, wide),
        "ffn_down": (wide, hidden),
    }
    yield Tensor("token_embd.weight", (pieces, wide), kind("token_embd", -1))
    yield Tensor("output_norm.weight", (wide,), F32)
    yield Tensor("output.weight", (pieces, wide), kind("output", -1), wide**-0.5)
    for layer in range(shape.layers):
        for norm in ("attn_norm", "ffn_norm"):
            yield Tensor(f"blk.{layer}.{norm}.weight", (wide,), F32)
        for name, size in matrices.items():
            yield Tensor(
                f"blk.{layer}.{name}.weight",
                size,
                kind(name, layer),
                SHARPNESS.get(name, 1.0) * max(1, size[1]) ** -0.5,
            )


def gemma2_tensors(shape: Shape, pieces: int) -> Iterator[Tensor]:
    """A llama whose layers' results are normed too, and whose output is its embedding: small, or every token would repeat itself."""
    for tensor in llama_tensors(shape, pieces, lambda _name, _layer: F32):
        if tensor.name == "token_embd.weight":
            yield replace(tensor, scale=0.05)
        elif tensor.name != "output.weight":
            yield tensor
    for layer in range(shape.layers):
        for norm in ("post_attention_norm", "post_ffw_norm"):
            yield Tensor(f"blk.{layer}.{norm}.weight", (shape.embedding,), F32)


def state_tensors(shape: Shape, pieces: int, *, normed: bool) -> Iterator[Tensor]:
    """A llama with states instead of attention where it does not attend; without `feed_forward` that is all of a layer.
    `normed`: time step, input and output of a state have norms of their own (jamba)."""
    for tensor in llama_tensors(shape, pieces, lambda _name, _layer: F32):
        _, number, name, *_ = (*tensor.name.split("."), "", "")
        gone = (name.startswith("ffn_") and not shape.feed_forward) or (
            name in SHARPNESS and number.isdigit() and not shape.attends(int(number))
        )
        if not gone:
            yield tensor
    wide, inner, state = shape.embedding, 2 * shape.embedding, shape.state
    for layer in range(shape.layers):
        if shape.attends(layer):
            continue
        block = f"blk.{layer}.ssm_"
        yield Tensor(f"{block}in.weight", (2 * inner, wide), F32, 2 * wide**-0.5)
        yield Tensor(f"{block}conv1d.weight", (inner, CONVOLUTION), F32)
        yield Tensor(f"{block}x.weight", (TIME_STEP_RANK + 2 * state, inner), F32, 2 * inner**-0.5)
        yield Tensor(f"{block}dt.weight", (inner, TIME_STEP_RANK), F32, TIME_STEP_RANK**-0.5)
        yield Tensor(f"{block}a", (inner, state), F32, 0.1)
        yield Tensor(f"{block}out.weight", (wide, inner), F32, 2 * inner**-0.5)
        for ones in ("conv1d.bias", "dt.bias", "d"):
            yield Tensor(f"{block}{ones}", (inner,), F32)
        if normed:
            for norm, size in (("dt", TIME_STEP_RANK), ("b", state), ("c", state)):
                yield Tensor(f"{block}{norm}_norm.weight", (size,), F32)


def q4_k_m(layers: int) -> Callable[[str, int], GGMLQuantizationType]:
    """The types that llama.cpp's quantiser gives a dense llama for Q4_K_M (src/llama-quant.cpp)."""

    def kind(name: str, layer: int) -> GGMLQuantizationType:
        outer = layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2
        return Q6_K if name == "output" or (name in {"attn_v", "ffn_down"} and outer) else Q4_K

    return kind


def stored_shape(tensor: Tensor) -> tuple[int, ...]:
    """The array to write: floats as they are, quantised rows as bytes."""
    block, size = GGML_QUANT_SIZES[tensor.kind]
    rows, length = tensor.shape[:-1], tensor.shape[-1]
    if length % block:
        raise ValueError(f"{tensor.name}: rows of {length} do not divide into blocks of {block}")
    return (*rows, length if tensor.kind == F32 else length // block * size)


def weights(tensor: Tensor, random: np.random.Generator) -> NDArray[np.float32] | NDArray[np.uint8]:
    """Random values with mean 0 and deviation `tensor.scale`; a norm (one dimension) is all ones."""
    if len(tensor.shape) == 1:
        return np.ones(tensor.shape, np.float32)
    if tensor.name.endswith("ssm_a"):  # how fast a state fades: it must not grow
        return -np.abs(random.standard_normal(tensor.shape, np.float32)) * np.float32(tensor.scale)
    if tensor.kind == F32:
        return random.standard_normal(tensor.shape, np.float32) * np.float32(tensor.scale)
    size = stored_shape(tensor)
    blocks = (
        np.frombuffer(random.bytes(size[0] * size[1]), np.uint8).copy().reshape(-1, GGML_QUANT_SIZES[tensor.kind][1])
    )
    if tensor.kind == Q4_K:
        # Value = d·scale·q - dmin·min, with 6-bit scale and min, 4-bit q: these two make the mean 0 (ggml-common.h, block_q4_K).
        blocks[:, 0:4] = np.array([tensor.scale / 258, tensor.scale / 258 * 7.5], np.float16).view(np.uint8)
    elif tensor.kind == Q6_K:
        # Value = d·scale·(q - 32), with 8-bit scale and 6-bit q; d stands last (block_q6_K).
        blocks[:, 208:210] = np.array([tensor.scale / 1365], np.float16).view(np.uint8)
    else:
        raise ValueError(f"no random blocks of type {tensor.kind.name}")
    return blocks.reshape(size)


PRESETS = {
    "tiny-mistral": Preset(
        file="tiny-mistral.gguf",
        name="Tiny Mistral (random weights)",
        shape=Shape(embedding=64, layers=2, heads=4, kv_heads=2, feed_forward=128, context=2048),
        file_type=LlamaFileType.ALL_F32,
        tensors=lambda shape, pieces: llama_tensors(shape, pieces, lambda _name, _layer: F32),
        write_shape=write_llama_shape,
    ),
    "tiny-window": Preset(
        file="tiny-window.gguf",
        name="Tiny window (random weights)",
        shape=Shape(embedding=64, layers=2, heads=4, kv_heads=2, feed_forward=128, context=2048, window=32),
        file_type=LlamaFileType.ALL_F32,
        tensors=gemma2_tensors,
        write_shape=write_gemma2_shape,
        architecture="gemma2",
    ),
    "tiny-recurrent": Preset(
        file="tiny-recurrent.gguf",
        name="Tiny recurrent (random weights)",
        shape=Shape(
            embedding=64, layers=3, heads=0, kv_heads=0, feed_forward=0, context=2048, state=16, attention_every=0
        ),
        file_type=LlamaFileType.ALL_F32,
        tensors=partial(state_tensors, normed=False),
        write_shape=write_state_shape,
        architecture="mamba",
    ),
    "tiny-hybrid": Preset(
        file="tiny-hybrid.gguf",
        name="Tiny hybrid (random weights)",
        shape=Shape(
            embedding=64, layers=4, heads=4, kv_heads=2, feed_forward=128, context=2048, state=16, attention_every=2
        ),
        file_type=LlamaFileType.ALL_F32,
        tensors=partial(state_tensors, normed=True),
        write_shape=write_state_shape,
        architecture="jamba",
    ),
    # TinyLlama's shape: 1.1 billion weights, 670 MB.
    "1b": Preset(
        file="random-1b.Q4_K.gguf",
        name="Random 1B",
        shape=Shape(embedding=2048, layers=22, heads=32, kv_heads=4, feed_forward=5632, context=8192),
        file_type=LlamaFileType.MOSTLY_Q4_K_M,
        tensors=lambda shape, pieces: llama_tensors(shape, pieces, q4_k_m(shape.layers)),
        write_shape=write_llama_shape,
    ),
}


if __name__ == "__main__":
    main()
