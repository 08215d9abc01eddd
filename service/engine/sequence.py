"""One request in flight: how far it is."""

from __future__ import annotations

from array import array

from service.engine.requests import GenerationRequest, Outcome, RequestRecord, Timings

SECONDS_PER_PRIORITY = 10.0
"""A request of priority p stands in line as if it had come p times this later: urgent ones go first, nobody starves."""


class Sequence:
    """A request with its tokens so far. `computed` of them stand in the cache, all of them are wanted: the rest is `pending`.

    There are no phases: a prompt, a resumption after preemption and the next token of an answer differ only in how much is
    pending. `slot` is its sequence id in the model while it runs. `rank` orders all sequences: the lower is admitted sooner and
    preempted later. While `leader` computes tokens that this one begins with as well, it waits until `join_at` of them stand.
    `losses` counts how often the model has lost its state. `gap` are the seconds between its last two tokens.
    """

    __slots__ = (
        "_first_token_at",
        "_last_token_at",
        "_started_at",
        "arrived",
        "cached",
        "computed",
        "gap",
        "join_at",
        "leader",
        "limit",
        "losses",
        "rank",
        "request",
        "slot",
        "tokens",
    )

    def __init__(self, request: GenerationRequest, context: int, now: float) -> None:
        self.request = request
        self.tokens = array("i", request.prompt)
        self.computed = 0
        self.cached = 0
        self.slot: int | None = None
        self.arrived = now
        self.rank = (now + SECONDS_PER_PRIORITY * request.priority, now)
        self.leader: Sequence | None = None
        self.join_at = 0
        self.losses = 0
        self._started_at = 0.0
        self._first_token_at = 0.0
        self._last_token_at = 0.0
        self.gap: float | None = None
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

    @property
    def started(self) -> bool:
        """Whether it has run before."""
        return self._started_at > 0

    @property
    def due(self) -> float:
        """When it fails if it has not ended, by the loop's clock."""
        return self.arrived + self.request.deadline if self.request.deadline else float("inf")

    def begin(self, slot: int, reused: int, now: float) -> None:
        """It runs, on the `reused` first tokens of the cache. What a resumption reuses was not saved on the prompt."""
        self.slot = slot
        self.computed = reused
        self.leader = None
        if not self._started_at:
            self._started_at = now
            self.cached = reused

    def rest(self) -> None:
        """It has no cells any more."""
        self.computed = 0
        self.slot = None

    def append(self, token: int, now: float) -> None:
        """A sampled token."""
        if self._first_token_at:
            self.gap = now - self._last_token_at
        else:
            self._first_token_at = now
        self._last_token_at = now
        self.tokens.append(token)

    def timings(self, now: float) -> Timings:
        return Timings(self.arrived, self._started_at, self._first_token_at or now, now)

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
