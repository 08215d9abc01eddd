"""The table of a workload, in Markdown, so that README.md can hold it as it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from bench.figures import Figures, ratio


def table(title: str, names: tuple[str, str], ours: Sequence[Figures], theirs: Sequence[Figures]) -> str:
    """`ours` and `theirs` hold one set of figures for each pair. Medians, and the ratio of ours to theirs with its spread."""
    head = [
        f"### {title}",
        "",
        f"| | {names[0]} | {names[1]} | ratio | lowest-highest of {len(ours)} |",
        "|---|---:|---:|---:|---:|",
    ]
    return "\n".join([*head, *(row(name, ours, theirs) for name in ours[0])])


def row(name: str, ours: Sequence[Figures], theirs: Sequence[Figures]) -> str:
    mine = [figures.get(name, math.nan) for figures in ours]
    other = [figures.get(name, math.nan) for figures in theirs]
    found = ratio(mine, other)
    spread = "" if math.isnan(found.least) else f"{found.least:.2f}-{found.most:.2f}"
    return f"| {name} | {number(median(mine))} | {number(median(other))} | {number(found.middle, 2)} | {spread} |"


def number(value: float, digits: int | None = None) -> str:
    """Three digits that count, unless the number of decimals is given."""
    if math.isnan(value):
        return ""
    if digits is None:
        digits = 0 if value == int(value) or abs(value) >= 100 else 1 if abs(value) >= 10 else 3
    return f"{value:,.{digits}f}"
