"""Weights of 4 bits against several rows at once: our patch unpacks them once for all, and each row is what it is alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from service.engine.llama.library import library_folder, library_path
from service.engine.llama.variants import by_score, find_variants

ROOT = Path(__file__).resolve().parent.parent.parent
GGML_LIBRARY = library_path(library_folder(), "ggml")
VARIANTS = [variant.name for variant in by_score(GGML_LIBRARY, find_variants(library_folder()), 10)]
SAME = 0.05
"""Of the logits' range: sums in another order round an activation to the next of its 8 bits here and there, on some kernels."""

PROGRAM = """
import json, sys
import numpy as np
from service.engine.llama.loading import load_model
from service.engine.llama.options import LlamaOptions
from service.engine.model import Rows, Trim

model = load_model(
    LlamaOptions(
        sys.argv[1], context=512, batch=64, ubatch=64, sequences=8, threads=1, threads_batch=1, flash_attn="off",
        cache_type_k="f32", cache_type_v="f32", warmup=False, cpu_variant=sys.argv[2],
    ),
    lambda _: None,
)
tokens = model.tokenize("one two three four five six seven eight nine ten", add_special=True, parse_special=True)


def last_logits(start, count):
    model.decode([Rows(0, start, tokens[start : start + count], wants_sample=True)])
    return np.array(model.logits(0))


for token in range(len(tokens)):
    alone = last_logits(token, 1)
worst = {}
for rows in range(2, 9):
    model.apply([Trim(0, 0)])
    last_logits(0, len(tokens) - rows)
    together = last_logits(len(tokens) - rows, rows)
    worst[rows] = float(np.abs(together - alone).max() / np.ptp(alone))
print(json.dumps([model.runtime.cpu_variant, worst]))
model.close()
"""


@pytest.mark.parametrize("variant", VARIANTS)
def test_rows_together_are_what_they_are_alone(variant: str, default_model_path: Path) -> None:
    """On every set of kernels that runs here, each in a process of its own: a process opens its kernels once."""
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(default_model_path), variant],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    chosen, worst = json.loads(run.stdout)
    assert chosen == variant
    assert {rows: difference for rows, difference in worst.items() if difference > SAME} == {}
