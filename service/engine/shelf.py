"""Prefixes that had to leave the pool and lie in the host's memory instead. Book-keeping only: the model holds the bytes. Pure."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from service.engine.copying import Copying
from service.engine.model import CacheOp, Drop, Save
from service.engine.prefixes import common_prefix


@dataclass(slots=True)
class Shelved:
    """The tokens of one saved sequence. `used_at` is a count of uses, not a time; `wanted_by`: the paused request that goes on from it."""

    key: int
    salt: str
    tokens: array[int]
    used_at: int
    wanted_by: str = ""


class Shelf:
    """At most `capacity` bytes, where one token takes `token_bytes`. The least recently used prefix goes first, a wanted one never."""

    def __init__(self, capacity: int, token_bytes: int, copying: Copying) -> None:
        self._most_tokens = capacity // token_bytes if token_bytes > 0 else 0
        self._copying = copying
        self._prefixes: dict[int, Shelved] = {}
        self._tokens = 0
        self._uses = 0

    @property
    def tokens(self) -> int:
        """How many tokens lie here."""
        return self._tokens

    def find(self, tokens: array[int], salt: str, known: int, *, resumed: bool = False) -> tuple[Shelved, int] | None:
        """The prefix that shares most of the beginning of `tokens`, and how many, where fetching it is better than computing what it has
        beyond the `known` first ones. A `resumed` text takes all that there is: computed again, it might not go on as it began."""
        best, most = None, known
        for prefix in self._prefixes.values():
            if prefix.salt == salt and prefix.tokens[: most + 1] == tokens[: most + 1]:
                length = common_prefix(prefix.tokens, tokens)
                if length > most:
                    best, most = prefix, length
        if best is None or not self._copying.time_to_fetch(len(best.tokens)):
            return None
        return (best, most) if resumed or self._copying.pays_fetching(len(best.tokens), known, most) else None

    def fetch(self, key: int) -> array[int] | None:
        """The tokens of a prefix that is to be fetched, which counts as used; None: the step that is planned has no time for it."""
        prefix = self._prefixes[key]
        if not self._copying.plan_fetching(len(prefix.tokens)):
            return None
        self._uses += 1
        prefix.used_at = self._uses
        return prefix.tokens

    def save(
        self, slot: int, tokens: array[int], salt: str, wanted_by: str = "", kept: int | None = None
    ) -> list[CacheOp] | None:
        """How the model saves a sequence that is about to lose cells, if that is worth it; None: there is no time for it now.

        `kept` is the key of a prefix that must stay. What a paused request goes on from is saved whatever it costs, if the time is there.
        """
        if not 0 < len(tokens) <= self._most_tokens:
            return []
        if not self._copying.time_to_save(len(tokens)):
            return None
        if (longer := self._covering(tokens, salt)) is not None:
            longer.wanted_by = longer.wanted_by or wanted_by
            return []
        if not (wanted_by or self._copying.pays_saving(len(tokens))):
            return []
        gone = self._give_way(tokens, salt, kept)
        if gone is None:
            return []
        self._uses += 1
        self._prefixes[self._uses] = Shelved(self._uses, salt, tokens[:], self._uses, wanted_by)
        self._tokens += len(tokens)
        self._copying.plan_saving(len(tokens))
        return [*(Drop(key) for key in gone), Save(slot, self._uses, len(tokens))]

    def settle(self, request_id: str) -> None:
        """The request goes on, or never will."""
        for prefix in self._prefixes.values():
            if prefix.wanted_by == request_id:
                prefix.wanted_by = ""

    def wanted_by(self) -> set[str]:
        """The paused requests that something lies here for."""
        return {prefix.wanted_by for prefix in self._prefixes.values()} - {""}

    def check_integrity(self) -> None:
        """Raises AssertionError where the sum is wrong or too large."""
        tokens = sum(len(prefix.tokens) for prefix in self._prefixes.values())
        if tokens != self._tokens or tokens > self._most_tokens:
            raise AssertionError(f"{tokens} tokens on the shelf, {self._tokens} counted, {self._most_tokens} fit")

    def _give_way(self, tokens: array[int], salt: str, kept: int | None) -> list[int] | None:
        """The keys that go for a prefix of these tokens. None: too much of what is here must stay."""
        others = [prefix for prefix in self._prefixes.values() if prefix.key != kept and not prefix.wanted_by]
        room = self._most_tokens - self._tokens - len(tokens)
        if room + sum(len(prefix.tokens) for prefix in others) < 0:
            return None
        gone = []
        for prefix in sorted(others, key=lambda prefix: (not _begins(tokens, salt, prefix), prefix.used_at)):
            if room >= 0 and not _begins(tokens, salt, prefix):
                break
            room += len(prefix.tokens)
            gone.append(prefix.key)
            self._tokens -= len(self._prefixes.pop(prefix.key).tokens)
        return gone

    def _covering(self, tokens: array[int], salt: str) -> Shelved | None:
        """A prefix that has all of `tokens`."""
        covering = (p for p in self._prefixes.values() if p.salt == salt and p.tokens[: len(tokens)] == tokens)
        return next(covering, None)


def _begins(tokens: array[int], salt: str, prefix: Shelved) -> bool:
    """Whether `tokens` begin with all of a saved prefix, which is then of no more use."""
    return prefix.salt == salt and tokens[: len(prefix.tokens)] == prefix.tokens
