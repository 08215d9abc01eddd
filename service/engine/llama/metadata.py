"""What a loaded model says of itself."""

from __future__ import annotations

import ctypes

from llama_cpp import llama_cpp as native

from service.engine.llama.options import CACHE_TYPES, LlamaOptions
from service.engine.llama.vocabulary import Vocabulary
from service.engine.memory import CacheShape
from service.engine.requests import ModelInfo

TEMPLATE_KEY = "tokenizer.chat_template"


def model_info(model: int, vocabulary: Vocabulary, path: str, metadata: dict[str, str]) -> ModelInfo:
    return ModelInfo(
        path=path,
        description=text_of(native.llama_model_desc, model),
        architecture=metadata.get("general.architecture", ""),
        quantization=quantization(model),
        parameters=int(native.llama_model_n_params(model)),
        size=int(native.llama_model_size(model)),
        vocabulary=vocabulary.size,
        vocabulary_type=vocabulary.kind,
        embedding=int(native.llama_model_n_embd(model)),
        trained_context=int(native.llama_model_n_ctx_train(model)),
        bos_token=vocabulary.text(vocabulary.bos),
        eos_token=vocabulary.text(vocabulary.eos),
        adds_bos=vocabulary.adds_bos,
        chat_template=template(model, None),
        tool_template=template(model, b"tool_use"),
        metadata={key: value for key, value in metadata.items() if not key.startswith(TEMPLATE_KEY)},
    )


def read_metadata(model: int) -> dict[str, str]:
    """The scalar keys of the file as text; llama.cpp does not give lists."""
    return {
        text_of(native.llama_model_meta_key_by_index, model, index): text_of(
            native.llama_model_meta_val_str_by_index, model, index
        )
        for index in range(native.llama_model_meta_count(model))
    }


def text_of(function: ctypes._NamedFuncPointer, *arguments: int) -> str:
    """The text that a llama.cpp function writes into a buffer, whatever its length."""
    room = 256
    while True:
        buffer = ctypes.create_string_buffer(room)
        length = int(function(*arguments, buffer, room))
        if length < room:
            return buffer.value.decode(errors="replace")
        room = length + 1


def quantization(model: int) -> str:
    """The file's type in llama.cpp's words, such as "Q4_K - Medium"."""
    name = native.llama_ftype_name(native.llama_model_ftype(model))
    return name.decode().removeprefix("(guessed) ") if name else ""


def template(model: int, name: bytes | None) -> str:
    found = native.llama_model_chat_template(model, name)
    return found.decode(errors="replace") if found else ""


def cache_shape(model: int, metadata: dict[str, str], options: LlamaOptions) -> CacheShape:
    """Sizes that the cost of a context follows from. Where the file has a list (one value a layer) the first layer speaks."""
    architecture = metadata.get("general.architecture", "")
    heads = max(1, int(native.llama_model_n_head(model)))
    width = int(native.llama_model_n_embd(model))

    def number(key: str, otherwise: int) -> int:
        value = metadata.get(f"{architecture}.{key}", "")
        return int(value) if value.isdigit() else otherwise

    recurrent_only = bool(native.llama_model_is_recurrent(model))
    return CacheShape(
        layers=0 if recurrent_only else int(native.llama_model_n_layer(model)),
        kv_heads=int(native.llama_model_n_head_kv(model)) or heads,
        heads=heads,
        key_bytes=number("attention.key_length", width // heads) * CACHE_TYPES[options.cache_type_k].value_bytes,
        value_bytes=number("attention.value_length", width // heads) * CACHE_TYPES[options.cache_type_v].value_bytes,
        embedding=width,
        feed_forward=number("feed_forward_length", 4 * width),
        vocabulary=int(native.llama_vocab_n_tokens(native.llama_model_get_vocab(model))),
    )
