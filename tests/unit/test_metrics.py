"""The metrics: what a step, a request and an answer add, and what the page of them says."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.engine.engine import Engine
from service.engine.interface import EngineState
from service.engine.requests import EngineLimits, Outcome, RequestRecord, StepStats
from service.errors import EngineDead, ModelLoading, QueueFull, ServiceError
from service.telemetry.catalog import TOKEN_SECONDS, every_spec
from service.telemetry.distribution import Distribution, Window
from service.telemetry.metrics import Metrics
from service.telemetry.metrics_page import document
from service.telemetry.totals import EngineView
from tests.support.fake_model import FakeModel

METRICS_PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"

STEP = StepStats(
    seconds=0.03, decode_seconds=0.02, sample_seconds=0.004, save_seconds=0.003, fetch_seconds=0.001, decode_rows=3,
    prefill_rows=40, sampled_tokens=4, saved_tokens=30, fetched_tokens=20, reused_tokens=7, preemptions=1,
    evicted_cells=5, running=4, waiting=2, predicted_seconds=0.02, used_cells=70, cached_cells=40, total_cells=256,
    token_gaps=(0.03, 0.03, 0.5),
)  # fmt: skip
RECORD = RequestRecord(
    outcome=Outcome.STOP, prompt_tokens=47, cached_tokens=7, generated_tokens=11, queue_seconds=0.5,
    first_token_seconds=2.0, prompt_seconds=1.5, generation_seconds=4.0,
)  # fmt: skip
LIMITS = EngineLimits(context=256, parallel=8, batch=64, queue=9, queue_tokens=1000)


@dataclass
class Watched:
    """An engine as far as metrics look at it."""

    state: EngineState = EngineState.READY
    progress: float = 1.0
    running: int = 4
    waiting: int = 2
    last_step: StepStats | None = STEP
    model: FakeModel = field(default_factory=FakeModel)
    limits: EngineLimits = LIMITS


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def values(metrics: Metrics) -> dict[str, float]:
    """Every sample by its name and labels, as in `name{label="value"}`."""
    text, content_type = metrics.render()
    assert content_type.startswith("text/plain; version=0.0.4")
    found = {}
    for line in text.decode().splitlines():
        if not line.startswith("#"):
            name, _, number = line.rpartition(" ")
            assert name not in found, f"{name} stands twice"
            found[name] = float(number)
    return found


def full() -> Metrics:
    """Metrics with something in every family."""
    metrics = Metrics(Clock())
    metrics.watch(Watched())
    metrics.step(STEP)
    metrics.ended(RECORD)
    metrics.http_request("/v1/models/{id}", "GET", 200, 0.2)
    metrics.error(QueueFull("full"))
    return metrics


def test_the_engine_is_what_metrics_look_at() -> None:
    view: type[EngineView] = Engine
    assert view is Engine


def test_a_step_adds_its_rows_tokens_and_times() -> None:
    metrics = Metrics()
    metrics.step(STEP)
    metrics.step(STEP)
    found = values(metrics)
    expected = {
        "mistral_api_steps_total": 2,
        "mistral_api_prompt_tokens_computed_total": 80,
        "mistral_api_prompt_tokens_cached_total": 14,
        "mistral_api_generated_tokens_total": 8,
        "mistral_api_preemptions_total": 2,
        "mistral_api_kv_cells_evicted_total": 10,
        "mistral_api_step_seconds_sum": 0.06,
        "mistral_api_step_rows_count": 2,
        "mistral_api_step_rows_sum": 86,
        'mistral_api_step_part_seconds_total{part="decode"}': 0.04,
        'mistral_api_step_part_seconds_total{part="sample"}': 0.008,
        'mistral_api_step_part_seconds_total{part="save"}': 0.006,
        'mistral_api_step_part_seconds_total{part="fetch"}': 0.002,
        'mistral_api_step_part_seconds_total{part="own"}': 0.004,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_time_between_tokens_counts_once_for_each_text_that_went_on() -> None:
    metrics = Metrics()
    metrics.step(STEP)
    metrics.step(replace(STEP, token_gaps=()))
    found = values(metrics)
    assert found["mistral_api_time_between_tokens_seconds_count"] == 3
    assert found["mistral_api_time_between_tokens_seconds_sum"] == pytest.approx(0.56)
    assert found['mistral_api_time_between_tokens_seconds_bucket{le="0.02"}'] == 0
    assert found['mistral_api_time_between_tokens_seconds_bucket{le="0.03"}'] == 2
    assert found['mistral_api_time_between_tokens_seconds_bucket{le="+Inf"}'] == 3


def test_a_report_without_rows_is_no_step() -> None:
    metrics = Metrics()
    metrics.step(replace(STEP, decode_rows=0, prefill_rows=0))
    found = values(metrics)
    assert found["mistral_api_steps_total"] == 0
    assert found["llamacpp:n_decode_total"] == 0


def test_a_request_adds_its_waits_sizes_and_outcome() -> None:
    metrics = Metrics()
    metrics.ended(RECORD)
    found = values(metrics)
    expected = {
        "mistral_api_time_to_first_token_seconds_sum": 2.0,
        "mistral_api_request_queue_seconds_sum": 0.5,
        "mistral_api_request_duration_seconds_sum": 6.0,
        "mistral_api_request_prompt_tokens_sum": 47,
        "mistral_api_request_generated_tokens_sum": 11,
        'mistral_api_requests_total{outcome="stop"}': 1,
        'mistral_api_requests_total{outcome="aborted"}': 0,
    }
    assert {name: found[name] for name in expected} == expected


def test_a_request_that_was_never_started_has_an_outcome_and_no_times() -> None:
    metrics = Metrics()
    metrics.ended(RequestRecord(Outcome.ABORTED, 5, 0, 0, None, None, None, None))
    found = values(metrics)
    assert found['mistral_api_requests_total{outcome="aborted"}'] == 1
    for name in ("time_to_first_token", "request_queue", "request_duration"):
        assert found[f"mistral_api_{name}_seconds_count"] == 0


def test_gauges_are_read_from_the_engine() -> None:
    found = values(full())
    expected = {
        "mistral_api_requests_running": 4,
        "mistral_api_requests_waiting": 2,
        "mistral_api_kv_cells_used": 30,
        "mistral_api_kv_cells_cached": 40,
        "mistral_api_kv_cells": 256,
        "mistral_api_context_tokens": 256,
        "mistral_api_requests_parallel": 8,
        "mistral_api_requests_queue_limit": 9,
        'mistral_api_engine_state{state="ready"}': 1,
        'mistral_api_engine_state{state="dead"}': 0,
        'mistral_api_threads{for="batch"}': 1,
        "llamacpp:requests_processing": 4,
        "llamacpp:requests_deferred": 2,
    }
    assert {name: found[name] for name in expected} == expected
    (info,) = (name for name in found if name.startswith("mistral_api_model_info"))
    assert 'model="fake.gguf"' in info
    assert 'cpu_variant="fake"' in info
    assert found["mistral_api_process_anonymous_bytes"] > 1_000_000


@pytest.mark.parametrize(
    ("state", "error"), [(EngineState.LOADING, ModelLoading(0.4)), (EngineState.DEAD, EngineDead("dead"))]
)
def test_metrics_are_there_before_and_after_the_model(state: EngineState, error: ServiceError) -> None:
    class Unloaded(Watched):
        @property
        def model(self) -> FakeModel:
            raise error

        @model.setter
        def model(self, value: FakeModel) -> None: ...

    metrics = Metrics()
    metrics.watch(Unloaded(state=state, progress=0.4, last_step=None))
    found = values(metrics)
    assert found["mistral_api_model_load_progress"] == 0.4
    assert found[f'mistral_api_engine_state{{state="{state.value}"}}'] == 1
    assert not [name for name in found if name.startswith("mistral_api_model_info")]


def test_answers_are_counted_by_route_method_and_status() -> None:
    metrics = Metrics()
    for status in (200, 200, 404):
        metrics.http_request("/v1/models/{id}", "GET", status, 0.2)
    metrics.http_request("/", "BREW", 405, 0.001)
    found = values(metrics)
    assert found['mistral_api_http_requests_total{method="GET",route="/v1/models/{id}",status="200"}'] == 2
    assert found['mistral_api_http_requests_total{method="other",route="/",status="405"}'] == 1
    assert found['mistral_api_http_request_seconds_count{method="GET",route="/v1/models/{id}"}'] == 3


def test_every_error_has_a_series_from_the_start() -> None:
    metrics = Metrics()
    metrics.error(QueueFull("full"))
    found = values(metrics)
    assert found['mistral_api_errors_total{error="queue_full"}'] == 1

    def subclasses(cls: type[ServiceError]) -> list[type[ServiceError]]:
        return [found for child in cls.__subclasses__() for found in [child, *subclasses(child)]]

    for cls in subclasses(ServiceError):
        assert f'mistral_api_errors_total{{error="{cls.label}"}}' in found


def test_llama_servers_names_have_llama_servers_meanings() -> None:
    metrics = full()
    metrics.step(replace(STEP, prefill_rows=0, running=2, decode_seconds=0.01))
    found = values(metrics)
    expected = {
        "llamacpp:prompt_tokens_total": 40,
        "llamacpp:prompt_tokens_cached_total": 14,
        "llamacpp:prompt_seconds_total": 0.02,
        "llamacpp:tokens_predicted_total": 11,
        "llamacpp:tokens_predicted_seconds_total": 4.0,
        "llamacpp:n_decode_total": 2,
        "llamacpp:n_tokens_max": 58,
        "llamacpp:n_busy_slots_per_decode": 3.0,
        "llamacpp:prompt_tokens_seconds": 2000.0,
        "llamacpp:predicted_tokens_seconds": 2.5,
        "llamacpp:spec_decode_num_drafts_total": 0,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_all_of_llama_servers_names_are_there() -> None:
    theirs = """prompt_tokens_total prompt_tokens_cached_total prompt_seconds_total tokens_predicted_total
        tokens_predicted_seconds_total n_decode_total n_tokens_max spec_decode_num_draft_tokens_total
        spec_decode_num_accepted_tokens_total spec_decode_num_drafts_total prompt_tokens_seconds predicted_tokens_seconds
        requests_processing requests_deferred n_busy_slots_per_decode"""
    assert {f"llamacpp:{name}" for name in theirs.split()} <= set(values(Metrics()))


def test_two_scrapers_see_the_same_rates() -> None:
    metrics = full()
    assert values(metrics)["llamacpp:predicted_tokens_seconds"] == 2.5
    assert values(metrics)["llamacpp:predicted_tokens_seconds"] == 2.5


def test_a_rate_forgets_what_is_older_than_a_minute() -> None:
    window = Window()
    window.add(10, 1.0, now=1000.0)
    window.add(10, 1.0, now=1001.0)
    window.add(90, 1.0, now=1040.0)
    assert window.rate(1041.0) == pytest.approx(110 / 3)
    assert window.rate(1080.0) == 90
    assert window.rate(2000.0) == 0.0
    window.add(1, 1.0, now=5000.0)
    assert window.rate(5000.0) == 1.0


def test_a_distribution_counts_a_value_on_a_bound_below_it() -> None:
    distribution = Distribution((1, 2))
    for value in (1, 1.5, 7):
        distribution.add(value)
    assert distribution.cumulative() == [1, 2, 3]
    assert distribution.total == 9.5


def test_what_is_rendered_is_what_the_catalog_declares() -> None:
    rendered = {}
    for family in text_string_to_metric_families(full().render()[0].decode()):
        for sample in family.samples:
            name = re.sub("_(bucket|count|sum)$", "", sample.name) if family.type == "histogram" else sample.name
            rendered[name] = (family.type, tuple(sorted(set(sample.labels) - {"le"})))
    declared = {spec.name: (spec.kind, tuple(sorted(spec.labels))) for spec in every_spec()}
    assert rendered == declared


def test_the_page_of_metrics_is_what_the_catalog_makes() -> None:
    text = METRICS_PAGE.read_text(encoding="utf-8")
    assert text == document(), "run: make docs"
    rows = re.findall(r"^\| `([^`]+)` \|", text, flags=re.MULTILINE)
    assert sorted(rows) == sorted(spec.name for spec in every_spec())


def test_buckets_between_tokens_go_from_milliseconds_to_seconds() -> None:
    assert (TOKEN_SECONDS[0], TOKEN_SECONDS[-1]) == (0.005, 10)


def test_a_step_costs_next_to_nothing() -> None:
    metrics = Metrics()
    best = 1.0
    for _ in range(20):
        began = perf_counter()
        for _ in range(100):
            metrics.step(STEP)
        best = min(best, (perf_counter() - began) / 100)
    assert best < 30e-6
