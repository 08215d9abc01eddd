"""When requests fail that have not ended. Pure."""

from __future__ import annotations

from collections.abc import Container
from heapq import heapify, heappop, heappush

SWEPT_FROM = 64
"""How many deadlines are kept before those of requests that have left are looked for."""


class Deadlines:
    """A heap of (due, request id). Requests leave without a word; their deadlines are swept out before they pile up."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, str]] = []
        self._sweep_at = SWEPT_FROM

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, due: float, request_id: str, present: Container[str]) -> None:
        """One more; `present` has the ids of the requests that have not left."""
        if len(self._heap) >= self._sweep_at:
            self._heap = [entry for entry in self._heap if entry[1] in present]
            heapify(self._heap)
            self._sweep_at = SWEPT_FROM + 2 * len(self._heap)
        heappush(self._heap, (due, request_id))

    def take(self, now: float) -> list[str]:
        """The ids whose time has come, once each; some may have left."""
        taken = []
        while self._heap and self._heap[0][0] <= now:
            taken.append(heappop(self._heap)[1])
        return taken
