"""What is told of the process, beside what prometheus_client tells of it."""

from __future__ import annotations

import pytest
from prometheus_client import ProcessCollector
from prometheus_client.parser import text_string_to_metric_families

from service.engine.memory import anonymous_bytes
from service.telemetry.process import Process


def told() -> dict[str, float]:
    text = "".join(Process().families())
    return {sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples}


def test_it_is_what_prometheus_client_tells() -> None:
    theirs = {
        sample.name: sample.value for family in ProcessCollector(registry=None).collect() for sample in family.samples
    }
    ours = told()
    # They read the sizes again, the CPU's time in hundredths of a second, and have one more file open: the folder they count in.
    assert ours.pop("mistral_api_process_anonymous_bytes") == pytest.approx(anonymous_bytes(), rel=0.1)
    assert ours.pop("process_open_fds") == pytest.approx(theirs.pop("process_open_fds"), abs=1)
    assert ours.pop("process_cpu_seconds_total") == pytest.approx(theirs.pop("process_cpu_seconds_total"), abs=1)
    assert ours == pytest.approx(theirs, rel=0.1)


def test_without_proc_the_memory_is_0_and_nothing_else_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.telemetry.process.STATUS", "/nowhere/status")
    monkeypatch.setattr("service.telemetry.process.ProcessCollector.collect", lambda self: [])
    assert told() == {"mistral_api_process_anonymous_bytes": 0}
