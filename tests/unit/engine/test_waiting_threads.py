"""How the kernels' threads wait between two steps is said before libgomp is loaded, and only where nobody else has said it."""

from __future__ import annotations

import importlib
import os

import pytest

import service.engine.llama


@pytest.mark.parametrize(
    ("said", "spins"),
    [
        ({}, service.engine.llama.IDLE_SPINS),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "passive"}, None),
    ],
)
def test_who_has_said_how_threads_wait_is_obeyed(
    said: dict[str, str], spins: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", "")  # so that it is as before after the test
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    importlib.reload(service.engine.llama)
    assert os.environ.get("GOMP_SPINCOUNT") == spins
