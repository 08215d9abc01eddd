"""How many prompt rows may join a step in which somebody decodes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Protocol

from service.engine.model import Rows
from service.engine.step_cost import StepCost

FIRST_ROWS = 64
"""Prompt rows of a step while nothing is known of its cost."""
LEAST_ROWS = 8
"""A prompt always goes on by this much, however slow the machine: else a slow step would stop it for good."""
LEAST_SPARE = 0.1
"""Copies may always lengthen a step by this part: where the decoding alone takes longer than the gap, they make little difference."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """`pending` rows to compute behind `computed` ones; after `wanted` of them somebody can go on."""

    computed: int
    pending: int
    wanted: int


class Pace(Protocol):
    """Decides about prompt rows, and hears what steps took."""

    def prompt_rows(self, decoding: Sequence[Rows], prompts: Sequence[Prompt], most: int, taken: float) -> int:
        """How many of `most` rows of `prompts`, as `share_rows` divides them, may join the rows `decoding` in a step of which `taken`
        seconds are spoken for."""

    def spare(self, decoding: Sequence[Rows]) -> float:
        """Seconds that a step with these rows has for anything else; infinite where nobody decodes."""

    def learn(self, rows: Sequence[Rows], seconds: float) -> None:
        """A step of these rows took so long."""

    def predict(self, rows: Sequence[Rows]) -> float:
        """Seconds that such a step should take; 0.0 where nothing is known."""


class LearnedPace:
    """Keeps the predicted time of a step under `gap` seconds, the longest pause that a running text should see, and far under it where
    a longer step would gain nothing."""

    def __init__(self, gap: float, cost: StepCost | None = None) -> None:
        self._gap = gap
        self._cost = cost or StepCost()

    def prompt_rows(self, decoding: Sequence[Rows], prompts: Sequence[Prompt], most: int, taken: float) -> int:
        if not self._cost.known:
            return min(FIRST_ROWS, most)
        before = attended(decoding)

        def pairs(rows: int) -> int:
            shares = zip(prompts, share_rows(prompts, rows), strict=True)
            return before + sum(_pairs(share, prompt.computed) for prompt, share in shares)

        allowed = self._cost.rows_within(self._gap - taken, len(decoding), pairs, most)
        rows = self._cost.enough_rows(len(decoding), pairs, allowed)
        return max(rows, min(LEAST_ROWS, most))

    def spare(self, decoding: Sequence[Rows]) -> float:
        seconds = self.predict(decoding)
        return max(self._gap - seconds, LEAST_SPARE * seconds) if decoding else inf

    def learn(self, rows: Sequence[Rows], seconds: float) -> None:
        self._cost.observe(row_count(rows), attended(rows), seconds)

    def predict(self, rows: Sequence[Rows]) -> float:
        return self._cost.predict(row_count(rows), attended(rows))

    def computing(self, start: int, end: int, batch: int) -> float:
        """Seconds that the tokens [start, end) of a prompt add to its last token's step, at most `batch` rows a step; 0.0 where nothing is
        known."""
        steps, rest = divmod(end - start, batch)
        pairs, last = _pairs(end - start, start), self._cost.predict(1, 0)
        return steps * self._cost.predict(batch, 0) + self._cost.predict(rest + 1, pairs) - last


def share_rows(prompts: Sequence[Prompt], budget: int) -> list[int]:
    """Divides a step's prompt rows among prompts in rank order.

    Half goes to the first, so that it ends however many short ones keep coming; the rest to those that somebody can go on after
    soonest, so that they do not wait for long ones.
    """
    shares, left = [0] * len(prompts), budget
    soonest = sorted(range(len(prompts)), key=lambda index: prompts[index].wanted)
    turns = [
        (0, budget if len(prompts) == 1 else (budget + 1) // 2),
        *((index, prompts[index].wanted) for index in soonest),
        *((index, prompts[index].pending) for index in soonest),
    ]
    for index, up_to in turns:
        share = max(0, min(min(up_to, prompts[index].pending) - shares[index], left))
        shares[index] += share
        left -= share
    return shares


def row_count(rows: Sequence[Rows]) -> int:
    return sum(len(group.tokens) for group in rows)


def attended(rows: Sequence[Rows]) -> int:
    """Pairs of a row and an earlier token of its sequence."""
    return sum(_pairs(len(group.tokens), group.start) for group in rows)


def _pairs(rows: int, start: int) -> int:
    return rows * start + rows**2 // 2
