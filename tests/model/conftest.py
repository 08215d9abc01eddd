"""The tiny model through the real binding, loaded once and emptied before each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.engine.llama.loading import load_model
from service.engine.llama.model import LlamaModel
from service.engine.llama.options import LlamaOptions
from service.engine.model import Trim
from tests.conftest import made_model


def tiny_options(path: Path) -> LlamaOptions:
    """Several ubatches in a batch."""
    return LlamaOptions(
        str(path),
        context=512,
        batch=128,
        ubatch=32,
        sequences=16,
        threads=2,
        threads_batch=2,
        warmup=False,
    )


@pytest.fixture(scope="session")
def loaded_tiny(tiny_model_path: Path) -> Iterator[LlamaModel]:
    model = load_model(tiny_options(tiny_model_path), lambda _: None)
    yield model
    model.close()


@pytest.fixture
def tiny(loaded_tiny: LlamaModel) -> LlamaModel:
    loaded_tiny.apply([Trim(sequence, 0) for sequence in range(loaded_tiny.sequences)])
    return loaded_tiny


@pytest.fixture(scope="session", params=["tiny-mistral", "tiny-window", "tiny-recurrent", "tiny-hybrid"])
def loaded_kind(request: pytest.FixtureRequest) -> Iterator[LlamaModel]:
    model = load_model(tiny_options(made_model(request.param)), lambda _: None)
    yield model
    model.close()


@pytest.fixture
def kind(loaded_kind: LlamaModel) -> LlamaModel:
    """One of each kind of memory: cells for all tokens, a sliding window, one state a sequence, and states beside cells."""
    loaded_kind.apply([Trim(sequence, 0) for sequence in range(loaded_kind.sequences)])
    return loaded_kind
