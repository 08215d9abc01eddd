"""Prompts in all of llama-server's and OpenAI's shapes, as token ids.

"text" | [1, 2] | [1, "text", 2] | ["text", [1, 2], [1, "text"]]: a list that holds a number is one prompt, any other is several.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.api.context import Service
from service.api.ordering import check_number
from service.api.schemas.completions import PromptFields
from service.engine.model import Model
from service.errors import InvalidRequest


def read_prompts(service: Service, body: PromptFields) -> list[tuple[int, ...]]:
    """One tuple of token ids for each prompt. Raises InvalidRequest that names the place."""
    prompts = split_prompts(body.prompt)
    check_number(service, len(prompts), body)
    names = [f"prompt[{index}]" for index in range(len(prompts))] if prompts is body.prompt else ["prompt"]
    return [_one(service.engine.model, item, name) for item, name in zip(prompts, names, strict=True)]


def split_prompts(prompt: str | list[Any]) -> list[str | list[Any]]:
    """The prompts one by one: `prompt` itself where it holds several."""
    if isinstance(prompt, str) or any(type(item) is int for item in prompt):
        return [prompt]
    if not prompt:
        raise InvalidRequest("prompt: must not be empty", param="prompt")
    for index, item in enumerate(prompt):
        if not isinstance(item, (str, list)):
            raise _wrong(f"prompt[{index}]", item)
    return prompt


def _one(model: Model, prompt: str | list[Any], name: str) -> tuple[int, ...]:
    if not prompt:
        raise InvalidRequest(f"{name}: must not be empty", param=name)
    if isinstance(prompt, str):
        return tuple(model.tokenize(prompt, add_special=True, parse_special=True))
    return tuple(tokenize_mixed(model, prompt, name, add_special=True))


def tokenize_mixed(
    model: Model, items: Sequence[Any], name: str, *, add_special: bool, parse_special: bool = True
) -> list[int]:
    """Ids stay, texts become ids; only a text that comes first may get a beginning-of-sequence token."""
    vocabulary = model.info.vocabulary
    tokens: list[int] = []
    for index, item in enumerate(items):
        if type(item) is int:
            if not 0 <= item < vocabulary:
                raise unknown_token(item, vocabulary, f"{name}[{index}]")
            tokens.append(item)
        elif isinstance(item, str):
            first = add_special and index == 0
            tokens += model.tokenize(item, add_special=first, parse_special=parse_special)
        else:
            raise _wrong(f"{name}[{index}]", item)
    return tokens


def unknown_token(token: int, vocabulary: int, name: str) -> InvalidRequest:
    """The vocabulary has no such token."""
    return InvalidRequest(f"{name}: token {token} is not in the vocabulary (0 to {vocabulary - 1})", param=name)


def _wrong(name: str, item: object) -> InvalidRequest:
    return InvalidRequest(f"{name}: expected a text or a token id, got {type(item).__name__}", param=name)


def prompt_texts(model: Model, prompt: str | list[Any], prompts: Sequence[Sequence[int]]) -> list[str]:
    """The text of each prompt: as it came, or what its tokens stand for."""
    return [
        item if isinstance(item, str) else token_text(model, tokens)
        for item, tokens in zip(split_prompts(prompt), prompts, strict=True)
    ]


def token_text(model: Model, tokens: Sequence[int]) -> str:
    """The text of tokens; bytes that are not UTF-8 become U+FFFD."""
    return model.detokenize(tokens).decode("utf-8", "replace")
