"""What passes between the scheduler and the loop."""

from __future__ import annotations

from dataclasses import dataclass, field

from service.engine.model import CacheOp, Rows
from service.engine.requests import Delta, RequestRecord
from service.engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One step: `operations` first, then all `rows` in one decode. `sequences[i]` owns `rows[i]`."""

    rows: tuple[Rows, ...]
    sequences: tuple[Sequence, ...]
    operations: tuple[CacheOp, ...]
    decode_rows: int
    prefill_rows: int


NO_STEP = StepPlan((), (), (), 0, 0)


@dataclass(slots=True)
class Progress:
    """What a commit brought: text for some requests, the ones that left, and the seconds since the last token of each text that went on."""

    deltas: list[tuple[str, Delta]] = field(default_factory=list)
    left: list[tuple[str, RequestRecord]] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)


@dataclass(slots=True)
class News:
    """What has happened since the last time somebody asked: requests that were let in for the first time, and counts."""

    started: list[str] = field(default_factory=list)
    reused_tokens: int = 0
    preemptions: int = 0
    evicted_cells: int = 0


def rows_of(sequence: Sequence, count: int) -> Rows:
    """Its next `count` rows."""
    slot = sequence.slot
    if slot is None:
        raise AssertionError("rows for a sequence that does not run")
    end = sequence.computed + count
    wants = end == len(sequence.tokens) and sequence.generates
    return Rows(slot, sequence.computed, sequence.tokens[sequence.computed : end].tolist(), wants)
