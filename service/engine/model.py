"""What the engine needs from any model, and nothing more. `llama/` implements it; so does the tests' fake."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from service.engine.requests import GenerationRequest, ModelInfo, RuntimeInfo, Sample, SamplingParams, ThreadCount


@dataclass(frozen=True, slots=True)
class Rows:
    """Tokens of one sequence that follow each other, for one step.

    `tokens[i]` is computed at position `start + i` of sequence `sequence`. With `wants_sample` the last of them yields logits.
    """

    sequence: int
    start: int
    tokens: Sequence[int]
    wants_sample: bool


@dataclass(frozen=True, slots=True)
class CopyPrefix:
    """Cells [0, length) of `source` belong to `target` as well. `target` is empty before."""

    source: int
    target: int
    length: int


@dataclass(frozen=True, slots=True)
class Trim:
    """`sequence` keeps cells [0, length) only; 0 empties it."""

    sequence: int
    length: int


@dataclass(frozen=True, slots=True)
class Save:
    """All of `sequence`, which has `length` tokens, is copied to the host's memory, under `key`."""

    sequence: int
    key: int
    length: int


@dataclass(frozen=True, slots=True)
class Load:
    """What was saved under `key`, `length` tokens, stands in `sequence`, which is empty before. The copy stays."""

    key: int
    sequence: int
    length: int


@dataclass(frozen=True, slots=True)
class Drop:
    """The copy under `key` is forgotten."""

    key: int


CacheOp = CopyPrefix | Trim | Save | Load | Drop


class DecodeResult(Enum):
    """What `Model.decode` answers. After anything but OK no row of the call counts as computed.

    LOST: what the sequences of the call held cannot be gone on from, so they are empty for the caller. A model of whole states has
    lost those of every other sequence too: it moves states about in the same call.
    """

    OK = "ok"
    NO_CELLS = "no cells"
    ABORTED = "aborted"
    FAILED = "failed"
    LOST = "state lost"


class Sampler(Protocol):
    """Chooses the tokens of one request: a native chain with its own random state."""

    def sample(self, row: int) -> Sample:
        """Chooses a token from the logits of the `row`-th Rows of the last decode, and remembers it."""

    def close(self) -> None:
        """Frees the chain. Further calls are errors."""


class Model(Protocol):
    """A loaded model with one unified pool of cells. All but the text methods are called by the engine's thread alone."""

    @property
    def info(self) -> ModelInfo: ...
    @property
    def runtime(self) -> RuntimeInfo: ...
    @property
    def cells(self) -> int:
        """Size of the pool in tokens."""

    @property
    def sequences(self) -> int:
        """How many sequence ids there are: 0 … sequences - 1."""

    @property
    def token_bytes(self) -> int:
        """Bytes of a saved sequence for each of its tokens; 0 where sequences cannot be saved."""

    @property
    def spare_bytes(self) -> int:
        """Memory of the host that saved sequences may take without crowding anything out, as measured after loading."""

    @property
    def batch(self) -> int:
        """The most rows that one decode takes."""

    @property
    def keeps_partial(self) -> bool:
        """Whether a sequence can be trimmed to any length. False: recurrent and hybrid models, whole or nothing."""

    @property
    def windowed(self) -> bool:
        """Whether layers see a sliding window only, so that a sequence that goes on may lose the tokens before it."""

    def reaches(self, sequence: int, length: int) -> bool:
        """Whether `sequence`, which has at least `length` tokens, could be gone on with after so many of them. A model with a sliding
        window may give cells to others that are out of its window; so what it still has is known only to itself. As of the last decode.
        """

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Token ids of a text. Safe in any thread. Takes up to a second for each megabyte."""

    def piece(self, token: int, *, special: bool = True) -> bytes:
        """The bytes that a token stands for; with `special` control tokens too. Safe in any thread."""

    def detokenize(self, tokens: Sequence[int]) -> bytes:
        """The bytes of several tokens, as llama-server joins them (no space is removed). Safe in any thread."""

    def is_end(self, token: int) -> bool:
        """Whether the token ends a generation."""

    def apply(self, operations: Sequence[CacheOp]) -> None:
        """Carries out cache operations in order."""

    def decode(self, groups: Sequence[Rows]) -> DecodeResult:
        """Computes all rows in one call, each group packed. At most `batch` rows in all."""

    def interrupt(self) -> None:
        """Makes a decode that runs now answer ABORTED soon, where backend and model can. Safe in any thread."""

    def set_threads(self, count: ThreadCount) -> None:
        """Takes effect with the next decode."""

    def check_sampling(self, params: SamplingParams) -> None:
        """Raises InvalidRequest on parameters that no sampler can take. Safe in any thread."""

    def open_sampler(self, request: GenerationRequest) -> Sampler:
        """A sampler for one request, which has already seen its prompt. Raises ServiceError on parameters it cannot take."""

    def close(self) -> None:
        """Frees everything."""


ModelLoader = Callable[[Callable[[float], None]], Model]
"""Loads the model; called in the engine's thread with a function that takes the progress, 0 to 1. Raises ModelLoadError."""
