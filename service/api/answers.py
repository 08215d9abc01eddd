"""Figures that every kind of answer carries: usage, timings, probabilities, the reason of the end."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from service.api.order import Order
from service.api.sampling import FLOAT32
from service.api.schemas.answers import ChatLogprobs, PromptTokensDetails, TimingsBody, TokenLogprob, Usage
from service.engine.requests import Delta, StopReason, Summary, TokenChance, TokenProbabilities


def finish_reason(summary: Summary) -> str:
    """OpenAI's word for why a text ended."""
    return "length" if summary.reason is StopReason.LIMIT else "stop"


def usage(order: Order, summaries: Sequence[Summary]) -> Usage:
    """The tokens of all choices. Copies of a prompt count it once."""
    prompts = summaries[:: order.copies]
    prompt_tokens = sum(summary.prompt_tokens for summary in prompts)
    completion_tokens = sum(summary.generated_tokens for summary in summaries)
    return Usage(
        completion_tokens=completion_tokens,
        prompt_tokens=prompt_tokens,
        total_tokens=prompt_tokens + completion_tokens,
        prompt_tokens_details=PromptTokensDetails(sum(summary.cached_tokens for summary in prompts)),
    )


def timings(delta: Delta, prompt_tokens: int) -> TimingsBody:
    """llama-server's figures (tools/server/server-common.h, `server_slot_stats`), in milliseconds.

    The first token comes out of the prompt's last step, so a rate of generation needs a second one.
    """
    clock = delta.timings
    prompt_ms = max(clock.first_token - clock.started, 0.0) * 1000
    predicted_ms = max(clock.ended - clock.first_token, 0.0) * 1000
    computed = prompt_tokens - delta.cached_tokens
    steps = max(delta.generated_tokens - 1, 0)
    return TimingsBody(
        cache_n=delta.cached_tokens,
        prompt_n=computed,
        prompt_ms=prompt_ms,
        prompt_per_token_ms=_ratio(prompt_ms, computed),
        prompt_per_second=_ratio(1000 * computed, prompt_ms),
        predicted_n=delta.generated_tokens,
        predicted_ms=predicted_ms,
        predicted_per_token_ms=_ratio(predicted_ms, steps),
        predicted_per_second=_ratio(1000 * steps, predicted_ms),
    )


def _ratio(dividend: float, divisor: float) -> float:
    return dividend / divisor if divisor > 0 else 0.0


def chat_logprobs(order: Order, chances: Sequence[TokenProbabilities]) -> ChatLogprobs | None:
    """Probabilities in OpenAI's chat shape; None where none were asked for or none are there."""
    return ChatLogprobs(token_logprobs(order, chances)) if order.alternatives is not None and chances else None


def token_logprobs(order: Order, chances: Sequence[TokenProbabilities]) -> list[TokenLogprob]:
    """llama-server's entries: each token with its alternatives."""
    after_sampling = order.requests[0].post_sampling_probabilities
    entries = []
    for chance in chances:
        entry = _entry(chance.chosen, after_sampling)
        others = [_entry(other, after_sampling) for other in chance.top[: order.alternatives]]
        if after_sampling:
            entry.top_probs = others
        else:
            entry.top_logprobs = others
        entries.append(entry)
    return entries


def _entry(chance: TokenChance, after_sampling: bool) -> TokenLogprob:
    entry = TokenLogprob(id=chance.token, token=piece_text(chance.piece), bytes=list(chance.piece))
    if after_sampling:
        entry.prob = chance.value
    else:
        entry.logprob = finite(chance.value)
    return entry


def finite(logprob: float) -> float:
    """JSON has no infinity; llama-server sends the lowest float instead."""
    return max(logprob, -FLOAT32)


def piece_text(piece: bytes) -> str:
    """The whole characters of a token."""
    return codecs.getincrementaldecoder("utf-8")("replace").decode(piece)
