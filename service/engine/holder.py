"""What the pool's books are made of: who holds which tokens, and what of them a request could begin with. Pure."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field


@dataclass(slots=True)
class Holder:
    """One sequence id in use. `used_at` is a count of uses, not a time; `saved`: the shelf has all of it, or will not have it;
    `wanted_by`: the paused request that goes on from it."""

    slot: int
    salt: str
    tokens: array[int]
    cells: list[int] = field(default_factory=list)
    active: bool = True
    used_at: int = 0
    saved: bool = False
    wanted_by: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """The longest known beginning of some tokens: `length` of them stand in `slot`, or on the shelf under `shelved`."""

    slot: int
    length: int
    shelved: int | None = None
    cells: int = 0
    """Cells that fetching it from the shelf takes."""


NO_MATCH = Match(-1, 0)


def begins(longer: Holder, shorter: Holder) -> bool:
    """Whether `longer` starts with all of `shorter`."""
    return (
        longer.salt == shorter.salt
        and len(longer.tokens) >= len(shorter.tokens)
        and longer.tokens[: len(shorter.tokens)] == shorter.tokens
    )
