"""Which sampling parameters the native chain can take: what C would turn into a crash, a freeze or nonsense is refused here."""

from __future__ import annotations

import math
from dataclasses import fields

from service.engine.requests import SamplingParams
from service.errors import InvalidRequest

SAMPLERS = (
    "dry",
    "top_k",
    "top_p",
    "top_n_sigma",
    "typ_p",
    "min_p",
    "temperature",
    "xtc",
    "infill",
    "penalties",
    "adaptive_p",
)
"""llama-server's names (common/sampling.cpp, `common_sampler_types_from_names`)."""

# The same function's other spellings, and the letters of `common_sampler_type_to_chr`.
OTHER_NAMES = {"nucleus": "top_p", "temp": "temperature", "typ": "typ_p"} | dict(
    zip("dkpsymtxiea", SAMPLERS, strict=True)
)
NAMES = {
    **{name: name for name in SAMPLERS},
    **{name.replace("_", "-"): name for name in SAMPLERS},
    **{name.replace("_", ""): name for name in SAMPLERS},
    **OTHER_NAMES,
}

MOST_FLOAT = 1e9  # far beyond any use, and no product of two of them with a count overflows a C float
MOST_INTEGER = 2**31 - 1
MOST_SAMPLERS = 32
MOST_BREAKERS = 16  # each costs a pass over the vocabulary
INFILL_TOP_K = 100  # the infill sampler compares every candidate with every other


def check(params: SamplingParams, vocabulary: int) -> None:
    """Raises InvalidRequest with the field's name and the limit."""
    for field in fields(params):
        value = getattr(params, field.name)
        if isinstance(value, float) and not (math.isfinite(value) and abs(value) <= MOST_FLOAT):
            raise InvalidRequest(
                f"{field.name} must be a number of at most {MOST_FLOAT:g}, not {value}", param=field.name
            )
        if type(value) is int and field.name != "seed" and not -1 <= value <= MOST_INTEGER:
            raise InvalidRequest(f"{field.name} must be -1 to {MOST_INTEGER}, not {value}", param=field.name)
    if params.repeat_penalty < 1 / MOST_FLOAT:
        raise InvalidRequest(
            f"repeat_penalty must be greater than 0, not {params.repeat_penalty}", param="repeat_penalty"
        )
    if params.mirostat not in (0, 1, 2):
        raise InvalidRequest(f"mirostat must be 0, 1 or 2, not {params.mirostat}", param="mirostat")
    if len(params.dry_sequence_breakers) > MOST_BREAKERS:
        raise InvalidRequest(f"dry_sequence_breakers: at most {MOST_BREAKERS}", param="dry_sequence_breakers")
    for token, bias in params.logit_bias:
        check_bias(token, bias, vocabulary)
    if params.mirostat == 0:
        sampler_names(params)


def check_bias(token: int, bias: float, vocabulary: int) -> None:
    if not 0 <= token < vocabulary:
        raise InvalidRequest(
            f"logit_bias: token {token} is not in the vocabulary (0 to {vocabulary - 1})", param="logit_bias"
        )
    if not (bias == -math.inf or abs(bias) <= MOST_FLOAT):
        raise InvalidRequest(
            f"logit_bias of token {token} must be a number of at most {MOST_FLOAT:g}", param="logit_bias"
        )


def sampler_names(params: SamplingParams) -> list[str]:
    """The chain's samplers in order, by their first names. Raises InvalidRequest for one that nobody knows."""
    if len(params.samplers) > MOST_SAMPLERS:
        raise InvalidRequest(f"samplers: at most {MOST_SAMPLERS}", param="samplers")
    names = []
    for given in params.samplers:
        name = NAMES.get(given.lower())
        if name is None:
            raise InvalidRequest(f"samplers: {given!r} is unknown; there are {', '.join(SAMPLERS)}", param="samplers")
        if name == "infill" and not ("top_k" in names and 0 < params.top_k <= INFILL_TOP_K):
            raise InvalidRequest(f"samplers: infill needs a top_k of 1 to {INFILL_TOP_K} before it", param="samplers")
        names.append(name)
    return names


def takes_the_likeliest(params: SamplingParams, names: list[str], history: int) -> bool:
    """Whether a chain of these samplers always chooses the greatest logit of a token that is not forbidden.

    A temperature of 0 leaves the greatest only; none of the samplers that stand before it may change the logits or drop the first.
    """
    return (
        "temperature" in names
        and params.temperature <= 0
        and params.dynatemp_range <= 0
        and history == 0
        and not params.logit_bias
        and params.xtc_probability <= 0
        and params.typical_p >= 1
        and "infill" not in names
        and "adaptive_p" not in names
    )
