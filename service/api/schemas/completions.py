"""The text endpoints: OpenAI's `/v1/completions` and llama-server's own `/completion`."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from service.api.schemas.answers import TimingsBody, TokenLogprob, Usage
from service.api.schemas.fields import Alternatives, GenerationFields, Unserved

Prompt = Annotated[
    str | list[Any],
    Meta(description="A text, token ids, both mixed in a list, or a list of several of those: one choice each."),
]


class PromptFields(GenerationFields, kw_only=True):
    """A text to continue."""

    prompt: Prompt
    suffix: Unserved = None
    best_of: Unserved = None


class CompletionRequest(PromptFields, kw_only=True):
    """The body of `/v1/completions`."""

    echo: Annotated[bool | None, Meta(description="Begin the answer with the prompt.")] = None
    logprobs: Annotated[Alternatives | None, Meta(description="So many alternatives beside each token.")] = None


class NativeRequest(PromptFields, kw_only=True):
    """The body of `/completion`."""

    logprobs: Annotated[Alternatives | None, Meta(description="The same as `n_probs`.")] = None
    response_fields: Annotated[
        list[str] | None, Meta(description="Only these fields of the answer; `a/b` is b of a, without a.")
    ] = None


class CompletionLogprobs(Struct):
    """OpenAI's columns and llama-server's `content`, of the same tokens. `text_offset` counts characters."""

    content: list[TokenLogprob]
    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int]


class CompletionChoice(Struct, kw_only=True):
    """One text, or in a stream a piece of it."""

    text: str
    index: int
    logprobs: CompletionLogprobs | None = None
    finish_reason: str | None = None


class Completion(Struct, kw_only=True):
    """A whole text completion, or one event of its stream."""

    choices: list[CompletionChoice]
    created: int
    model: str
    system_fingerprint: str
    object: str = "text_completion"
    usage: Usage | UnsetType = UNSET
    id: str
    timings: TimingsBody | UnsetType = UNSET


class NativeAnswer(Struct, kw_only=True):
    """llama-server's own answer, or one event of its stream (then the lower half is absent)."""

    index: int
    content: str
    tokens: list[int]
    id_slot: int = -1
    stop: bool
    tokens_predicted: int
    tokens_evaluated: int
    timings: TimingsBody | UnsetType = UNSET
    completion_probabilities: list[TokenLogprob] | UnsetType = UNSET
    model: str | UnsetType = UNSET
    generation_settings: dict[str, Any] | UnsetType = UNSET
    prompt: str | UnsetType = UNSET
    has_new_line: bool | UnsetType = UNSET
    truncated: bool | UnsetType = UNSET
    stop_type: str | UnsetType = UNSET
    stopping_word: str | UnsetType = UNSET
    tokens_cached: int | UnsetType = UNSET
