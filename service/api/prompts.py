"""Prompts in all of llama-server's and OpenAI's shapes, as token ids.

"text" | [1, 2] | [1, "text", 2] | ["text", [1, 2], [1, "text"]]: a list that holds a number is one prompt, any other is several.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.engine.engine import Engine
from service.errors import InvalidRequest


async def read_prompts(engine: Engine, prompt: str | list[Any]) -> list[tuple[int, ...]]:
    """One tuple of token ids for each prompt. Raises InvalidRequest that names the place."""
    return [await _one(engine, item, name) for item, name in split_prompts(prompt)]


def split_prompts(prompt: str | list[Any]) -> list[tuple[str | list[Any], str]]:
    """Each prompt and its name in errors."""
    if isinstance(prompt, str) or any(_is_token(item) for item in prompt):
        return [(prompt, "prompt")]
    if not prompt:
        raise InvalidRequest("prompt: must not be empty", param="prompt")
    for index, item in enumerate(prompt):
        if not isinstance(item, (str, list)):
            raise _wrong(f"prompt[{index}]", item)
    return [(item, f"prompt[{index}]") for index, item in enumerate(prompt)]


async def _one(engine: Engine, prompt: str | list[Any], name: str) -> tuple[int, ...]:
    if not prompt:
        raise InvalidRequest(f"{name}: must not be empty", param=name)
    if isinstance(prompt, str):
        return tuple(await engine.tokenize(prompt, add_special=True, parse_special=True))
    return tuple(await tokenize_mixed(engine, prompt, name, add_special=True))


async def tokenize_mixed(
    engine: Engine, items: Sequence[Any], name: str, *, add_special: bool, parse_special: bool = True
) -> list[int]:
    """Ids stay, texts become ids; only a text that comes first may get a beginning-of-sequence token."""
    tokens: list[int] = []
    for index, item in enumerate(items):
        if isinstance(item, str):
            first = add_special and index == 0
            tokens += await engine.tokenize(item, add_special=first, parse_special=parse_special)
        elif _is_token(item):
            check_token(item, engine.model.info.vocabulary, f"{name}[{index}]")
            tokens.append(item)
        else:
            raise _wrong(f"{name}[{index}]", item)
    return tokens


def check_token(token: int, vocabulary: int, name: str) -> None:
    """Raises InvalidRequest where the vocabulary has no such token."""
    if not 0 <= token < vocabulary:
        raise InvalidRequest(f"{name}: token {token} is not in the vocabulary (0 to {vocabulary - 1})", param=name)


def _is_token(item: object) -> bool:
    return isinstance(item, int) and not isinstance(item, bool)


def _wrong(name: str, item: object) -> InvalidRequest:
    return InvalidRequest(f"{name}: expected a text or a token id, got {type(item).__name__}", param=name)


async def prompt_texts(engine: Engine, prompt: str | list[Any], prompts: Sequence[Sequence[int]]) -> list[str]:
    """The text of each prompt: as it came, or what its tokens stand for."""
    items = [item for item, _ in split_prompts(prompt)]
    return [
        item if isinstance(item, str) else await engine.detokenize(tokens)
        for item, tokens in zip(items, prompts, strict=True)
    ]
