"""Request fields that every generating endpoint shares: llama-server's and OpenAI's names, `null` as good as absent.

Bounds that stand here are refused with a 400; those that llama-server clamps silently stand in `service.api.sampling`.
Ranges and meanings: llama.cpp, tools/server/server-schema.cpp.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

INT32 = 2**31 - 1

Count = Annotated[int, Meta(ge=0, le=INT32)]
CountOrAll = Annotated[int, Meta(ge=-1, le=INT32)]
AnyInteger = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Above0 = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
Decay = Annotated[float, Meta(ge=0, le=0.99)]
Priority = Annotated[int, Meta(ge=-1000, le=1000)]
Timeout = Annotated[float, Meta(gt=0, le=7 * 24 * 3600)]
Choices = Annotated[int, Meta(ge=1, le=128)]
Alternatives = Annotated[int, Meta(ge=0, le=1000)]
ShortText = Annotated[str, Meta(max_length=8192)]
StopTexts = Annotated[list[ShortText], Meta(max_length=128)]
Bias = float | bool
Unserved = Annotated[Any, Meta(description="Not served yet: only values that change nothing pass.")]


class StreamOptions(Struct, kw_only=True):
    """What a stream carries beside text."""

    include_usage: Annotated[bool | None, Meta(description="End with a chunk that has no choices but `usage`.")] = None


class UnservedFields(Struct, kw_only=True):
    """Fields that clients of this kind of server send and that are not served yet.

    Values that change nothing (`null`, an empty list …) pass, anything else is refused by name.
    """

    tools: Unserved = None
    tool_choice: Unserved = None
    functions: Unserved = None
    function_call: Unserved = None
    response_format: Unserved = None
    grammar: Unserved = None
    json_schema: Unserved = None
    lora: Unserved = None
    n_indent: Unserved = None
    t_max_predict_ms: Unserved = None
    return_progress: Unserved = None
    verbose: Unserved = None
    reasoning_format: Unserved = None
    reasoning_budget_tokens: Unserved = None
    thinking_budget_tokens: Unserved = None
    reasoning_control: Unserved = None
    modalities: Unserved = None
    audio: Unserved = None
    web_search_options: Unserved = None
    min_tokens: Unserved = None
    stop_token_ids: Unserved = None
    bad_words: Unserved = None
    allowed_token_ids: Unserved = None
    include_stop_str_in_output: Unserved = None
    repetition_detection: Unserved = None
    truncate_prompt_tokens: Unserved = None
    structured_outputs: Unserved = None
    return_token_ids: Unserved = None
    prompt_logprobs: Unserved = None
    logprob_token_ids: Unserved = None


class SamplingFields(UnservedFields, kw_only=True):
    """How tokens are chosen. What is absent comes from the service's settings."""

    temperature: Annotated[float | None, Meta(description="Randomness; 0 takes the likeliest token.")] = None
    dynatemp_range: Annotated[NotNegative | None, Meta(description="Width of the dynamic temperature; 0 is off.")] = (
        None
    )
    dynatemp_exponent: Annotated[float | None, Meta(description="How entropy maps to the dynamic temperature.")] = None
    top_k: Annotated[int | None, Meta(description="Keep the k likeliest tokens; 0 keeps all.")] = None
    top_p: Annotated[float | None, Meta(description="Keep the likeliest tokens that make up this probability.")] = None
    min_p: Annotated[float | None, Meta(description="Drop tokens below this share of the likeliest.")] = None
    top_n_sigma: Annotated[
        float | None, Meta(description="Keep logits within n deviations of the best; -1 is off.")
    ] = None
    xtc_probability: Annotated[float | None, Meta(description="How often XTC drops the top tokens.")] = None
    xtc_threshold: Annotated[float | None, Meta(description="XTC drops tokens over this; over 0.5 is off.")] = None
    typical_p: Annotated[float | None, Meta(description="Locally typical sampling; 1 is off.")] = None
    repeat_last_n: Annotated[CountOrAll | None, Meta(description="Tokens that penalties look at; -1: all.")] = None
    repeat_penalty: Annotated[Above0 | None, Meta(description="Penalty on repeated tokens; 1 is off.")] = None
    presence_penalty: Annotated[float | None, Meta(description="Taken from a token that came already.")] = None
    frequency_penalty: Annotated[float | None, Meta(description="Taken for each time a token came.")] = None
    dry_multiplier: Annotated[float | None, Meta(description="Strength of DRY; 0 is off.")] = None
    dry_base: Annotated[float | None, Meta(description="Growth of DRY; under 1 means the default.")] = None
    dry_allowed_length: Annotated[Count | None, Meta(description="Repetitions up to here cost nothing.")] = None
    dry_penalty_last_n: Annotated[CountOrAll | None, Meta(description="Tokens that DRY looks at; -1: all.")] = None
    dry_sequence_breakers: Annotated[
        Annotated[list[ShortText], Meta(min_length=1, max_length=128)] | None,
        Meta(description="Texts that end a repetition."),
    ] = None
    mirostat: Annotated[int | None, Meta(description="Mirostat 1 or 2 instead of the other samplers.")] = None
    mirostat_tau: Annotated[float | None, Meta(description="Mirostat's target entropy.")] = None
    mirostat_eta: Annotated[float | None, Meta(description="Mirostat's learning rate.")] = None
    adaptive_target: Annotated[float | None, Meta(description="adaptive-p's target; negative is off.")] = None
    adaptive_decay: Annotated[Decay | None, Meta(description="How slowly adaptive-p follows.")] = None
    min_keep: Annotated[Count | None, Meta(description="Samplers leave at least so many tokens.")] = None
    samplers: Annotated[
        list[str] | str | None, Meta(description="The samplers in order: names, or one text of llama-server's letters.")
    ] = None
    logit_bias: Annotated[
        dict[str, Bias] | list[tuple[int | str, Bias]] | None,
        Meta(description="Added to the logits of token ids or of a text's tokens; `false` forbids."),
    ] = None
    ignore_eos: Annotated[bool | None, Meta(description="Go on after the model's end token.")] = None
    seed: Annotated[AnyInteger | None, Meta(description="Same seed, same text; -1 draws one. 32 bits count.")] = None


