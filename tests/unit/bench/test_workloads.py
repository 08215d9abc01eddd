from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.client import Ask
from bench.prompts import WORDS, prompt, words
from bench.servers import Options
from bench.workloads import WORKLOADS, Plan, Workload, chosen
from service.settings.settings import Settings


def plan(seed: str) -> Plan:
    return Plan(seed, quick=False, seconds=1.0)


def test_a_plan_gives_both_sides_the_same_text_and_each_client_its_own() -> None:
    first = [words(plan("W1/0").random(place), 60) for place in range(8)]
    assert first == [words(plan("W1/0").random(place), 60) for place in range(8)]
    assert len(set(first)) == 8
    assert not set(first) & {words(plan(seed).random(place), 60) for seed in ("W1/1", "W1s/0") for place in range(8)}


@pytest.mark.parametrize("count", [1, 60, 1200])
def test_a_text_has_the_words_it_was_asked_for(count: int) -> None:
    text = words(plan("a").random(0), count)
    assert len(text.split()) == count
    assert {word.strip(".") for word in text.split()} <= set(WORDS)


def test_a_prompts_length_lies_between_its_bounds() -> None:
    lengths = {len(prompt(plan("a").random(place), 60, 62).split()) for place in range(50)}
    assert lengths == {60, 61, 62}


def test_both_sides_are_asked_for_a_fixed_number_of_greedy_tokens() -> None:
    body = json.loads(Ask(48, messages=(("user", "Hi"),)).body())
    assert (body["max_tokens"], body["temperature"], body["ignore_eos"], body["stream"]) == (48, 0, True, True)
    assert body["messages"] == [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_the_options_of_every_workload_are_ones_that_we_take(workload: Workload, tmp_path: Path) -> None:
    options = Options(tmp_path / "m.gguf", 2, workload.cells, whole_pool=workload.whole_pool)
    settings = Settings.from_arguments(options.arguments(8001), {})
    assert (settings.ctx_size, settings.parallel, settings.threads, settings.kv_unified) == (
        workload.cells,
        8,
        2,
        workload.whole_pool,
    )


def test_workloads_are_chosen_in_the_order_of_the_table() -> None:
    assert [workload.name for workload in chosen(["W3", "W1"])] == ["W1", "W3"]
