"""Learns what copying prefixes costs by their length. Pure: it is told times, it reads none.

    time(tokens) = start + rate * tokens

Both are learned by relative errors, as in step_cost.py.
"""

from __future__ import annotations

from service.engine.step_cost import correction

FIRST_START = 0.1
"""The part of the first time that counts as the start of a copy, until it has been learned."""
HALVED_BY = 64
"""Copies that were refused for their price until it is believed half as much: only a copy that is made says how it is now."""


class CopyCost:
    """One direction. Feed it with `observe` and `refuse`, ask it with `predict` and `hoped`."""

    def __init__(self) -> None:
        self._start = 0.0
        self._rate = 0.0
        self._refused = 0

    @property
    def known(self) -> bool:
        """Whether anything has been observed."""
        return self._rate > 0

    def observe(self, tokens: int, seconds: float) -> None:
        """Copying a prefix of so many tokens took `seconds`."""
        if tokens < 1 or seconds <= 0:
            return
        self._believe_hope(tokens, seconds)
        if not self.known:
            self._start = seconds * FIRST_START
            self._rate = seconds * (1 - FIRST_START) / tokens
            return
        predicted = self.predict(tokens)
        error, share = correction(predicted, seconds), self._start / predicted
        self._start *= 1 + error * share
        self._rate *= 1 + error * (1 - share)

    def _believe_hope(self, tokens: int, seconds: float) -> None:
        """As far as it has come true."""
        if self._refused:
            part = min(1.0, max(self.hoped(tokens), seconds) / self.predict(tokens))
            self._start *= part
            self._rate *= part
            self._refused = 0

    def refuse(self) -> None:
        """A copy was not made because of its price."""
        self._refused += self.known

    def predict(self, tokens: int) -> float:
        """Seconds that it should take; 0.0 while nothing is known."""
        return self._start + self._rate * tokens

    def hoped(self, tokens: int) -> float:
        """The same, the less the longer nothing was tried for its price."""
        return float(self.predict(tokens) * 0.5 ** (self._refused / HALVED_BY))
