"""Parts of answers that every endpoint family shares."""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType


class PromptTokensDetails(Struct):
    """How much of the prompt stood in the cache."""

    cached_tokens: int


class Usage(Struct):
    """Tokens of all choices together; a prompt counts once."""

    completion_tokens: int
    prompt_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails


class TimingsBody(Struct):
    """llama-server's `timings`: milliseconds, and tokens a second. The first token is part of the prompt's time."""

    cache_n: int
    prompt_n: int
    prompt_ms: float
    prompt_per_token_ms: float
    prompt_per_second: float
    predicted_n: int
    predicted_ms: float
    predicted_per_token_ms: float
    predicted_per_second: float


class TokenLogprob(Struct):
    """A token and how likely it was: `logprob`, or `prob` where probabilities after the samplers were asked for."""

    id: int
    token: str
    bytes: list[int]
    logprob: float | UnsetType = UNSET
    prob: float | UnsetType = UNSET
    top_logprobs: list[TokenLogprob] | UnsetType = UNSET
    top_probs: list[TokenLogprob] | UnsetType = UNSET


class ChatLogprobs(Struct):
    """Probabilities of the answer's tokens."""

    content: list[TokenLogprob]


class ErrorObject(Struct):
    """What went wrong. `code` is the HTTP status, `param` the field that caused it."""

    message: str
    type: str
    code: int
    param: str | None
    n_prompt_tokens: int | UnsetType = UNSET
    n_ctx: int | UnsetType = UNSET
    progress: float | UnsetType = UNSET


class ErrorBody(Struct):
    """Every error's answer."""

    error: ErrorObject
