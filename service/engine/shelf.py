"""Prefixes that had to leave the pool and lie in the host's memory instead. Book-keeping only: the model holds the bytes. Pure."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from service.engine.prefixes import common_prefix

LEAST_TOKENS = 64
"""Shorter prefixes are computed again sooner than they are fetched."""


@dataclass(slots=True)
class Shelved:
    """The tokens of one saved sequence. `used_at` is a count of uses, not a time."""

    key: int
    salt: str
    tokens: array[int]
    used_at: int


class Shelf:
    """At most `capacity` bytes, where one token takes `token_bytes`. The least recently used prefix goes first."""

    def __init__(self, capacity: int, token_bytes: int) -> None:
        self._most_tokens = capacity // token_bytes if token_bytes > 0 else 0
        self._prefixes: dict[int, Shelved] = {}
        self._tokens = 0
        self._uses = 0

    @property
    def tokens(self) -> int:
        """How many tokens lie here."""
        return self._tokens

    def find(self, tokens: array[int], salt: str) -> tuple[Shelved, int] | None:
        """The prefix that shares most of the beginning of `tokens`, and how many. Changes nothing."""
        best, most = None, LEAST_TOKENS - 1
        for prefix in self._prefixes.values():
            if prefix.salt == salt and prefix.tokens[: most + 1] == tokens[: most + 1]:
                length = common_prefix(prefix.tokens, tokens)
                if length > most:
                    best, most = prefix, length
        return (best, most) if best is not None else None

    def get(self, key: int) -> Shelved:
        """A prefix that is about to be fetched; it counts as used."""
        self._uses += 1
        prefix = self._prefixes[key]
        prefix.used_at = self._uses
        return prefix

    def put(self, tokens: array[int], salt: str, kept: int | None = None) -> tuple[int | None, list[int]]:
        """Where to save a prefix (None: it is not worth it, or lies here already), and the keys that had to go for it.

        `kept` is the key of a prefix that must stay.
        """
        if not LEAST_TOKENS <= len(tokens) <= self._most_tokens or self._covers(tokens, salt):
            return None, []
        gone = [key for key, prefix in self._prefixes.items() if key != kept and _begins(tokens, salt, prefix)]
        for key in gone:
            self._drop(key)
        while self._tokens + len(tokens) > self._most_tokens:
            others = [prefix for prefix in self._prefixes.values() if prefix.key != kept]
            if not others:
                return None, gone
            oldest = min(others, key=lambda prefix: prefix.used_at)
            self._drop(oldest.key)
            gone.append(oldest.key)
        self._uses += 1
        self._prefixes[self._uses] = Shelved(self._uses, salt, tokens[:], self._uses)
        self._tokens += len(tokens)
        return self._uses, gone

    def _covers(self, tokens: array[int], salt: str) -> bool:
        return any(prefix.salt == salt and prefix.tokens[: len(tokens)] == tokens for prefix in self._prefixes.values())

    def _drop(self, key: int) -> None:
        self._tokens -= len(self._prefixes.pop(key).tokens)


def _begins(tokens: array[int], salt: str, prefix: Shelved) -> bool:
    """Whether `tokens` begin with all of a saved prefix, which is then of no more use."""
    return prefix.salt == salt and tokens[: len(prefix.tokens)] == prefix.tokens
