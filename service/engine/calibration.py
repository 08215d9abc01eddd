"""Learns at start what steps cost, so that the first requests are planned as well as the later ones."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from service.engine.model import DecodeResult, Model, Rows, Trim
from service.engine.pace import Pace

ROW_COUNTS = (1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
BUDGET_SECONDS = 3.0
"""About as long as the measuring may take: the next larger step is only tried when it should still fit."""
GROWTH = 2.5
"""How much longer a step of twice the rows may take."""


def calibrate(model: Model, pace: Pace, clock: Callable[[], float] = monotonic) -> None:
    """Times steps of more and more rows on an empty cache, and leaves it empty. Raises nothing: what fails teaches nothing."""
    began = clock()
    for rows in ROW_COUNTS:
        if rows > min(model.batch, model.cells):
            return
        started = clock()
        step = (Rows(0, 0, [0] * rows, wants_sample=True),)
        result = model.decode(step)
        seconds = clock() - started
        model.apply((Trim(0, 0),))
        if result is not DecodeResult.OK:
            return
        pace.learn(step, seconds)
        if clock() - began + GROWTH * seconds > BUDGET_SECONDS:
            return
