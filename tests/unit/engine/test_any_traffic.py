"""Whatever arrives, leaves or fails, and however small the pool: every text is the one that the model alone would give."""

from __future__ import annotations

from copy import deepcopy
from math import inf
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from service.engine.loop import Abort
from service.engine.model import DecodeResult
from tests.support.builders import Bench, make_bench, make_request
from tests.support.fake_model import END, FakeModel, continuation

LONG = b" is a system prompt that is long enough for the shelf to keep it, whatever comes behind. "
BEGINNINGS = [
    b"",
    b"A" + LONG,
    b"B" + LONG,
    b"C" + LONG,
    b"You are a helpful assistant. ",
    b"You are a helpful pirate. ",
]


class AnyTraffic(RuleBasedStateMachine):
    """Requests with shared beginnings come and go over a small pool; decodes fail now and then."""

    partial = True
    window = 0
    bench: Bench
    model: FakeModel

    @initialize(
        cells=st.integers(40, 400),
        sequences=st.integers(2, 8),
        parallel=st.integers(1, 3),
        rows=st.tuples(st.integers(4, 40), st.integers(1, 16)),
        shelf=st.tuples(
            st.sampled_from([0, 100, 200, 1000]),
            st.sampled_from([0.0, 0.0015, 0.01, inf]),
            st.sampled_from([0.0, 1e-5, 1e-4, 1e-2]),
        ),
    )
    def start(
        self, cells: int, sequences: int, parallel: int, rows: tuple[int, int], shelf: tuple[int, float, float]
    ) -> None:
        batch, busy = rows
        saved, spare, computing = shelf
        self.model = FakeModel(
            cells=cells, sequences=sequences, batch=max(batch, parallel), end_every=13,
            keeps_partial=self.partial, window=self.window, refuses=lambda request: request.id in self.refused,
        )  # fmt: skip
        self.bench = make_bench(
            self.model, parallel=parallel, busy_prefill=busy, shelf=0 if self.window else saved, spare=spare, computing=computing
        )  # fmt: skip
        self.wanted: dict[str, list[int]] = {}
        self.aborted: set[str] = set()
        self.overdue: set[str] = set()
        self.refused: set[str] = set()
        self.lengths: dict[str, int] = {}

    @rule(
        beginning=st.sampled_from(BEGINNINGS),
        rest=st.binary(min_size=1, max_size=12),
        length=st.integers(0, 40),
        options=st.fixed_dictionaries(
            {
                "salt": st.sampled_from(["", "", "other"]),
                "reuse_cache": st.booleans(),
                "priority": st.sampled_from([0, 0, -3, 5]),
                "deadline": st.sampled_from([0.0, 0.0, 0.02, 1.0]),
            }
        ),
    )
    def arrive(self, beginning: bytes, rest: bytes, length: int, options: dict[str, Any]) -> None:
        self._submit(list(beginning + rest), length, **options)

    @rule(beginning=st.sampled_from(BEGINNINGS), rest=st.binary(min_size=1, max_size=12), reuse=st.booleans())
    def arrive_with_parameters_that_the_sampler_refuses(self, beginning: bytes, rest: bytes, reuse: bool) -> None:
        self.refused.add(f"r{len(self.wanted)}")
        self._submit(list(beginning + rest), 6, reuse_cache=reuse)

    @rule(count=st.integers(2, 4), beginning=st.binary(min_size=20, max_size=30))
    def arrive_together(self, count: int, beginning: bytes) -> None:
        """Several that begin alike: one leads, the others wait for what it computes."""
        for number in range(count):
            self._submit([*beginning, number], 6)

    @precondition(lambda self: self.wanted)
    @rule(data=st.data(), rest=st.binary(min_size=1, max_size=6), length=st.integers(1, 20))
    def next_turn(self, data: st.DataObject, rest: bytes, length: int) -> None:
        """A conversation goes on from the text of an earlier answer."""
        name = data.draw(st.sampled_from(sorted(self.wanted)))
        text = self.bench.texts.get(name)
        self._submit([*self.wanted[name], *(text.tokens if text else ()), *rest], length)

    def _submit(self, prompt: list[int], length: int, **options: Any) -> None:
        prompt = [token for token in prompt if token != END][: self.model.cells - 1]
        name = f"r{len(self.wanted)}"
        self.wanted[name] = prompt
        self.bench.submit(make_request(name, prompt, max_tokens=length, **options))
        self.lengths[name] = length
        if options.get("deadline"):
            self.overdue.add(name)

    @precondition(lambda self: self.wanted)
    @rule(data=st.data())
    def vanish(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.wanted)))
        if name not in self.bench.outcomes:
            self.aborted.add(name)
        self.bench.loop.handle(Abort(name))

    @rule(turns=st.integers(1, 6))
    def turn(self, turns: int) -> None:
        for _ in range(turns):
            self.bench.loop.turn()

    @rule(seconds=st.floats(0.001, 100))
    def time_passes(self, seconds: float) -> None:
        self.bench.now += seconds

    @rule(results=st.lists(st.sampled_from(list(DecodeResult)), min_size=1, max_size=3))
    def stumble(self, results: list[DecodeResult]) -> None:
        """The next decodes fail, whatever is in them: alone too, if there are several."""
        answers = iter(results)
        self.model.fails = lambda groups: next(answers, DecodeResult.OK)
        self.bench.loop.turn()
        self.model.fails = lambda groups: DecodeResult.OK

    @precondition(lambda self: self.bench.scheduler.has_work)
    @rule()
    def poison(self) -> None:
        """One request's rows can never be computed."""
        doomed = {s.slot for s in self.bench.scheduler._running[:1]}
        self.model.fails = lambda groups: (
            DecodeResult.FAILED if any(g.sequence in doomed for g in groups) else DecodeResult.OK
        )
        self.bench.loop.turn()
        self.model.fails = lambda groups: DecodeResult.OK

    @invariant()
    def books_agree_with_the_model(self) -> None:
        if not hasattr(self, "bench"):
            return
        self.bench.scheduler.check_integrity()
        cache = self.bench.cache
        shadow = FakeModel(pool=deepcopy(self.model.pool), saved=dict(self.model.saved), keeps_partial=self.partial)
        shadow.apply(cache._operations)
        if cache._shelf is not None:
            assert {key: list(one.tokens) for key, one in cache._shelf._prefixes.items()} == shadow.saved
        assert len(shadow.pool) == cache.used
        for slot, holder in cache._holders.items():
            assert shadow.history(slot) == holder.tokens.tolist()

    def teardown(self) -> None:
        if not hasattr(self, "bench"):
            return
        self.bench.finish()
        self.books_agree_with_the_model()
        for name, prompt in self.wanted.items():
            self._check_text(name, prompt)
        assert self.model.samplers == 0

    def _check_text(self, name: str, prompt: list[int]) -> None:
        got = list(self.bench.texts[name].tokens) if name in self.bench.texts else []
        length = min(self.lengths[name], self.model.cells - len(prompt))
        alone = continuation(prompt, length, end_every=13)
        outcome = self.bench.outcomes[name]
        if outcome in {"aborted", "failed", "overdue"}:
            assert name in {"aborted": self.aborted, "failed": self.bench.failures, "overdue": self.overdue}[outcome]
            assert got == alone[: len(got)]
        else:
            assert got == alone
            assert outcome == ("stop" if alone and alone[-1] == END else "length")


