"""What others may know of the loop while it runs, and whether it is stuck."""

from __future__ import annotations

from dataclasses import dataclass

STUCK_SECONDS, STUCK_FACTOR = 60.0, 10.0
"""A loop that is at one step for this long, and for so many times as long as the step should take, is stuck."""
STUCK_UNKNOWN_SECONDS = 3600.0
"""The same for a step of which nothing is known: the first one without a warm-up may be a batch of prompt rows on the slowest machine."""


@dataclass(slots=True)
class Pulse:
    """What others may know of the loop while it runs; written by its thread, read by any.

    `since` is when it began the step that it is at (None: idle), `predicted` how many seconds that should take (0.0: nothing is known),
    `serving` whose rows are in it, `running` how many requests hold a place.
    """

    since: float | None = None
    predicted: float = 0.0
    serving: frozenset[str] = frozenset()
    running: int = 0

    def stuck(self, now: float) -> bool:
        """Whether no step has ended for so long that none will."""
        since = self.since
        longest = max(STUCK_SECONDS, STUCK_FACTOR * self.predicted) if self.predicted else STUCK_UNKNOWN_SECONDS
        return since is not None and now - since > longest
