"""Our writer of Prometheus' text against prometheus_client's parser and writer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import pytest
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from service.telemetry.catalog import Spec

TEXTS = [
    "plain",
    "",
    "two words",
    'quoted "word"',
    "back\\slash",
    "two\nlines",
    "Straße ½",
    "/v1/{id:str}",
    "\\n",
    "5 %s",
]
VALUES = [
    0,
    7,
    999_999,
    1_000_000,
    1 << 60,
    -3,
    True,
    -1.5,
    0.1,
    1e-9,
    1e6,
    1234567.5,
    1e15,
    math.inf,
    -math.inf,
    math.nan,
]
HELP = "A text\nwith \\ and 100 % more."


class Written(Collector):
    """The same families, made of the library's objects."""

    def collect(self) -> Iterator[Metric]:
        for kind in ("gauge", "counter"):
            metric = Metric(f"one:{kind}", HELP, kind)
            for text in TEXTS:
                for value in VALUES:
                    metric.add_sample(one(kind).name, {"zeta": text, "alpha": f"x{value}"}, float(value))
            yield metric
            yield Metric(f"nothing_{kind}", "No samples.", kind)
        metric = Metric("sizes", "Sizes.", "histogram")
        for text in TEXTS:
            for bound, count in (("0.5", 1), ("1.0", 2), ("1000000.0", 3), ("+Inf", 4)):
                metric.add_sample("sizes_bucket", {"route": text, "le": bound}, count)
            metric.add_sample("sizes_count", {"route": text}, 4)
            metric.add_sample("sizes_sum", {"route": text}, 0.1 + 1.0 + 7.0 + 1e9)
        yield metric


def one(kind: str, name: str = "one:") -> Spec:
    return Spec(f"{name}{kind}{'_total' * (kind == 'counter')}", kind, HELP, ("zeta", "alpha"))


def ours() -> str:
    """What our writer makes of these families."""
    parts = []
    for kind in ("gauge", "counter"):
        parts.append(one(kind).family(((text, f"x{value}"), value) for text in TEXTS for value in VALUES))
        parts.append(Spec(f"nothing_{kind}{'_total' * (kind == 'counter')}", kind, "No samples.").family([]))
    histogram = Spec("sizes", "histogram", "Sizes.", ("route",), (0.5, 1, 1e6))
    filled = histogram.distribution()
    for value in (0.1, 1.0, 7.0, 1e9):
        filled.add(value)
    return "".join([*parts, histogram.histogram([((text,), filled) for text in TEXTS])])


class Read(Collector):
    """Our text, read by the library."""

    def collect(self) -> Iterable[Metric]:
        return text_string_to_metric_families(ours())


def rewritten(collector: Collector) -> list[str]:
    """What the library writes of it."""
    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry).decode().splitlines()


@pytest.mark.filterwarnings("error")
def test_the_library_reads_our_text_as_what_it_would_have_written() -> None:
    assert rewritten(Read()) == rewritten(Written())


def test_the_text_differs_from_the_librarys_in_numbers_only() -> None:
    def without_numbers(lines: list[str]) -> list[str]:
        return [line if line.startswith("#") else line.rpartition(" ")[0] for line in lines]

    assert without_numbers(ours().splitlines()) == without_numbers(rewritten(Written()))


def test_a_second_text_shows_the_new_numbers() -> None:
    spec = Spec("sizes", "histogram", "Sizes.", ("route",), (1,))
    filled = spec.distribution()
    before = spec.histogram([(("/",), filled)])
    filled.add(0.5)
    after = spec.histogram([(("/",), filled)])
    assert 'sizes_bucket{le="1.0",route="/"} 0.0\n' in before
    assert 'sizes_bucket{le="1.0",route="/"} 1.0\n' in after
