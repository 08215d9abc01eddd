"""Prometheus' text format 0.0.4 (its "Exposition formats" page), for metrics whose names are known to be valid.

prometheus_client's own writer makes objects of all samples, then checks and escapes every name of every line; the event loop, which
streams everybody's text, stands still meanwhile. Here all that never changes is written once, as templates for `%`, and a scrape
only fills in the numbers.
"""

from __future__ import annotations

from functools import cache

from prometheus_client.utils import floatToGoString

Labels = tuple[str, ...]
"""Names or values of labels."""


@cache
def head(name: str, kind: str, text: str) -> str:
    """What stands above the samples of a family."""
    return f"# HELP {name} {_line(text)}\n# TYPE {name} {kind}\n"


@cache
def sample(name: str, labels: Labels, values: Labels) -> str:
    """The template of one sample's line, for a text."""
    return f"{_series(name, labels, values)} %s\n"


@cache
def histogram(name: str, labels: Labels, values: Labels, bounds: tuple[float, ...]) -> str:
    """The template of a histogram, for a count at each bound and at infinity, the count of all, and their sum as a text."""
    bounded, ends = (*labels, "le"), [*(repr(float(bound)) for bound in bounds), "+Inf"]
    counts = [_series(f"{name}_bucket", bounded, (*values, end)) for end in ends]
    counts.append(_series(f"{name}_count", labels, values))
    return "".join(f"{series} %d.0\n" for series in counts) + sample(f"{name}_sum", labels, values)


def number(value: float) -> str:
    """As prometheus_client writes it, which has Go's names for infinity and NaN; but a whole number stays one."""
    if type(value) is int:
        return f"{value}.0"
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]
    return text


def _series(name: str, labels: Labels, values: Labels) -> str:
    pairs = sorted(zip(labels, values, strict=True))
    inside = ",".join(f'{label}="{_quoted(value)}"' for label, value in pairs)
    return (f"{name}{{{inside}}}" if pairs else name).replace("%", "%%")


def _line(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _quoted(value: str) -> str:
    return _line(value).replace('"', r"\"")
