"""Our writer of Prometheus' text against prometheus_client's own."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from service.telemetry.catalog import Spec
from service.telemetry.exposition import exposition

TEXTS = ["plain", "", "two words", 'quoted "word"', "back\\slash", "two\nlines", "Straße ½", "/v1/{id:str}", "\\n"]
VALUES = [0, 1, -1.5, 0.1, 1e-9, 999999.0, 1e6, 1234567.5, 1e15, 1e22, math.inf, -math.inf, math.nan]


def families() -> Iterator[Metric]:
    for kind in ("gauge", "counter"):
        spec = Spec(
            f"one:{kind}" + "_total" * (kind == "counter"), kind, "A text\nwith \\ and more.", ("zeta", "alpha")
        )
        yield spec.family(((text, "x"), value) for text in TEXTS for value in VALUES)
        yield Spec("nothing" + "_total" * (kind == "counter"), kind, "No samples.").family([])
    histogram = Spec("sizes", "histogram", "Sizes.", ("route",), (0.5, 1, 1000000))
    for value in (0.1, 1.0, 7.0, 1e9):
        (filled := histogram.distribution()).add(value)
    yield histogram.histogram([((text,), filled) for text in TEXTS])


class Everything(Collector):
    def collect(self) -> Iterator[Metric]:
        return families()


@pytest.mark.filterwarnings("error")
def test_the_text_is_byte_for_byte_that_of_prometheus_client() -> None:
    registry = CollectorRegistry()
    registry.register(Everything())
    assert exposition(families()) == generate_latest(registry)
