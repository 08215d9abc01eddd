"""How long the kernels' threads spin while they wait for each other."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SHOW = "import os, service.engine.llama; print(os.environ.get('GOMP_SPINCOUNT'))"


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_threads_spin_shortly_unless_the_user_says_otherwise(given: dict[str, str], expected: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GOMP_", "OMP_"))}
    shown = subprocess.run(
        [sys.executable, "-c", SHOW], env={**environment, **given}, capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == expected
