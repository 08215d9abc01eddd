"""The engine as asyncio sees it, with its real thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from service.engine.engine import Engine, EngineOptions, EngineState
from service.engine.generation import collect
from service.engine.model import DecodeResult, Model
from service.engine.requests import RequestRecord, StepStats
from service.errors import (
    ContextExceeded,
    Draining,
    EngineDead,
    InvalidRequest,
    ModelLoadError,
    ModelLoading,
    QueueFull,
)
from tests.support.builders import make_request
from tests.support.fake_model import FakeModel, continuation

OPTIONS = EngineOptions(parallel=2, split_context=False, busy_prefill=16, queue=2)


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
        async with running(FakeModel()) as engine, engine.submit(make_request("a", b"go", max_tokens=30)) as generation:
            await asyncio.sleep(0.2)
            deltas = [delta async for delta in generation]
            assert len(deltas) == 1
            assert deltas[0].generated_tokens == 30

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
        with pytest.raises(ModelLoadError, match=r"not a GGUF file|surprise"):
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
                    engine.submit(make_request("a", prompt))  # type: ignore[arg-type]
            assert engine.running == 0

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
            assert (engine.running, engine.waiting) == (2, 2)
            generations[0].abort()
            last = engine.submit(make_request("f", b"f"))
            model.gate.set()
            assert (await collect(last)).generated_tokens == 8

    run(scenario)


def test_leaving_a_generation_aborts_it() -> None:
    async def scenario() -> None:
        notes, model = Notes(), FakeModel(pause=0.01)
        async with running(model, notes=notes) as engine:
            async with engine.submit(make_request("a", b"x", max_tokens=200)) as generation:
                await anext(generation)
            assert await engine.wait_idle(1)
            await asyncio.sleep(0.1)
            assert [record.outcome.value for record in notes.records] == ["aborted"]
            assert model.samplers == 0

    run(scenario)


def test_a_failed_request_raises_after_what_it_had_said() -> None:
    async def scenario() -> None:
        model = FakeModel(pause=0.005)
        async with running(model) as engine, engine.submit(make_request("a", b"x", max_tokens=200)) as generation:
            await anext(generation)
            model.fails = lambda groups: DecodeResult.FAILED
            with pytest.raises(Exception, match="could not compute") as caught:
                async for _ in generation:
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
            model.apply = lambda operations: 1 / 0  # type: ignore[method-assign, assignment]
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
