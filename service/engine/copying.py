"""Whether a prefix is worth copying to the host's memory and back, and whether a step has the time for it. Pure.

Copies stop everything else. So while texts run, those of a step must fit into the time that it may take; what does not is not copied,
however much it would spare. What they spare is the computing of the same tokens, as the pace predicts it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf

from service.engine.copy_cost import CopyCost
from service.engine.model import CacheOp, Load, Save

CLEARLY = 2.0
"""How many times as long computing must take: a saved prefix may never be asked for, a step's time is not only its rows'."""
LEAST_TOKENS = 64
"""The shortest prefix that is copied while nothing is known of the price."""
FIRST_TOKENS = 512
"""The longest one that is copied beside running texts while nothing is known of the price."""


class Copying:
    """Prices of saving and fetching. `computing(start, end)`: seconds to compute these tokens of a prompt; 0.0 where nothing is known."""

    def __init__(self, computing: Callable[[int, int], float]) -> None:
        self._computing = computing
        self._saving = CopyCost()
        self._fetching = CopyCost()
        self._allowed = inf
        self.planned = 0.0

    def begin(self, allowed: float) -> None:
        """A step is planned whose copies may take `allowed` seconds in all."""
        self._allowed = allowed
        self.planned = 0.0

    # Questions

    def time_to_save(self, tokens: int) -> bool:
        """Whether the step that is planned has the time to save so many."""
        return self._fits(self._saving, tokens, self.planned)

    def pays_saving(self, tokens: int) -> bool:
        """Whether saving a prefix and fetching it once would clearly be faster than computing it."""
        computing = self._computing(0, tokens)
        if not self._saving.known or not computing:
            return tokens >= LEAST_TOKENS
        both = self._saving.hoped(tokens) + self._price_of_fetching.hoped(tokens)
        if CLEARLY * both <= computing:
            return True
        self._saving.refuse()
        self._fetching.refuse()
        return False

    def pays_fetching(self, tokens: int, start: int, end: int) -> bool:
        """Whether fetching a prefix of so many tokens is clearly faster than computing those of [start, end)."""
        computing, price = self._computing(start, end), self._price_of_fetching
        if not price.known or not computing:
            return end - start >= LEAST_TOKENS
        return CLEARLY * price.hoped(tokens) <= computing

    def time_to_fetch(self, tokens: int) -> bool:
        """Whether a step that copies nothing else would have the time to fetch so many."""
        return self._fits(self._price_of_fetching, tokens, 0.0)

    def predict(self, operations: Iterable[CacheOp]) -> float:
        """Seconds that the copies among `operations` should take."""
        return sum(self._predict(operation) for operation in operations)

    # Commands

    def plan_saving(self, tokens: int) -> None:
        """So many will be saved in the step that is planned."""
        self.planned += self._saving.predict(tokens)

    def plan_fetching(self, tokens: int) -> bool:
        """So many will be fetched in the step that is planned. False: it has not the time for it any more."""
        if not self._fits(self._price_of_fetching, tokens, self.planned):
            return False
        self.planned += self._price_of_fetching.predict(tokens)
        return True

    def learn(self, operation: Save | Load, seconds: float) -> None:
        """Carrying it out took so long."""
        (self._saving if isinstance(operation, Save) else self._fetching).observe(operation.length, seconds)

    @property
    def _price_of_fetching(self) -> CopyCost:
        return self._fetching if self._fetching.known else self._saving

    def _predict(self, operation: CacheOp) -> float:
        if isinstance(operation, Save):
            return self._saving.predict(operation.length)
        return self._price_of_fetching.predict(operation.length) if isinstance(operation, Load) else 0.0

    def _fits(self, price: CopyCost, tokens: int, planned: float) -> bool:
        if self._allowed == inf:
            return True
        return planned + price.predict(tokens) <= self._allowed if price.known else tokens <= FIRST_TOKENS
