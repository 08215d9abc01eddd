"""The engine's face to asyncio: submit a request, read its text, know how it goes.

One thread loads the model and runs the loop. Messages go in through a thread-safe queue, what a step brings comes back in
one `call_soon_threadsafe`. Everything else here runs on the asyncio thread.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from time import monotonic

from service.engine.bell import Bell
from service.engine.calibration import calibrate
from service.engine.door import Door
from service.engine.generation import Generation
from service.engine.interface import EngineOptions, EngineState, Observer
from service.engine.loop import Abort, Delivery, Loop, Message, Stop, Submit
from service.engine.model import Model, ModelLoader
from service.engine.pace import LearnedPace
from service.engine.pulse import Pulse
from service.engine.requests import EngineLimits, GenerationRequest, StepStats
from service.engine.scheduler import Scheduler
from service.engine.sizing import cache_of, check_defaults, copying_of, limits_of, saved_bytes
from service.engine.threads import ThreadWatch
from service.errors import (
    ContextExceeded,
    Draining,
    EngineDead,
    InvalidRequest,
    ModelLoading,
    ServiceError,
    StartError,
)

log = logging.getLogger("engine")

WATCH_SECONDS = 5.0
"""How often the engine looks whether its loop gets on, for the log: whoever asks is told at once."""

DRAIN_RETRY_SECONDS = 1.0
"""When to try again, at another replica: this one is going away."""


class Engine:
    """One model, one loop."""

    def __init__(
        self,
        load: ModelLoader,
        options: EngineOptions,
        observer: Observer | None = None,
        threads: ThreadWatch | None = None,
    ) -> None:
        self._load = load
        self._options = options
        self._observer = observer
        self._threads = threads
        self._inbox: SimpleQueue[Message] = SimpleQueue()
        self._open: dict[str, Generation] = {}
        self._thread: Thread | None = None
        self._asyncio: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()
        self._state = EngineState.LOADING
        self._draining = False
        self._model: Model | None = None
        self._door: Door | None = None
        self._pulse = Pulse()
        self._watch: asyncio.Task[None] | None = None
        self.load_error: StartError | None = None
        self.progress = 0.0
        self.last_step: StepStats | None = None

    # What is known

    @property
    def state(self) -> EngineState:
        return EngineState.DRAINING if self._draining and self._state is EngineState.READY else self._state

    @property
    def beating(self) -> bool:
        """Whether the engine's thread lives and gets on. A long step is not a stop; one that takes ten times its time is."""
        return self._state in {EngineState.LOADING, EngineState.READY} and not self._pulse.stuck(monotonic())

    @property
    def running(self) -> int:
        return min(self._pulse.running, len(self._open))

    @property
    def waiting(self) -> int:
        return len(self._open) - self.running

    @property
    def model(self) -> Model:
        """The loaded model. Raises ModelLoading before and EngineDead after."""
        if self._state is EngineState.LOADING:
            raise ModelLoading(self.progress)
        if self._state is not EngineState.READY or self._model is None:
            raise EngineDead("the engine has stopped")
        return self._model

    @property
    def limits(self) -> EngineLimits:
        """What the engine takes. Raises as `model` does."""
        if self._door is None:
            raise ModelLoading(self.progress)
        return self._door.limits

    # Life

    def start(self) -> None:
        """Starts the thread; returns at once. To be called on the asyncio loop that will use the engine."""
        self._asyncio = asyncio.get_running_loop()
        self._thread = Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()
        self._watch = asyncio.create_task(self._watch_beat())

    async def stop(self) -> None:
        """Ends what runs, the thread and the model. May be called more than once."""
        self._draining = True
        self._inbox.put(Stop())
        if self._model is not None and self.beating:
            self._model.interrupt()
        if self._thread is not None and self._state is not EngineState.LOADING:
            await asyncio.to_thread(self._thread.join)
        if self._watch is not None:
            self._watch.cancel()
        self._fail_all(EngineDead("the service has stopped"))
        if self._state is EngineState.READY:
            self._set_state(EngineState.STOPPED)

    def drain(self) -> None:
        """From now on `submit` raises Draining; what runs goes on."""
        self._draining = True

    async def wait_idle(self, seconds: float) -> bool:
        """Waits until no request is open; False when `seconds` did not do."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._open:
                    self._changed.clear()
                    await self._changed.wait()
        return not self._open

    async def wait_loaded(self) -> None:
        """Returns when the model is ready. Raises the StartError that prevented it, or EngineDead."""
        while self._state is EngineState.LOADING:
            self._changed.clear()
            await self._changed.wait()
        if self.load_error is not None:
            raise self.load_error
        if self._state is not EngineState.READY:
            raise EngineDead("the engine ended while loading")

    async def _watch_beat(self) -> None:
        """Logs once each time that the loop is stuck."""
        was_stuck = False
        while True:
            since, now = self._pulse.since, monotonic()
            stuck = self._state is EngineState.READY and self._pulse.stuck(now)
            if stuck and not was_stuck:
                log.error("the engine's loop is stuck: no step has ended since %.0f s", now - (since or now))
            was_stuck = stuck
            await asyncio.sleep(WATCH_SECONDS)

    # Work

    def submit(self, request: GenerationRequest, bell: Bell | None = None) -> Generation:
        """Takes a request, or raises ModelLoading, Draining, EngineDead, ContextExceeded, InvalidRequest or QueueFull at once. `bell` is
        the reader's, where it reads several."""
        door, now = self._check(request), monotonic()
        door.enter(request.id, len(request.prompt), now)
        generation = Generation(request, self._abort, bell or Bell())
        self._open[request.id] = generation
        self._inbox.put(Submit(request, now))
        return generation

    def _check(self, request: GenerationRequest) -> Door:
        vocabulary = self.model.info.vocabulary
        if self._draining:
            raise Draining("the service is shutting down", retry_after=DRAIN_RETRY_SECONDS)
        if not request.prompt:
            raise InvalidRequest("prompt: there must be at least one token", param="prompt")
        if (wrong := max(request.prompt)) >= vocabulary or (wrong := min(request.prompt)) < 0:
            raise InvalidRequest(
                f"prompt: token {wrong} is not in the vocabulary (0 to {vocabulary - 1})", param="prompt"
            )
        if len(request.prompt) >= self.limits.context:
            raise ContextExceeded(len(request.prompt), self.limits.context)
        self.model.check_sampling(request.sampling)
        if request.id in self._open:
            raise InvalidRequest(f"id: a request {request.id!r} is already running", param="id")
        if self._door is None:
            raise ModelLoading(self.progress)
        return self._door

    def _abort(self, request_id: str) -> None:
        if self._open.pop(request_id, None) is None:
            return
        self._inbox.put(Abort(request_id))
        serving = self._pulse.serving
        if self._model is not None and serving and serving.isdisjoint(self._open):
            self._model.interrupt()
        self._changed.set()

    # The engine's thread

    def _run(self) -> None:
        try:
            model = self._load(self._report_progress)
            check_defaults(model, self._options)
            limits = limits_of(model, self._options)
            pace = LearnedPace(self._options.token_gap)
            copying = copying_of(model, pace)
            if self._options.calibrate:
                calibrate(model, pace, copying, saved_bytes(model, self._options))
            scheduler = Scheduler(limits, cache_of(model, self._options, copying), pace, copying)
            loop = Loop(model, scheduler, self._inbox, self._deliver, threads=self._threads)
            self._call(self._loaded, model, Door(limits), loop.pulse)
        except StartError as error:
            self._call(self._died, error)
            return
        except BaseException as error:
            log.exception("the model could not be loaded")
            self._call(self._died, StartError(f"the model could not be loaded: {type(error).__name__}: {error}"))
            return
        try:
            loop.run()
            model.close()
        except BaseException as error:
            log.exception("the engine's loop has died")
            self._call(self._died, error)

    def _report_progress(self, progress: float) -> None:
        self.progress = max(self.progress, min(progress, 1.0))

    def _deliver(self, delivery: Delivery) -> None:
        self._call(self._receive, delivery)

    def _call(self, function: object, *arguments: object) -> None:
        """Crosses to the asyncio thread. Nobody is there any more once its loop is closed."""
        with suppress(RuntimeError):
            self._asyncio.call_soon_threadsafe(function, *arguments)  # type: ignore[union-attr, arg-type]

    # Back on the asyncio thread

    def _loaded(self, model: Model, door: Door, pulse: Pulse) -> None:
        self._model, self._door, self._pulse = model, door, pulse
        self.progress = 1.0
        self._set_state(EngineState.READY)

    def _died(self, error: BaseException) -> None:
        if isinstance(error, StartError):
            self.load_error = error
        self._set_state(EngineState.DEAD)
        self._fail_all(EngineDead("the engine has died; it needs a restart"))

    def _set_state(self, state: EngineState) -> None:
        self._state = state
        self._changed.set()

    def _fail_all(self, error: ServiceError) -> None:
        while self._open:
            _, generation = self._open.popitem()
            generation.fail(error)
        self._changed.set()

    def _receive(self, delivery: Delivery) -> None:
        if self._door is None:
            return
        self.last_step = delivery.stats
        if self._observer is not None:
            self._observer.step(delivery.stats)
        for request_id in delivery.started:
            self._door.start(request_id)
        for request_id, delta in delivery.deltas:
            if (generation := self._open.get(request_id)) is not None:
                generation.add(delta)
        for request_id, error in delivery.failures:
            if (generation := self._open.get(request_id)) is not None:
                generation.fail(error)
        for request_id, record in delivery.records:
            self._open.pop(request_id, None)
            self._door.leave(request_id, monotonic())
            if self._observer is not None:
                self._observer.ended(record)
            self._changed.set()
