from __future__ import annotations

import pytest

from service.engine.door import Door
from service.errors import QueueFull
from tests.support.builders import make_limits


def test_free_places_do_not_count_as_queue() -> None:
    door = Door(make_limits(parallel=2, queue=1))
    for name in "abc":
        door.enter(name, 10, now=0)
    with pytest.raises(QueueFull, match="3 requests are waiting and no more than 1"):
        door.enter("d", 10, now=0)


def test_a_started_request_makes_room_in_the_queue_but_not_in_the_house() -> None:
    door = Door(make_limits(parallel=1, queue=1))
    door.enter("a", 10, now=0)
    door.start("a")
    door.enter("b", 10, now=0)
    with pytest.raises(QueueFull):
        door.enter("c", 10, now=0)
    assert (door.inside, door.waiting, door.waiting_tokens) == (1, 1, 10)


def test_tokens_are_bounded_too() -> None:
    door = Door(make_limits(parallel=1, queue=100, queue_tokens=50))
    door.enter("running", 40, now=0)
    door.start("running")
    door.enter("a", 30, now=0)
    with pytest.raises(QueueFull, match="30 prompt tokens are waiting and with this request's 30"):
        door.enter("b", 30, now=0)


def test_a_large_prompt_is_let_in_when_a_place_is_free() -> None:
    door = Door(make_limits(parallel=1, queue=100, queue_tokens=50))
    door.enter("large", 400, now=0)
    assert door.waiting_tokens == 400


@pytest.mark.parametrize("idle", [0, 30_000])
def test_it_says_when_to_come_back_by_how_fast_others_leave_while_there_are_any(idle: int) -> None:
    door = Door(make_limits(parallel=1, queue=0))
    for second in range(10):
        door.enter("x", 1, now=second * 4)
        door.start("x")
        door.leave("x", now=second * 4 + 4)
    door.enter("a", 1, now=40 + idle)
    with pytest.raises(QueueFull) as caught:
        door.enter("b", 1, now=40 + idle)
    assert caught.value.retry_after == 4


def test_leaving_twice_changes_nothing() -> None:
    door = Door(make_limits())
    door.enter("a", 5, now=0)
    door.leave("a", now=1)
    door.leave("a", now=2)
    assert (door.inside, door.waiting) == (0, 0)
