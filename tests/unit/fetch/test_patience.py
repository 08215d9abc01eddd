"""How long is waited, and how it is told how far it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from structlog.testing import capture_logs

from service.errors import SourceUnreachable
from service.fetch.asking import TryAgainError, retry_after
from service.fetch.patience import Patience
from service.fetch.progress import Progress


def test_waits_double_up_to_a_minute_and_differ_between_pods() -> None:
    slept: list[float] = []
    patience = Patience("x", retries=12, delay=1.0, sleep=slept.append)
    for _ in range(12):
        patience.wait(TryAgainError("no"))
    bounds = [min(60.0, 2.0**number) for number in range(12)]
    assert all(bound / 2 <= seconds <= bound for seconds, bound in zip(slept, bounds, strict=True))


def test_tries_in_a_row_are_counted_and_progress_forgets_them() -> None:
    patience = Patience("x", retries=2, delay=1.0, sleep=lambda _seconds: None)
    for _ in range(5):
        patience.wait(TryAgainError("no"))
        patience.wait(TryAgainError("no"))
        patience.progressed()
    patience.wait(TryAgainError("no"))
    patience.wait(TryAgainError("no"))
    with pytest.raises(SourceUnreachable, match="x: nothing new in 3 tries: no"):
        patience.wait(TryAgainError("no"))


def test_what_the_source_asks_for_is_waited_but_not_for_ever() -> None:
    slept: list[float] = []
    patience = Patience("x", retries=2, delay=1.0, sleep=slept.append)
    patience.wait(TryAgainError("no", 90.0))
    patience.wait(TryAgainError("no", 1e9))
    assert slept == [90.0, 600.0]


@pytest.mark.parametrize(("text", "seconds"), [("", 0), ("7", 7), ("soon", 0), ("-5", 0), ("²", 0)])
def test_retry_after_in_seconds(text: str, seconds: float) -> None:
    assert retry_after(httpx.Response(503, headers=[(b"Retry-After", text.encode())])) == seconds


def test_retry_after_as_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert 95 < retry_after(httpx.Response(503, headers={"Retry-After": date})) <= 100


def test_progress_is_said_every_so_often_with_the_rate_since_the_last_line() -> None:
    now = 0.0
    progress = Progress("fetching", "a.gguf", 1000, every=10.0, clock=lambda: now)
    with capture_logs() as lines:
        for now, done in ((0.0, 100), (5.0, 150), (10.0, 200), (15.0, 300), (21.0, 530)):  # noqa: B007
            progress.at(done)
    assert [(line["bytes"], line["percent"], line["bytes_per_second"], line["seconds_left"]) for line in lines] == [
        (200, 20.0, 10, 80),
        (530, 53.0, 30, 16),
    ]
