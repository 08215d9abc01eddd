"""Learns at start what steps and copies cost, so that the first requests are planned as well as the later ones."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import monotonic

from service.engine.copying import Copying
from service.engine.model import DecodeResult, Drop, Load, Model, Rows, Save, Trim
from service.engine.pace import Pace

ROW_COUNTS = (1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
BUDGET_SECONDS = 3.0
"""About as long as the measuring may take: the next larger step is only tried when it should still fit."""
GROWTH = 2.5
"""How much longer a step of twice the rows may take."""
COPIES = 3
"""How often rows are copied there and back; the median counts, for the first time is that of memory that nobody had yet."""


def calibrate(
    model: Model, pace: Pace, copying: Copying, saved_bytes: int, clock: Callable[[], float] = monotonic
) -> None:
    """Times steps of more and more rows on an empty cache, then copies of the last ones, if `saved_bytes` of the host's memory are
    there for it. Leaves everything empty. Raises nothing: what fails teaches nothing."""
    rows = _time_steps(model, pace, clock)
    if 0 < rows * model.token_bytes <= saved_bytes:
        _time_copies(model, copying, rows, clock)
    model.apply((Trim(0, 0),))


def _time_steps(model: Model, pace: Pace, clock: Callable[[], float]) -> int:
    """How many rows stand in sequence 0 then."""
    began, computed = clock(), 0
    for rows in ROW_COUNTS:
        if rows > min(model.batch, model.cells):
            break
        model.apply((Trim(0, 0),))
        started = clock()
        step = (Rows(0, 0, [0] * rows, wants_sample=True),)
        result = model.decode(step)
        seconds = clock() - started
        if result is not DecodeResult.OK:
            return 0
        computed = rows
        pace.learn(step, seconds)
        if clock() - began + GROWTH * seconds > BUDGET_SECONDS:
            break
    return computed


def _time_copies(model: Model, copying: Copying, rows: int, clock: Callable[[], float]) -> None:
    """Sequence 0 goes to the host's memory and comes back, a few times."""
    save, load = Save(0, 0, rows), Load(0, 0, rows)
    seconds: dict[Save | Load, list[float]] = {save: [], load: []}
    for _ in range(COPIES):
        for operation in (save, load):
            started = clock()
            model.apply((operation,))
            seconds[operation].append(clock() - started)
            if operation is save:
                model.apply((Trim(0, 0),))
        model.apply((Drop(0),))
    for operation, times in seconds.items():
        copying.learn(operation, median(times))
