"""Request fields to SamplingParams: defaults from the settings, and llama-server's silent clamps."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any

from service.api.schemas.fields import INT32, SamplingFields
from service.engine.model import Model
from service.engine.requests import RANDOM_SEED, SamplingParams
from service.errors import InvalidRequest
from service.settings.kinds import SAMPLER_LETTERS, SAMPLER_SYNONYMS

FLOAT32 = 3.4028234663852886e38
"""The greatest finite number of a C float: what llama.cpp computes with."""

CLAMPS: dict[str, tuple[float, float]] = {
    "temperature": (0.0, FLOAT32),
    "top_k": (0, INT32),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "xtc_probability": (0.0, 1.0),
    "xtc_threshold": (0.0, 1.0),
    "mirostat": (0, 2),
    "adaptive_target": (-FLOAT32, 1.0),
}
"""llama.cpp, tools/server/server-schema.cpp, `set_limits`."""

WHOLE_CONTEXT = ("repeat_last_n", "dry_penalty_last_n")
"""Fields whose -1 means all tokens of the context."""


SAMPLER_NAMES = {name: name for name in SAMPLER_LETTERS.values()} | SAMPLER_SYNONYMS | {"typical_p": "typ_p"}

TOKEN_ID = re.compile(r"-?[0-9]{1,18}")


def sampling_params(body: SamplingFields, defaults: SamplingParams, model: Model, context: int) -> SamplingParams:
    """What the request asks for, over the defaults. `context` in tokens. Raises InvalidRequest."""
    given = {field.name: value for field in fields(SamplingParams) if (value := getattr(body, field.name)) is not None}
    for name, value in given.items():
        if isinstance(value, float) or name in CLAMPS:
            low, high = CLAMPS.get(name, (-FLOAT32, FLOAT32))
            given[name] = type(value)(min(max(value, low), high))
    if "seed" in given:
        given["seed"] &= RANDOM_SEED
    for name in WHOLE_CONTEXT:
        if given.get(name) == -1:
            given[name] = context
    if given.get("dry_base", 1.0) < 1.0:
        del given["dry_base"]
    if "dry_sequence_breakers" in given:
        given["dry_sequence_breakers"] = tuple(given["dry_sequence_breakers"])
    if "samplers" in given:
        given["samplers"] = sampler_names(given["samplers"])
    if "logit_bias" in given:
        given["logit_bias"] = defaults.logit_bias + logit_bias(given["logit_bias"], model)
    return replace(defaults, **given)


def sampler_names(samplers: list[str] | str) -> tuple[str, ...]:
    """Names of samplers, from names in any spelling or llama-server's letters."""
    known = SAMPLER_LETTERS if isinstance(samplers, str) else SAMPLER_NAMES
    names = [known.get(sampler if isinstance(samplers, str) else sampler.lower()) for sampler in samplers]
    if None in names:
        wrong = samplers[names.index(None)]
        expected = ", ".join(f"{letter} ({name})" for letter, name in SAMPLER_LETTERS.items())
        raise InvalidRequest(f"samplers: unknown sampler {wrong[:40]!r}, expected {expected}", param="samplers")
    return tuple(name for name in names if name is not None)


def logit_bias(given: dict[str, Any] | list[tuple[Any, Any]], model: Model) -> tuple[tuple[int, float], ...]:
    """Token ids and what is added to their logits. Texts stand for all their tokens, `false` for minus infinity."""
    pairs = given.items() if isinstance(given, dict) else given
    return tuple((token, _bias(bias)) for key, bias in pairs for token in _tokens_of(key, model))


def _bias(bias: float | bool) -> float:
    if bias is False:
        return -float("inf")
    if bias is True:
        raise InvalidRequest("logit_bias: expected a number or false, got true", param="logit_bias")
    return min(max(float(bias), -FLOAT32), FLOAT32)


def _tokens_of(key: int | str, model: Model) -> Iterable[int]:
    if isinstance(key, str) and not TOKEN_ID.fullmatch(key):
        return model.tokenize(key, add_special=False, parse_special=False)
    vocabulary = model.info.vocabulary
    token = int(key)
    if not 0 <= token < vocabulary:
        raise InvalidRequest(
            f"logit_bias: token {token} is not in the vocabulary (0 to {vocabulary - 1})", param="logit_bias"
        )
    return (token,)
