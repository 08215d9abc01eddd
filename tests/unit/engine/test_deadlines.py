"""The heap of deadlines: each comes once and in time, and those of requests that have left do not pile up."""

from __future__ import annotations

from service.engine.deadlines import SWEPT_FROM, Deadlines


def test_deadlines_come_once_and_in_time() -> None:
    deadlines = Deadlines()
    present = {"late", "soon", "now"}
    for due, name in [(30.0, "late"), (20.0, "soon"), (10.0, "now")]:
        deadlines.add(due, name, present)
    assert [deadlines.take(now) for now in (9.0, 10.0, 10.0, 99.0)] == [[], ["now"], [], ["soon", "late"]]


def test_deadlines_of_requests_that_have_left_do_not_pile_up() -> None:
    deadlines = Deadlines()
    present = {"stays"}
    deadlines.add(3600.0, "stays", present)
    for number in range(10_000):
        deadlines.add(3600.0 + number, f"gone {number}", present)
        assert len(deadlines) <= SWEPT_FROM + 4
    assert "stays" in deadlines.take(3600.0)


def test_all_that_are_present_are_kept() -> None:
    deadlines = Deadlines()
    present = {f"r{number}" for number in range(1000)}
    for number in range(1000):
        deadlines.add(float(number), f"r{number}", present)
    assert set(deadlines.take(1000.0)) == present
