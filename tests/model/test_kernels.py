"""Every set of CPU kernels that runs here: right, and the same for a row whatever else is in the batch or in the pool."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service.engine.llama.library import library_folder, library_path
from service.engine.llama.variants import by_score, find_variants

ROOT = Path(__file__).resolve().parent.parent.parent
GGML_LIBRARY = library_path(library_folder(), "ggml")
VARIANTS = [variant.name for variant in by_score(GGML_LIBRARY, find_variants(library_folder()), 10)]
OLD = {"x64", "sse42", "sandybridge", "ivybridge", "piledriver", "default"}
"""Without AVX2 llama.cpp's products sum a single row in an order of their own."""
SUMMED_OTHERWISE = 1e-6
"""Sums over cells have 64 bits: their order shows in the last of 32 bits, and hardly ever."""
ERROR = 1e-4


@pytest.fixture(scope="module", params=VARIANTS)
def found(request: pytest.FixtureRequest) -> tuple[str, dict[str, dict[str, float]]]:
    command = [sys.executable, "-m", "tests.support.kernels", request.param]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    answers: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return request.param, answers


def test_a_row_of_a_product_is_the_same_alone_and_among_others(found: tuple[str, dict[str, dict[str, float]]]) -> None:
    variant, answers = found
    assert "Q4_K in CPU" in answers["products"]
    if variant not in OLD:
        assert {name: worst for name, worst in answers["products"].items() if worst} == {}


def test_attention_is_what_its_definition_says(found: tuple[str, dict[str, dict[str, float]]]) -> None:
    assert {case: error for case, error in found[1]["errors"].items() if not error < ERROR} == {}


def test_attention_does_not_depend_on_places_and_parts(found: tuple[str, dict[str, dict[str, float]]]) -> None:
    assert {case: worst for case, worst in found[1]["places"].items() if not worst <= SUMMED_OTHERWISE} == {}
