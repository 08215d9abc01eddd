"""From token bytes to text: whole characters only, no part of a stop string, and the end when one is complete."""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Sequence as Series
from dataclasses import dataclass, field

from service.engine.requests import Sample, TokenProbabilities


@dataclass(slots=True)
class Emission:
    """What may be shown now: text, and the tokens whose text is shown in full."""

    text: str = ""
    tokens: list[int] = field(default_factory=list)
    probabilities: list[TokenProbabilities] = field(default_factory=list)
    stopping_word: str = ""

    def join(self, later: Emission) -> None:
        """Adds what is shown after it."""
        self.text += later.text
        self.tokens += later.tokens
        self.probabilities += later.probabilities


@dataclass(slots=True)
class _Held:
    """A sampled token; its text ends `end` characters after the start of the answer."""

    start: int
    end: int
    sample: Sample


class TextOutput:
    """Turns one answer's tokens into text. `push` each sample, `flush` at an end that is not a stop string.

    Text that may still become a stop string is held back, and so are its tokens; everything else goes out at once. Bytes
    that are not UTF-8 become U+FFFD.
    """

    __slots__ = ("_characters", "_decoder", "_held", "_shown", "_stops", "_tail")

    def __init__(self, stops: Series[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held: deque[_Held] = deque()
        self._tail = ""
        self._characters = 0
        self._shown = 0

    def push(self, sample: Sample) -> Emission:
        """Takes the next token. An end token has no text."""
        text = self._decoder.decode(b"" if sample.is_end else sample.piece)
        start = self._characters
        self._characters += len(text)
        unfinished = bool(self._decoder.getstate()[0])
        self._held.append(_Held(start, self._characters + unfinished, sample))
        self._tail += text
        found = first_stop(self._tail, self._stops)
        if found is None:
            return self._show(len(self._tail) - held_back(self._tail, self._stops))
        at, word = found
        emission = self._show(at)
        emission.stopping_word = word
        self._held.clear()
        return emission

    def flush(self) -> Emission:
        """Everything that was held back, half a character included."""
        self._tail += self._decoder.decode(b"", True)
        emission = self._show(len(self._tail))
        for held in self._held:
            _add(emission, held.sample)
        self._held.clear()
        return emission

    def _show(self, length: int) -> Emission:
        emission = Emission(text=self._tail[:length])
        self._tail = self._tail[length:]
        self._shown += length
        while self._held and self._held[0].end <= self._shown:
            _add(emission, self._held.popleft().sample)
        return emission


def _add(emission: Emission, sample: Sample) -> None:
    emission.tokens.append(sample.token)
    if sample.probabilities is not None:
        emission.probabilities.append(sample.probabilities)


def first_stop(text: str, stops: Series[str]) -> tuple[int, str] | None:
    """Where the first stop string begins, and which; of two that begin together the longer."""
    found = [(text.find(stop), -len(stop), stop) for stop in stops if stop in text]
    if not found:
        return None
    at, _, word = min(found)
    return at, word


def held_back(text: str, stops: Series[str]) -> int:
    """How many last characters of `text` may still become a stop string."""
    longest = 0
    for stop in stops:
        for length in range(min(len(stop) - 1, len(text)), longest, -1):
            if text.endswith(stop[:length]):
                longest = length
                break
    return longest