class GenerationFields(SamplingFields, kw_only=True):
    """How much is generated and how it is told."""

    model: Annotated[ShortText | None, Meta(description="Any name; the one model answers and repeats it.")] = None
    stream: Annotated[bool | None, Meta(description="Send text as it comes, as server-sent events.")] = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[
        CountOrAll | None, Meta(description="The most tokens of an answer; -1: up to the context, 0: only the prompt.")
    ] = None
    max_completion_tokens: Annotated[CountOrAll | None, Meta(description="The same as `max_tokens`.")] = None
    n_predict: Annotated[CountOrAll | None, Meta(description="The same as `max_tokens`.")] = None
    n: Annotated[Choices | None, Meta(description="How many answers.")] = None
    n_cmpl: Annotated[Choices | None, Meta(description="The same as `n`.")] = None
    stop: Annotated[StopTexts | str | None, Meta(description="Text that ends the answer and is not part of it.")] = None
    n_probs: Annotated[Alternatives | None, Meta(description="So many alternatives beside each token.")] = None
    post_sampling_probs: Annotated[
        bool | None, Meta(description="Probabilities after the samplers instead of log-probabilities before.")
    ] = None
    cache_prompt: Annotated[bool | None, Meta(description="Reuse what earlier prompts began with.")] = None
    cache_salt: Annotated[
        ShortText | None, Meta(description="Only requests with the same salt share beginnings of prompts.")
    ] = None
    priority: Annotated[
        Priority | None, Meta(description="Lower is served sooner; one step counts like ten seconds of waiting.")
    ] = None
    timeout: Annotated[
        Timeout | None, Meta(description="Seconds until the request fails with 504, waiting included.")
    ] = None
    timings_per_token: Annotated[bool | None, Meta(description="`timings` in every chunk.")] = None
    return_tokens: Annotated[bool | None, Meta(description="Token ids in `tokens` (native format).")] = None
    sse_ping_interval: Annotated[
        CountOrAll | None, Meta(description="Seconds of silence until a comment is sent; -1 never.")
    ] = None