class AnyTrafficOfWholeStates(AnyTraffic):
    """The same with a model whose sequences cannot be trimmed."""

    partial = False


class AnyTrafficOfAWindow(AnyTraffic):
    """The same with a model that forgets what is out of its window, unless two sequences share it."""

    window = 12


TestAnyTraffic = AnyTraffic.TestCase
TestAnyTraffic.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestAnyTrafficOfWholeStates = AnyTrafficOfWholeStates.TestCase
TestAnyTrafficOfWholeStates.settings = TestAnyTraffic.settings
TestAnyTrafficOfAWindow = AnyTrafficOfAWindow.TestCase
TestAnyTrafficOfAWindow.settings = TestAnyTraffic.settings


@pytest.mark.parametrize("parallel", [1, 2, 4, 8])
@pytest.mark.parametrize("requests", [1, 3, 9, 20])
def test_every_text_of_a_grid_of_requests_and_slots_is_the_text_alone(requests: int, parallel: int) -> None:
    bench = make_bench(FakeModel(cells=120, sequences=12, batch=24), parallel=parallel)
    prompts = {f"r{i}": b"Once upon a time " + b"xyz"[: i % 3] + bytes([97 + i]) for i in range(requests)}
    for name, prompt in prompts.items():
        bench.submit(make_request(name, prompt, max_tokens=20))
    bench.finish()
    assert {name: list(delta.tokens) for name, delta in bench.texts.items()} == {
        name: continuation(list(prompt), 20) for name, prompt in prompts.items()
    }
