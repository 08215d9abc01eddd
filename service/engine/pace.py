"""How many prompt rows may join a step in which somebody decodes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from service.engine.model import Rows
from service.engine.step_cost import StepCost

FIRST_ROWS = 64
"""Prompt rows of a step while nothing is known of its cost."""
LEAST_ROWS = 8
"""A prompt always goes on by this much, however slow the machine: else a slow step would stop it for good."""


class Pace(Protocol):
    """Decides about prompt rows, and hears what steps took."""

    def prompt_rows(self, decoding: Sequence[Rows], context: int, most: int) -> int:
        """How many of `most` prompt rows, standing behind `context` tokens, may join the rows `decoding`."""

    def learn(self, rows: Sequence[Rows], seconds: float) -> None:
        """A step of these rows took so long."""

    def predict(self, rows: Sequence[Rows]) -> float:
        """Seconds that such a step should take; 0.0 where nothing is known."""


class LearnedPace:
    """Keeps the predicted time of a step under `gap` seconds, the longest pause that a running text should see."""

    def __init__(self, gap: float, cost: StepCost | None = None) -> None:
        self._gap = gap
        self._cost = cost or StepCost()

    def prompt_rows(self, decoding: Sequence[Rows], context: int, most: int) -> int:
        if not self._cost.known:
            return min(FIRST_ROWS, most)
        rows = self._cost.rows_within(self._gap, len(decoding), attended(decoding), context, most)
        return max(rows, min(LEAST_ROWS, most))

    def learn(self, rows: Sequence[Rows], seconds: float) -> None:
        self._cost.observe(row_count(rows), attended(rows), seconds)

    def predict(self, rows: Sequence[Rows]) -> float:
        return self._cost.predict(row_count(rows), attended(rows))


def share_rows(pending: Sequence[int], budget: int) -> list[int]:
    """Divides a step's prompt rows among prompts in rank order, each with so many rows to go.

    Half goes to the first, so that it ends however many short ones keep coming; the rest to the shortest first, so that
    they do not wait for long ones.
    """
    shares, left = [0] * len(pending), budget
    first = [(0, budget if len(pending) == 1 else (budget + 1) // 2)]
    for index, most in first + [(index, budget) for index in sorted(range(len(pending)), key=pending.__getitem__)]:
        share = min(most, left, pending[index] - shares[index])
        shares[index] += share
        left -= share
    return shares


def row_count(rows: Sequence[Rows]) -> int:
    return sum(len(group.tokens) for group in rows)


def attended(rows: Sequence[Rows]) -> int:
    """Pairs of a row and an earlier token of its sequence."""
    return sum(len(group.tokens) * group.start + len(group.tokens) ** 2 // 2 for group in rows)
