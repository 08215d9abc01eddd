"""Text to tokens and back, as the seed samples have it."""

from __future__ import annotations

import threading

import pytest

from service.engine.llama.model import LlamaModel
from service.errors import InvalidRequest

SAMPLE_TOKENS = [22557, 1526, 28725, 910, 460, 368, 1609, 28804]
BOS, END = 1, 2


def test_the_seed_sample_is_tokenized(tiny: LlamaModel) -> None:
    assert tiny.tokenize("Hello world", add_special=False, parse_special=True) == [22557, 1526]


def test_the_seed_sample_is_detokenized_with_its_first_space(tiny: LlamaModel) -> None:
    assert tiny.detokenize(SAMPLE_TOKENS) == b" Hello world, how are you Sch?"


def test_special_tokens_are_added_and_parsed_only_when_asked(tiny: LlamaModel) -> None:
    assert tiny.tokenize("Hello", add_special=True, parse_special=False) == [BOS, 22557]
    assert tiny.tokenize("</s>", add_special=False, parse_special=True)[-1] == END
    assert END not in tiny.tokenize("</s>", add_special=False, parse_special=False)


def test_control_tokens_have_text_only_when_asked(tiny: LlamaModel) -> None:
    assert tiny.piece(END) == b"</s>"
    assert tiny.piece(END, special=False) == b""
    assert tiny.detokenize([BOS, 22557]) == b"<s> Hello"


def test_only_the_end_token_ends(tiny: LlamaModel) -> None:
    assert [token for token in range(tiny.info.vocabulary) if tiny.is_end(token)] == [END]


@pytest.mark.parametrize("text", ["", "\0a\0", "…\U0001f642" * 300, "x" * 20_000, "\n\t  \u00a0"])
def test_text_survives_the_way_there_and_back(tiny: LlamaModel, text: str) -> None:
    tokens = tiny.tokenize(text, add_special=False, parse_special=False)
    # The vocabulary puts a space before a text.
    assert tiny.detokenize(tokens).decode().removeprefix(" ") == text.removeprefix(" ")


def test_a_lone_surrogate_is_a_question_mark(tiny: LlamaModel) -> None:
    assert tiny.tokenize("a\ud800", add_special=False, parse_special=False) == tiny.tokenize(
        "a?", add_special=False, parse_special=False
    )


@pytest.mark.parametrize("token", [-1, 32_000, 2**40])
def test_a_token_outside_the_vocabulary_is_refused(tiny: LlamaModel, token: int) -> None:
    with pytest.raises(InvalidRequest, match="not in the vocabulary") as caught:
        tiny.detokenize([token])
    assert caught.value.param == "tokens"


def test_threads_may_tokenize_at_once(tiny: LlamaModel) -> None:
    text = "How are you? " * 500
    expected = tiny.tokenize(text, add_special=True, parse_special=True)
    results: list[list[int]] = []
    threads = [
        threading.Thread(target=lambda: results.append(tiny.tokenize(text, add_special=True, parse_special=True)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 8


def test_the_model_says_what_it_is(tiny: LlamaModel) -> None:
    info = tiny.info
    assert (info.architecture, info.quantization, info.vocabulary, info.trained_context) == (
        "llama",
        "all F32",
        32_000,
        2048,
    )
    assert (info.bos_token, info.eos_token, info.adds_bos, info.vocabulary_type) == ("<s>", "</s>", True, 1)
    assert "[INST]" in info.chat_template
    assert info.tool_template == ""
    assert info.parameters > 4_000_000
    assert info.size >= 4 * info.parameters
    assert info.metadata["general.architecture"] == "llama"
    assert not any("chat_template" in key for key in info.metadata)
