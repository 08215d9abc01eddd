"""What the options mean for a model: the host's memory for prefixes that left the pool."""

from __future__ import annotations

import pytest

from service.engine.interface import EngineOptions
from service.engine.sizing import MOST_SAVED_BYTES, saved_bytes
from tests.support.fake_model import FakeModel


@pytest.mark.parametrize(
    ("asked", "spare", "taken"),
    [
        (None, 0, 0),
        (None, 1000, 250),
        (None, 1 << 40, MOST_SAVED_BYTES),
        (0, 1000, 0),
        (5000, 1000, 5000),
    ],
)
def test_prefixes_take_what_was_asked_for_or_what_can_be_spared(asked: int | None, spare: int, taken: int) -> None:
    options = EngineOptions(parallel=1, split_context=False, queue=1, saved_bytes=asked)
    assert saved_bytes(FakeModel(spare_bytes=spare), options) == taken
