"""How answers are written: one shape for each kind of endpoint.

A shape makes values that become JSON, for a stream or for a whole answer. It knows nothing of HTTP or of events.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from service.engine.requests import Delta


class Shape(Protocol):
    """Writes the answer to one order. Used for one request only, and keeps what a stream's end has to tell."""

    ends_with_done: bool
    """Whether a stream ends with `[DONE]`."""

    def opening(self) -> Sequence[object]:
        """What goes before all text."""

    def piece(self, index: int, delta: Delta) -> Sequence[object]:
        """More of choice `index`: some text, or its end, or both."""

    def closing(self) -> Sequence[object]:
        """What goes after the last choice has ended."""

    def whole(self, answers: Sequence[Delta]) -> object:
        """Everything at once; one delta with a summary for each choice."""
