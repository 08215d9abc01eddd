"""The engine as asyncio sees it, with its real thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from threading import Event

import pytest

from service.engine.engine import Engine
from service.engine.interface import EngineOptions, EngineState
from service.engine.model import DecodeResult, Model, Rows
from service.engine.pulse import Pulse
from service.engine.requests import RequestRecord, SamplingParams, StepStats
from service.errors import (
    ContextExceeded,
    DeadlineExceeded,
    Draining,
    EngineDead,
    InvalidRequest,
    ModelLoadError,
    ModelLoading,
    QueueFull,
    StartError,
)
from tests.support.builders import make_bench, make_request
from tests.support.fake_model import FakeModel, continuation
from tests.support.reading import collect, deltas, next_delta

OPTIONS = EngineOptions(parallel=2, split_context=False, queue=2, calibrate=False)


class Notes:
    """An observer that keeps what it hears."""

    def __init__(self) -> None:
        self.steps: list[StepStats] = []
        self.records: list[RequestRecord] = []

    def step(self, stats: StepStats) -> None:
        self.steps.append(stats)

    def ended(self, record: RequestRecord) -> None:
        self.records.append(record)


@asynccontextmanager
async def running(
    model: FakeModel, options: EngineOptions = OPTIONS, notes: Notes | None = None
) -> AsyncIterator[Engine]:
    engine = Engine(lambda progress: model, options, notes)
    engine.start()
    await engine.wait_loaded()
    try:
        yield engine
    finally:
        model.gate.set()
        await engine.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 (what is waited for happens in another thread)
            await asyncio.sleep(0.001)


def run(scenario: Callable[[], object]) -> None:
    asyncio.run(scenario())  # type: ignore[arg-type]


def test_answers_come_whole_and_records_are_kept() -> None:
    async def scenario() -> None:
        notes = Notes()
        async with running(FakeModel(), notes=notes) as engine:
            answers = await asyncio.gather(*(collect(engine.submit(make_request(n, n.encode()))) for n in "abcd"))
            assert [list(answer.tokens) for answer in answers] == [continuation(n.encode(), 8) for n in "abcd"]
            assert [record.outcome.value for record in notes.records] == ["length"] * 4
            assert all(record.first_token_seconds is not None for record in notes.records)
            assert sum(step.sampled_tokens for step in notes.steps) == 32
            assert engine.waiting == engine.running == 0

    run(scenario)


def test_a_slow_reader_gets_several_deltas_as_one() -> None:
    async def scenario() -> None:
        async with running(FakeModel()) as engine:
            generation = engine.submit(make_request("a", b"go", max_tokens=30))
            await asyncio.sleep(0.2)
            (delta,) = [delta async for delta in deltas(generation)]
            assert delta.generated_tokens == 30

    run(scenario)


def test_before_the_model_is_there_requests_are_told_the_progress() -> None:
    async def scenario() -> None:
        go = asyncio.Event()
        loop = asyncio.get_running_loop()

        def load(progress: Callable[[float], None]) -> Model:
            progress(0.4)
            asyncio.run_coroutine_threadsafe(go.wait(), loop).result()
            return FakeModel()

        engine = Engine(load, OPTIONS)
        engine.start()
        await asyncio.sleep(0.05)
        with pytest.raises(ModelLoading) as caught:
            engine.submit(make_request("a", b"x"))
        assert caught.value.progress == engine.progress == 0.4
        assert (engine.state, engine.beating) == (EngineState.LOADING, True)
        go.set()
        await engine.wait_loaded()
        assert engine.state is EngineState.READY
        await engine.stop()

    run(scenario)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("error", [ModelLoadError("m.gguf", "not a GGUF file"), RuntimeError("surprise")])
def test_a_model_that_cannot_be_loaded_says_why(error: Exception) -> None:
    async def scenario() -> None:
        def load(progress: Callable[[float], None]) -> Model:
            raise error

        engine = Engine(load, OPTIONS)
        engine.start()
        with pytest.raises(StartError, match=r"m.gguf: not a GGUF file|loaded: RuntimeError: surprise"):
            await engine.wait_loaded()
        assert (engine.state, engine.beating) == (EngineState.DEAD, False)
        with pytest.raises(EngineDead):
            engine.submit(make_request("a", b"x"))
        await engine.stop()

    run(scenario)


def test_what_cannot_be_served_is_refused_at_the_door() -> None:
    async def scenario() -> None:
        async with running(FakeModel(cells=32)) as engine:
            for prompt, error in [
                (b"", InvalidRequest),
                ([258], InvalidRequest),
                ([-1], InvalidRequest),
                (b"x" * 32, ContextExceeded),
            ]:
                with pytest.raises(error):
                    engine.submit(make_request("a", prompt))
            with pytest.raises(InvalidRequest, match="top_k"):
                engine.submit(make_request("a", b"x", sampling=SamplingParams(top_k=-2)))
            assert engine.running == 0

    run(scenario)


def test_defaults_that_the_model_cannot_take_end_the_start() -> None:
    async def scenario() -> None:
        engine = Engine(lambda progress: FakeModel(), replace(OPTIONS, sampling=SamplingParams(top_k=-2)))
        engine.start()
        with pytest.raises(StartError, match=r"sampling parameters .* top_k must be"):
            await engine.wait_loaded()
        await engine.stop()

    run(scenario)


def test_the_queue_is_bounded_and_says_when_to_come_back() -> None:
    async def scenario() -> None:
        model = FakeModel()
        async with running(model) as engine:
            model.gate.clear()
            generations = [engine.submit(make_request(n, n.encode())) for n in "abcd"]
            with pytest.raises(QueueFull) as caught:
                engine.submit(make_request("e", b"e"))
            assert caught.value.retry_after is not None
            assert caught.value.retry_after >= 1
            assert engine.running + engine.waiting == 4
            generations[0].abort()
            model.gate.set()
            await next_delta(generations[1])
            last = engine.submit(make_request("f", b"f"))
            assert (await collect(last)).generated_tokens == 8

    run(scenario)


def test_leaving_a_generation_aborts_it() -> None:
    async def scenario() -> None:
        notes, model = Notes(), FakeModel(pause=0.01)
        async with running(model, notes=notes) as engine:
            async with aclosing(deltas(engine.submit(make_request("a", b"x", max_tokens=200)))) as reading:
                await anext(reading)
            assert await engine.wait_idle(1)
            await asyncio.sleep(0.1)
            assert [record.outcome.value for record in notes.records] == ["aborted"]
            assert model.samplers == 0

    run(scenario)


def test_the_place_of_a_client_that_leaves_during_a_step_is_another_ones_in_the_next() -> None:
    async def scenario() -> None:
        model, steps, left = FakeModel(), [], Event()
        here = asyncio.get_running_loop()
        async with running(model, replace(OPTIONS, parallel=1)) as engine:
            leaving = engine.submit(make_request("a", b"x", max_tokens=200))
            waiting = engine.submit(make_request("b", b"yyyyy", max_tokens=3))

            def leave() -> None:
                leaving.abort()
                left.set()

            def look(groups: Sequence[Rows]) -> DecodeResult:
                steps.append([len(group.tokens) for group in groups])
                if len(steps) == 5:
                    here.call_soon_threadsafe(leave)
                    assert left.wait(2)
                return DecodeResult.OK

            model.fails = look
            assert (await collect(waiting)).generated_tokens == 3
            assert steps[4:] == [[1], [5], [1], [1]], (
                "the step in which it left, and the very next has the other's prompt"
            )

    run(scenario)


def test_a_deadline_is_told_when_it_comes_however_long_the_step_takes() -> None:
    async def scenario() -> None:
        model, notes = FakeModel(), Notes()
        async with running(model, notes=notes) as engine:
            model.gate.clear()
            first, late = engine.submit(make_request("a", b"x")), engine.submit(make_request("b", b"y", deadline=0.05))
            async with asyncio.timeout(2):
                with pytest.raises(DeadlineExceeded):
                    await collect(late)
            assert not model.gate.is_set()
            model.gate.set()
            assert (await collect(first)).generated_tokens == 8
            await engine.wait_idle(1)
            assert {record.outcome.value for record in notes.records} == {"overdue", "length"}

    run(scenario)


def test_a_request_waits_from_its_arrival_on_though_a_step_is_running() -> None:
    async def scenario() -> None:
        model, notes = FakeModel(), Notes()
        async with running(model, notes=notes) as engine:
            model.gate.clear()
            generations = [engine.submit(make_request("a", b"x"))]
            await until(lambda: bool(engine._pulse.serving))
            generations.append(engine.submit(make_request("b", b"y")))
            await asyncio.sleep(0.1)
            model.gate.set()
            await asyncio.gather(*map(collect, generations))
            assert max(record.queue_seconds or 0.0 for record in notes.records) >= 0.1

    run(scenario)


def test_a_failed_request_raises_after_what_it_had_said() -> None:
    async def scenario() -> None:
        model = FakeModel(pause=0.005)
        async with running(model) as engine:
            reading = deltas(engine.submit(make_request("a", b"x", max_tokens=200)))
            await anext(reading)
            model.fails = lambda groups: DecodeResult.FAILED
            with pytest.raises(Exception, match="could not compute") as caught:
                async for _ in reading:
                    pass
            assert caught.type.__name__ == "RequestFailed"

    run(scenario)


def test_a_dead_loop_fails_the_present_and_the_future() -> None:
    async def scenario() -> None:
        model = FakeModel()
        async with running(model) as engine:
            model.gate.clear()
            generation = engine.submit(make_request("a", b"x", max_tokens=200))
            model.logits = []
            model.decode = lambda groups: 1 / 0  # type: ignore[method-assign, assignment, return-value]
            model.gate.set()
            with pytest.raises(EngineDead):
                await collect(generation)
            assert (engine.state, engine.beating) == (EngineState.DEAD, False)
            with pytest.raises(EngineDead):
                engine.submit(make_request("b", b"x"))

    run(scenario)


def test_draining_takes_nothing_new_and_finishes_what_runs() -> None:
    async def scenario() -> None:
        async with running(FakeModel(pause=0.002)) as engine:
            generation = engine.submit(make_request("a", b"x", max_tokens=50))
            engine.drain()
            assert engine.state is EngineState.DRAINING
            with pytest.raises(Draining):
                engine.submit(make_request("b", b"y"))
            assert not await engine.wait_idle(0.01)
            assert (await collect(generation)).generated_tokens == 50
            assert await engine.wait_idle(1)

    run(scenario)


def test_stopping_interrupts_a_long_step() -> None:
    async def scenario() -> None:
        model = FakeModel()
        async with running(model) as engine:
            model.gate.clear()
            generation = engine.submit(make_request("a", b"x"))
            await asyncio.sleep(0.05)
            await asyncio.wait_for(engine.stop(), 2)
            with pytest.raises(EngineDead):
                await collect(generation)
            assert model.closed

    run(scenario)


def test_a_prefill_that_nobody_waits_for_is_interrupted() -> None:
    async def scenario() -> None:
        model, notes = FakeModel(), Notes()
        async with running(model, notes=notes) as engine:
            model.gate.clear()
            generation = engine.submit(make_request("a", b"x" * 50))
            await until(lambda: bool(engine._pulse.serving))
            generation.abort()
            assert await asyncio.to_thread(model.gate.wait, 1)
            await until(lambda: bool(notes.records))
            assert notes.records[0].outcome.value == "aborted"

    run(scenario)


def test_a_step_that_serves_others_too_is_not_interrupted() -> None:
    async def scenario() -> None:
        model = FakeModel(pause=0.005)
        async with running(model) as engine:
            staying = engine.submit(make_request("a", b"x", max_tokens=200))
            leaving = engine.submit(make_request("b", b"y", max_tokens=200))
            await next_delta(leaving)
            model.interrupt = lambda: 1 / 0  # type: ignore[method-assign, assignment]
            leaving.abort()
            await next_delta(staying)
            await next_delta(staying)
            del model.interrupt

    run(scenario)


def test_a_stuck_loop_is_noticed_and_a_long_step_is_not() -> None:
    pulse = Pulse(since=100.0, predicted=30.0)
    assert not pulse.stuck(now=399.0)
    assert pulse.stuck(now=401.0)
    assert not Pulse(since=100.0, predicted=0.1).stuck(now=159.0)
    assert Pulse(since=100.0, predicted=0.1).stuck(now=161.0)
    assert not Pulse().stuck(now=1e9)
    assert not Pulse(since=100.0).stuck(now=3000.0)
    assert Pulse(since=100.0).stuck(now=3800.0)


def test_a_short_step_after_a_long_one_is_not_stuck() -> None:
    bench = make_bench()
    pulse, seen = bench.loop.pulse, []
    model = bench.model

    def look(groups: Sequence[Rows]) -> DecodeResult:
        pulse.predicted = 0.1
        seen.append(pulse.stuck(bench.now + 1))
        bench.now += 70  # what this step takes
        seen.append(pulse.stuck(bench.now))
        return DecodeResult.OK

    assert isinstance(model, FakeModel)
    model.fails = look
    bench.submit(make_request("a", b"x", max_tokens=2))
    bench.finish()
    assert seen == [False, True, False, True]


def test_the_engine_says_once_each_time_that_it_is_stuck(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        monkeypatch.setattr("service.engine.pulse.STUCK_SECONDS", 0.05)
        monkeypatch.setattr("service.engine.engine.WATCH_SECONDS", 0.01)
        model = FakeModel()
        async with running(model) as engine:
            await collect(engine.submit(make_request("first", b"x")))
            for name in "ab":
                model.gate.clear()
                generation = engine.submit(make_request(name, b"x"))
                beats = [engine.beating]
                await asyncio.sleep(0.2)
                beats += [engine.beating]
                model.gate.set()
                await collect(generation)
                assert [*beats, engine.beating] == [True, False, True]
                await asyncio.sleep(0.05)
        engine._pulse.since = 0.0  # as a thread leaves it that died in a step
        assert not engine.beating
        assert [record.message.split(":")[0] for record in caplog.records] == ["the engine's loop is stuck"] * 2

    run(scenario)


def test_steps_are_measured_before_the_first_request() -> None:
    async def scenario() -> None:
        model = FakeModel(batch=64)
        async with running(model, EngineOptions(parallel=2, split_context=False, queue=2)) as engine:
            assert model.decodes == 8
            assert model.pool == []
            assert (await collect(engine.submit(make_request("a", b"x")))).generated_tokens == 8

    run(scenario)
