from __future__ import annotations

import math

import pytest

from bench.answer import Answer
from bench.figures import OUTPUT_RATE, figures, percentile, ratio, step_figures
from bench.table import number, table
from bench.workloads import Outcome


def answer(*, well: bool = True, first: float | None = 1.0, gap: float = 0.5) -> Answer:
    return Answer(
        well=well,
        error="",
        text="x",
        started=0.0,
        first=first,
        ended=2.0,
        longest_gap=gap,
        output_tokens=10,
        prompt_tokens=20,
        computed_tokens=5,
    )


def test_tokens_of_a_request_that_did_not_end_well_do_not_count() -> None:
    found = figures(Outcome([answer(), answer(well=False)], seconds=2.0))
    assert (found[OUTPUT_RATE], found["requests"], found["requests that ended well"]) == (5.0, 2, 1)
    assert (found["prompt tokens"], found["computed prompt tokens"]) == (20, 5)


def test_gaps_are_those_of_the_watched_streams_where_there_are_such() -> None:
    calm, rough = answer(gap=0.1), answer(gap=9.0)
    assert figures(Outcome([calm, rough], seconds=1.0))["longest gap in a stream, s"] == 9.0
    assert figures(Outcome([calm, rough], watched=[calm], seconds=1.0))["longest gap in a stream, s"] == 0.1


def test_requests_without_a_token_have_no_time_to_it() -> None:
    assert math.isnan(figures(Outcome([answer(first=None)], seconds=1.0))["first token p50, s"])


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1.0), (0.25, 1.0), (0.5, 2.0), (0.51, 3.0), (0.99, 4.0), (1.0, 4.0)]
)
def test_percentiles_are_values_that_were_seen(share: float, expected: float) -> None:
    assert percentile([4.0, 2.0, 1.0, 3.0], share) == expected


def test_a_ratio_is_taken_within_each_pair() -> None:
    found = ratio([10.0, 100.0, 30.0], [10.0, 50.0, 20.0])
    assert (found.middle, found.least, found.most) == (1.5, 1.0, 2.0)


def test_a_pair_without_a_figure_gives_no_ratio() -> None:
    assert ratio([1.0, 3.0, math.nan], [0.0, 2.0, 2.0]).middle == 1.5
    assert math.isnan(ratio([1.0], [0.0]).middle)


def test_a_steps_parts_are_taken_from_our_own_metrics_only() -> None:
    def page(steps: float, seconds: float) -> dict[str, float]:
        parts = {
            f'mistral_api_step_part_seconds_total{{part="{part}"}}': seconds for part in ("own", "sample", "decode")
        }
        return {"mistral_api_steps_total": steps} | parts

    assert step_figures(page(10, 1.0), page(20, 1.5))["step: own, ms"] == 50.0
    assert step_figures({}, {"llamacpp:n_decode_total": 3.0}) == {}


def test_the_table_has_a_row_a_figure_and_leaves_out_what_one_side_lacks() -> None:
    text = table("W1", ("a", "b"), [{"x": 2.0, "mine": 0.25}, {"x": 3.0, "mine": 0.25}], [{"x": 1.0}, {"x": 2.0}])
    assert text.splitlines()[-2:] == ["| x | 2.500 | 1.500 | 1.75 | 1.50-2.00 |", "| mine | 0.250 |  |  |  |"]


@pytest.mark.parametrize(
    ("value", "expected"), [(0.12345, "0.123"), (12.345, "12.3"), (1234.5, "1,234"), (8.0, "8"), (math.nan, "")]
)
def test_numbers_show_what_counts(value: float, expected: str) -> None:
    assert number(value) == expected
