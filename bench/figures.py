"""Numbers from answers, and ratios from numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench.workloads import Outcome

Figures = Mapping[str, float]

OUTPUT_RATE = "output tokens a second"
ENDED_WELL = "requests that ended well"

STEP_PARTS = ("own", "sample", "decode")
STEPS = "mistral_api_steps_total"


def figures(outcome: Outcome) -> dict[str, float]:
    """The figures that every workload has. Tokens count only where the request ended well."""
    well = [answer for answer in outcome.answers if answer.well]
    watched = outcome.answers if outcome.watched is None else outcome.watched
    first = [answer.first_token_seconds for answer in outcome.answers if answer.first_token_seconds is not None]
    return {
        OUTPUT_RATE: sum(answer.output_tokens for answer in well) / outcome.seconds,
        "first token p50, s": percentile(first, 0.5),
        "first token p99, s": percentile(first, 0.99),
        "longest gap in a stream, s": max((answer.longest_gap for answer in watched), default=math.nan),
        "requests": len(outcome.answers),
        ENDED_WELL: len(well),
        "prompt tokens": sum(answer.prompt_tokens for answer in well),
        "computed prompt tokens": sum(answer.computed_tokens for answer in well),
        **outcome.more,
    }


def step_figures(before: Figures, after: Figures) -> dict[str, float]:
    """Milliseconds of a step by part, from our own metrics; nothing from a server that has none."""
    steps = after.get(STEPS, 0) - before.get(STEPS, 0)
    if not steps:
        return {}
    names = {part: f'mistral_api_step_part_seconds_total{{part="{part}"}}' for part in STEP_PARTS}
    return {f"step: {part}, ms": 1000 * (after[name] - before[name]) / steps for part, name in names.items()}


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; not a number without values."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)] if ranked else math.nan


@dataclass(frozen=True, slots=True)
class Ratio:
    """Ours to theirs over the pairs. Not a number where theirs is 0 or one side has no such figure."""

    middle: float
    least: float
    most: float


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Each pair gives one ratio: what changes on the machine between pairs touches both sides of one."""
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True) if other and not math.isnan(mine / other)]
    return Ratio(median(ratios), min(ratios), max(ratios)) if ratios else Ratio(math.nan, math.nan, math.nan)
