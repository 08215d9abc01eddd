"""Sums that metrics are made of: a histogram, and a rate over the last minute."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from itertools import accumulate

WINDOW_SECONDS = 60.0
CELL_SECONDS = 5.0


class Distribution:
    """How often a value fell into which bucket. `bounds` are upper bounds, included, in rising order."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Counts a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[int]:
        """For each bound, and for infinity last, how many values were at most that."""
        return list(accumulate(self.counts))


class Window:
    """Units a second over the last minute, in cells of a few seconds: reading it changes nothing."""

    __slots__ = ("_cells",)

    def __init__(self) -> None:
        self._cells: deque[list[float]] = deque()

    def add(self, units: float, seconds: float, now: float) -> None:
        """`units` were done in `seconds` of work, at the clock's `now`."""
        start = now - now % CELL_SECONDS
        if self._cells and self._cells[-1][0] == start:
            cell = self._cells[-1]
            cell[1] += units
            cell[2] += seconds
            return
        self._cells.append([start, units, seconds])
        while self._cells[0][0] < now - WINDOW_SECONDS - CELL_SECONDS:
            self._cells.popleft()

    def rate(self, now: float) -> float:
        """0 when nothing was done."""
        recent = [cell for cell in self._cells if cell[0] >= now - WINDOW_SECONDS]
        seconds = sum(cell[2] for cell in recent)
        return sum(cell[1] for cell in recent) / seconds if seconds > 0 else 0.0
