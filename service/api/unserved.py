"""Fields that are known but not served yet: said by name, so that nobody believes they worked.

A feature that comes to be served takes its line out of the tables here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from service.api.schemas.chat import ChatRequest
from service.api.schemas.completions import CompletionRequest, PromptFields
from service.api.schemas.fields import UnservedFields
from service.errors import NotServed

Harmless = Callable[[Any], bool]


def _empty(value: Any) -> bool:  # noqa: ANN401 - any JSON
    return value in (False, "", [], {}) or (value == 0 and not isinstance(value, bool))


def _one_of(*words: Any) -> Harmless:  # noqa: ANN401 - any JSON
    return lambda value: value in words


def _at_most_zero(value: Any) -> bool:  # noqa: ANN401 - any JSON
    return isinstance(value, int) and value <= 0


def _plain_text(value: Any) -> bool:  # noqa: ANN401 - any JSON
    return value == {} or (isinstance(value, dict) and value.get("type") == "text")


def _never(value: Any) -> bool:  # noqa: ANN401, ARG001 - any JSON
    return False


HARMLESS: Mapping[str, Harmless] = {
    "tools": _empty,
    "tool_choice": _one_of("none", "auto"),
    "functions": _empty,
    "function_call": _one_of("none", "auto"),
    "response_format": _plain_text,
    "grammar": _one_of(""),
    "json_schema": _never,
    "lora": _empty,
    "n_indent": _at_most_zero,
    "t_max_predict_ms": _at_most_zero,
    "return_progress": _empty,
    "verbose": _empty,
    "reasoning_format": _one_of("none", "auto"),
    "reasoning_budget_tokens": _one_of(-1),
    "thinking_budget_tokens": _one_of(-1),
    "reasoning_control": _empty,
    "modalities": _one_of([], ["text"]),
    "audio": _never,
    "web_search_options": _never,
    "min_tokens": _at_most_zero,
    "stop_token_ids": _empty,
    "bad_words": _empty,
    "allowed_token_ids": _empty,
    "include_stop_str_in_output": _empty,
    "repetition_detection": _never,
    "truncate_prompt_tokens": _never,
    "structured_outputs": _empty,
    "return_token_ids": _empty,
    "prompt_logprobs": _never,
    "logprob_token_ids": _empty,
}
"""Which values change nothing, by field. `null` never does."""


def refuse_unserved(body: UnservedFields) -> None:
    """Raises NotServed, which names the first field that would change the answer if it were served."""
    for name, harmless in HARMLESS.items():
        value = getattr(body, name)
        if value is not None and not harmless(value):
            raise NotServed(f"{name}: not served by this server yet; leave it out", param=name)
    if isinstance(body, PromptFields):
        _refuse_in_completion(body)


def _refuse_in_completion(body: PromptFields) -> None:
    if body.suffix not in (None, ""):
        raise NotServed("suffix: not served by this server yet; leave it out", param="suffix")
    if body.best_of not in (None, 1, body.n or 1):
        raise NotServed("best_of: not served by this server; `n` gives several answers", param="best_of")
    if isinstance(body, CompletionRequest) and body.echo and body.logprobs is not None:
        raise NotServed("logprobs: not served together with echo yet; ask for one of them", param="logprobs")


def refuse_unserved_in_template(body: ChatRequest) -> None:
    """Raises NotServed for what would change a prompt: tools."""
    if body.tools is not None and not _empty(body.tools):
        raise NotServed("tools: not served by this server yet; leave it out", param="tools")
