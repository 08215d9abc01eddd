"""Learns what a step costs by what is in it. Pure: it is told times, it reads none.

The model of a step's time, in seconds:

    time(rows, attended) = base(rows) + attention * attended

`rows` are the tokens of the step. `base` is not linear (kernels work on several rows at once, so rows up to the next multiple
are nearly free, and the shape differs from machine to machine): it is a line through knots, each learned by itself. `attended`
is the number of (row, earlier token) pairs, which grows with the contexts behind the rows; its price is one number.

Each observation moves the two knots beside it and the price of attention, each by the same part of the relative error as it has
of the predicted time (a multiplicative, scale-free form of least mean squares: it does not matter whether a step takes 50 us
or 50 s). So it forgets at a fixed rate and follows a machine that drifts. An outlier (a neighbour's burst) counts as no more than
twice the prediction; a lasting change gets through, as each step moves the prediction.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable

KNOTS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 4096, 8192, 16384)
"""Row counts where the base is learned. Dense where kernels change, sparse where they are saturated."""

RATE = 0.3
"""Part of a relative error that one observation corrects."""
OUTLIER = 1.0
"""The largest relative error that counts."""
LONGER = 6.0
"""A step with enough prompt rows takes so many times as long as without them: the texts go on at a sixth of their speed, the prompts have
five sixths of the time."""
DEARER = 1.1
"""How much more a prompt row may cost in such a step than in the longest one that is allowed."""
FIRST_PRICE = 1 / 5000
"""Attention to one earlier token, as a part of the time of one row, until it has been learned."""


class StepCost:
    """Feed it with `observe`, ask it with `predict`, `rows_within` and `enough_rows`."""

    def __init__(self) -> None:
        self._base: list[float | None] = [None] * len(KNOTS)
        self._attention = 0.0

    @property
    def known(self) -> bool:
        """Whether anything has been observed."""
        return any(value is not None for value in self._base)

    def observe(self, rows: int, attended: int, seconds: float) -> None:
        """A step of `rows` rows that looked at `attended` earlier tokens took `seconds`."""
        if rows < 1 or seconds <= 0:
            return
        left, right, share = _place(rows)
        nearest = right if share > 0.5 else left
        if self._base[nearest] is None:
            self._start(nearest, rows, attended, seconds)
            return
        predicted = self.predict(rows, attended)
        error = correction(predicted, seconds)
        low, high = self._value(left), self._value(right)
        self._base[left] = low * (1 + error * low * (1 - share) / predicted)
        self._base[right] = high * (1 + error * high * share / predicted)
        self._attention *= 1 + error * self._attention * attended / predicted

    def predict(self, rows: int, attended: int) -> float:
        """Seconds that such a step should take; 0.0 while nothing is known."""
        if rows < 1:
            return 0.0
        left, right, share = _place(rows)
        base = self._value(left) * (1 - share) + self._value(right) * share
        return base + self._attention * attended

    def rows_within(self, seconds: float, decode_rows: int, attended: Callable[[int], int], most: int) -> int:
        """The most prompt rows, up to `most`, that can join `decode_rows` without the step taking longer than `seconds`.

        With so many prompt rows all of the step's rows together look at `attended(rows)` tokens.
        """
        low, high = 0, most
        while low < high:
            middle = (low + high + 1) // 2
            if self.predict(decode_rows + middle, attended(middle)) <= seconds:
                low = middle
            else:
                high = middle - 1
        return low

    def enough_rows(self, decode_rows: int, attended: Callable[[int], int], most: int) -> int:
        """The fewest prompt rows beside `decode_rows`, up to `most`, that make good use of a step: fewer would cost more each, or hold the
        prompts up; more would only lengthen the step."""
        alone = self.predict(decode_rows, attended(0))

        def seconds(rows: int) -> float:
            return self.predict(decode_rows + rows, attended(rows))

        def price(rows: int) -> float:
            return (seconds(rows) - alone) / rows

        fewer = KNOTS[: bisect_left(KNOTS, most)]
        fewer = fewer[bisect_left(fewer, LONGER * alone, key=seconds) :]
        dearest = DEARER * price(most) if fewer else 0.0
        return next((rows for rows in fewer if price(rows) <= dearest), most)

    def _start(self, knot: int, rows: int, attended: int, seconds: float) -> None:
        """A knot's first observation is believed; the first ever sets the price of attention too."""
        if not self.known:
            self._attention = seconds / rows * FIRST_PRICE
        rest = max(seconds - self._attention * attended, seconds / 4)
        self._base[knot] = rest * KNOTS[knot] / rows

    def _value(self, knot: int) -> float:
        """The base at a knot; between or beyond the known ones it is a line through them, or grows with the rows."""
        value = self._base[knot]
        if value is not None:
            return value
        below = next((k for k in range(knot - 1, -1, -1) if self._base[k] is not None), None)
        above = next((k for k in range(knot + 1, len(KNOTS)) if self._base[k] is not None), None)
        if below is None:
            return self._base[above] or 0.0 if above is not None else 0.0
        low = self._base[below] or 0.0
        if above is None:
            return low * KNOTS[knot] / KNOTS[below]
        part = (KNOTS[knot] - KNOTS[below]) / (KNOTS[above] - KNOTS[below])
        return low + part * ((self._base[above] or 0.0) - low)


def correction(predicted: float, seconds: float) -> float:
    """The part by which a prediction of something that took `seconds` is to change."""
    return RATE * max(-OUTLIER / 2, min((seconds - predicted) / predicted, OUTLIER))


def _place(rows: int) -> tuple[int, int, float]:
    """The knots beside `rows` and how far it is from the left to the right one, 0 to 1."""
    right = bisect_right(KNOTS, rows)
    if right == len(KNOTS):
        return len(KNOTS) - 1, len(KNOTS) - 1, 0.0
    left = right - 1
    return left, right, (rows - KNOTS[left]) / (KNOTS[right] - KNOTS[left])
