"""The generations of one request are read as one, in whatever order they get on."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from service.api.choices import Choices
from service.engine.bell import Bell
from service.engine.engine import Engine
from service.engine.generation import Generation
from service.engine.requests import Delta, GenerationRequest, StopReason, Summary, Timings
from service.errors import ContextExceeded, EngineDead, QueueFull

pytestmark = pytest.mark.anyio

END = Delta(summary=Summary(StopReason.END, 1, 0, 1, Timings()))


class Counter:
    """An engine that takes `room` requests and computes none."""

    def __init__(self, room: int = 8) -> None:
        self.room = room
        self.taken: list[Generation] = []
        self.aborted: list[str] = []

    def submit(self, request: GenerationRequest, bell: Bell) -> Generation:
        if len(self.taken) == self.room:
            raise QueueFull("full")
        if len(request.prompt) > 3:
            raise ContextExceeded(len(request.prompt), 3)
        self.taken.append(Generation(request, self.aborted.append, bell))
        return self.taken[-1]


def choose(counter: Counter, count: int = 1, prompt: tuple[int, ...] = (1,)) -> Choices:
    requests = [GenerationRequest(id=str(index), prompt=prompt) for index in range(count)]
    return Choices(cast(Engine, counter), requests, "messages")


@pytest.mark.parametrize("count", [1, 3])
async def test_what_has_no_text_is_held_until_there_is_some(count: int) -> None:
    engine = Counter()
    choices = choose(engine, count)
    for tokens in ((1,), (2,)):
        engine.taken[0].add(Delta(tokens=tokens))
        assert await choices.next(0.01) == []
    engine.taken[0].add(Delta(text="a", tokens=(3,)))
    assert await choices.next(None) == [(0, Delta(text="a", tokens=(1, 2, 3)))]


async def test_deltas_come_in_the_order_of_the_choices() -> None:
    engine = Counter()
    choices = choose(engine, 3)
    for index in (2, 0, 1):
        engine.taken[index].add(Delta(text=str(index)))
    assert [(index, delta.text) for index, delta in await choices.next(1)] == [(0, "0"), (1, "1"), (2, "2")]
    assert not choices.ended


@pytest.mark.parametrize("count", [1, 2])
async def test_it_has_ended_when_every_choice_has(count: int) -> None:
    engine = Counter()
    choices = choose(engine, count)
    for generation in engine.taken:
        assert not choices.ended
        generation.add(END)
        assert len(await choices.next(1)) == 1
    assert choices.ended
    assert await choices.next(1) == []


@pytest.mark.parametrize("count", [1, 2])
async def test_silence_loses_nothing(count: int) -> None:
    engine = Counter()
    choices = choose(engine, count)
    for text in "abc":
        assert await choices.next(0.001) == []
        engine.taken[0].add(Delta(text=text))
        assert await choices.next(1) == [(0, Delta(text=text))]


@pytest.mark.parametrize("count", [1, 3])
async def test_an_error_is_raised_once_and_forgotten_by_nobody(count: int) -> None:
    engine = Counter()
    choices = choose(engine, count)
    assert await choices.next(0.001) == []
    for generation in engine.taken:
        generation.fail(EngineDead("gone"))
    with pytest.raises(EngineDead):
        await choices.next(1)
    choices.close()


@pytest.mark.parametrize("whole", [True, False])
async def test_an_error_that_came_with_text_is_raised_too(whole: bool) -> None:
    engine = Counter()
    choices = choose(engine)
    engine.taken[0].add(Delta(text="a"))
    engine.taken[0].fail(EngineDead("gone"))
    if not whole:
        assert await choices.next(1) == [(0, Delta(text="a"))]
    with pytest.raises(EngineDead):
        await asyncio.wait_for(choices.all(lambda index, delta: None) if whole else choices.next(None), 1)


async def test_a_request_that_is_refused_takes_the_others_with_it() -> None:
    engine = Counter(room=2)
    with pytest.raises(QueueFull):
        choose(engine, 3)
    assert engine.aborted == ["0", "1"]


async def test_a_prompt_that_is_too_long_is_told_by_the_field_it_came_in() -> None:
    with pytest.raises(ContextExceeded) as caught:
        choose(Counter(), prompt=(1, 2, 3, 4))
    assert caught.value.param == "messages"


@pytest.mark.parametrize("count", [1, 3])
async def test_closing_aborts_what_has_not_ended(count: int) -> None:
    engine = Counter()
    choices = choose(engine, count)
    engine.taken[0].add(END)
    await choices.next(1)
    choices.close()
    choices.close()
    assert engine.aborted == [str(index) for index in range(1, count)]


async def test_whole_answers_are_put_together() -> None:
    engine = Counter()
    choices = choose(engine, 2)
    noted: list[tuple[int, str]] = []
    waiting = asyncio.create_task(choices.all(lambda index, delta: noted.append((index, delta.text))))
    await asyncio.sleep(0)
    for generation in engine.taken:
        generation.add(Delta(text="a"))
        generation.add(Delta(text="b"))
        generation.add(END)
    assert [(answer.text, answer.summary is not None) for answer in await waiting] == [("ab", True)] * 2
    assert noted == [(0, "ab"), (1, "ab")]
