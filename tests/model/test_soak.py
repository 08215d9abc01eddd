"""A short soak of the real service; `make soak` is the long one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.client import BenchError
from bench.servers import Memory, Side
from bench.soak import EARLY, MOST_GROWTH, Soak, soak

pytestmark = pytest.mark.model


@pytest.mark.timeout(600)
async def test_some_hundred_requests_leave_no_memory_behind(tiny_model_path: Path) -> None:
    """A native sampler that is not freed would cost 0.4 MB a request."""
    soaked = await soak(Side("mistral-api", (sys.executable, "-m", "service")), tiny_model_path, 2, 2 * EARLY)
    assert [after for after, _ in soaked.readings] == [EARLY, 2 * EARLY]
    assert soaked.readings[0][1].anonymous > 10, "the reading of the memory is wrong"
    soaked.check()


@pytest.mark.parametrize("growth", [MOST_GROWTH + 0.1, -1.0])
def test_memory_that_grows_in_the_second_half_is_an_error(growth: float) -> None:
    soaked = Soak(((200, Memory(90.0, 40.0)), (500, Memory(99.0, 50.0)), (1000, Memory(99.0, 50.0 + growth))))
    assert soaked.growth == pytest.approx(growth)
    if growth > 0:
        with pytest.raises(BenchError, match="memory grew"):
            soaked.check()
    else:
        soaked.check()
