"""One request in flight."""

from __future__ import annotations

from array import array

from service.engine.output import TextOutput
from service.engine.requests import (
    Delta,
    GenerationRequest,
    Outcome,
    RequestRecord,
    Sample,
    StopReason,
    Summary,
    Timings,
)


class Sequence:
    """A request with its tokens so far. `computed` of them stand in the cache, all of them are wanted: the rest is `pending`.

    There are no phases: a prompt, a resumption after preemption and the next token of an answer differ only in how much is
    pending. `slot` is its sequence id in the model while it runs.
    """

    __slots__ = (
        "_first_token_at", "_started_at", "arrived", "cached", "computed", "ended", "limit", "output", "request", "slot", "tokens",
    )  # fmt: skip

    def __init__(self, request: GenerationRequest, context: int, now: float) -> None:
        self.request = request
        self.tokens = array("i", request.prompt)
        self.computed = 0
        self.cached = 0
        self.slot: int | None = None
        self.output = TextOutput(request.stop)
        self.arrived = now
        self.ended = False
        self._started_at = 0.0
        self._first_token_at = 0.0
        wanted = len(request.prompt) + request.max_tokens if request.max_tokens >= 0 else context
        self.limit = min(wanted, context)

    @property
    def pending(self) -> int:
        return len(self.tokens) - self.computed

    @property
    def generated(self) -> int:
        return len(self.tokens) - len(self.request.prompt)

    @property
    def generates(self) -> bool:
        """False where only the prompt is to be computed."""
        return self.request.max_tokens != 0

    @property
    def decoding(self) -> bool:
        """Whether its next row is the last sampled token."""
        return self.generated > 0 and self.pending == 1

    def begin(self, reused: int, now: float) -> None:
        """It runs, on the `reused` first tokens of the cache. What a resumption reuses was not saved on the prompt."""
        self.computed = reused
        if not self._started_at:
            self._started_at = now
            self.cached = reused

    def rest(self) -> None:
        """It waits again, without cells."""
        self.computed = 0
        self.slot = None

    def take(self, sample: Sample, now: float) -> Delta:
        """Adds a sampled token; the delta's summary is set when it was the last."""
        if not self._first_token_at:
            self._first_token_at = now
        self.tokens.append(sample.token)
        emission = self.output.push(sample)
        reason = self._reason(sample, emission.stopping_word)
        if reason is not None and not emission.stopping_word:
            rest = self.output.flush()
            emission.text += rest.text
            emission.tokens += rest.tokens
            emission.probabilities += rest.probabilities
        return Delta(
            text=emission.text,
            tokens=tuple(emission.tokens),
            probabilities=tuple(emission.probabilities),
            generated_tokens=self.generated,
            cached_tokens=self.cached,
            timings=self.timings(now),
            summary=None if reason is None else self.finish(reason, now, emission.stopping_word),
        )

    def finish(self, reason: StopReason, now: float, stopping_word: str = "") -> Summary:
        """Ends it; says what there is to say."""
        self.ended = True
        return Summary(
            reason=reason,
            prompt_tokens=len(self.request.prompt),
            cached_tokens=self.cached,
            generated_tokens=self.generated,
            timings=self.timings(now, ended=now),
            stopping_word=stopping_word,
            truncated=reason is StopReason.LIMIT and self.generated != self.request.max_tokens,
        )

    def timings(self, now: float, ended: float = 0.0) -> Timings:
        return Timings(self.arrived, self._started_at, self._first_token_at or now, ended or now)

    def record(self, outcome: Outcome, now: float) -> RequestRecord:
        """How it left, for metrics."""
        started, first = self._started_at, self._first_token_at
        return RequestRecord(
            outcome=outcome,
            prompt_tokens=len(self.request.prompt),
            cached_tokens=self.cached,
            generated_tokens=self.generated,
            queue_seconds=started - self.arrived if started else None,
            first_token_seconds=first - self.arrived if first else None,
            prompt_seconds=first - started if first else None,
            generation_seconds=now - first if first else None,
        )

    def _reason(self, sample: Sample, stopping_word: str) -> StopReason | None:
        if sample.is_end:
            return StopReason.END
        if stopping_word:
            return StopReason.WORD
        return StopReason.LIMIT if len(self.tokens) >= self.limit else None
