"""What wakes a reader, and when."""

from __future__ import annotations

import asyncio

import pytest

from service.engine.bell import Bell

pytestmark = pytest.mark.anyio


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_it_is_heard_once_also_when_nobody_waited_yet() -> None:
    bell = Bell()
    bell.ring()
    bell.ring()
    assert await bell.wait()
    assert not await bell.wait(now() + 0.01)


async def test_it_wakes_whoever_waits() -> None:
    bell = Bell()
    waiting = asyncio.create_task(bell.wait(now() + 10))
    await asyncio.sleep(0)
    bell.ring()
    assert await asyncio.wait_for(waiting, 1)
    bell.close()


async def test_a_silence_ends_at_its_time_though_an_earlier_wait_had_another() -> None:
    bell = Bell()
    bell.ring()
    assert await bell.wait(now() + 30)
    for seconds in (30, 0.02, 30):
        asyncio.get_running_loop().call_soon(bell.ring)
        assert await bell.wait(now() + seconds)
    for seconds in (0.05, 0.02, 0.05):
        began = now()
        assert not await asyncio.wait_for(bell.wait(began + seconds), 5)
        assert now() - began >= seconds - 0.002
    bell.close()


async def test_many_waits_need_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    bell, loop, timers = Bell(), asyncio.get_running_loop(), list[float]()
    set_timer = loop.call_at

    def counting(when: float, *arguments: object) -> asyncio.TimerHandle:
        timers.append(when)
        return set_timer(when, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "call_at", counting)
    for _ in range(20):
        loop.call_soon(bell.ring)
        assert await bell.wait(now() + 30)
    assert len(timers) == 1
    bell.close()


async def test_a_wait_that_is_given_up_loses_no_ring() -> None:
    bell = Bell()
    waiting = asyncio.create_task(bell.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    bell.ring()
    assert await asyncio.wait_for(bell.wait(), 1)
