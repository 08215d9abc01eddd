"""How the text of a setting becomes a value, and what stands in help and errors about it."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

TRUE_WORDS = ("on", "enabled", "true", "1")
FALSE_WORDS = ("off", "disabled", "false", "0")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value: `read` raises ValueError on text that is not `expected`; `placeholder` stands for it in help.

    A flag has no placeholder: on the command line it takes no value.
    """

    read: Callable[[str], object]
    expected: str
    placeholder: str

    @property
    def is_flag(self) -> bool:
        return not self.placeholder


def read_flag(text: str) -> bool:
    """llama-server's words for yes and no (common/arg.cpp, `is_truthy`, `is_falsey`)."""
    word = text.strip().lower()
    if word not in TRUE_WORDS + FALSE_WORDS:
        raise ValueError(text)
    return word in TRUE_WORDS


FLAG = Kind(read_flag, "on or off", "")
TEXT = Kind(str, "a text", "TEXT")


def text(what: str, placeholder: str) -> Kind:
    """Any text that is not empty."""

    def read(given: str) -> str:
        if not given.strip():
            raise ValueError(given)
        return given.strip()

    return Kind(read, what, placeholder)


def constant_flag(value: object) -> Kind:
    """A flag that stands for one value of a setting; set to `off` it says nothing."""
    return Kind(lambda text: value if read_flag(text) else None, "on or off", "")


def whole(low: int, high: int | None = None, placeholder: str = "N") -> Kind:
    """A whole number between two bounds, both included."""

    def read(text: str) -> int:
        number = int(text)
        if number < low or (high is not None and number > high):
            raise ValueError(text)
        return number

    bounds = f"of at least {low}" if high is None else f"from {low} to {high}"
    return Kind(read, f"a whole number {bounds}", placeholder)


def number(low: float | None = None, high: float | None = None, *, above: float | None = None) -> Kind:
    """A finite number between two bounds, both included; `above` excludes its own value."""

    def read(text: str) -> float:
        value = float(text)
        too_low = (low is not None and value < low) or (above is not None and value <= above)
        if not math.isfinite(value) or too_low or (high is not None and value > high):
            raise ValueError(text)
        return value

    return Kind(read, f"a number{_bounds(low, high, above)}", "N")


def _bounds(low: float | None, high: float | None, above: float | None) -> str:
    if above is not None:
        return f" above {above:g}"
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}"
    if low is not None:
        return f" of at least {low:g}"
    return "" if high is None else f" of at most {high:g}"


def choice(*words: str, synonyms: dict[str, str] | None = None) -> Kind:
    """One of several words, in any case; `synonyms` are words that mean one of them."""
    meanings = {word: word for word in words} | (synonyms or {})

    def read(text: str) -> str:
        word = text.strip().lower()
        if word not in meanings:
            raise ValueError(text)
        return meanings[word]

    return Kind(read, "one of " + ", ".join(words), "|".join(words))


def switch_or_auto() -> Kind:
    """on, off or auto, in all of llama-server's words (common/arg.cpp, `is_truthy`, `is_falsey`, `is_autoy`)."""
    synonyms = dict.fromkeys(TRUE_WORDS, "on") | dict.fromkeys(FALSE_WORDS, "off") | {"-1": "auto"}
    return choice("on", "off", "auto", synonyms=synonyms)


def _read_path(text: str) -> Path:
    if not text:
        raise ValueError(text)
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(text) from error


def path(what: str, placeholder: str = "FILE") -> Kind:
    """A path; `~` is the home folder."""
    return Kind(_read_path, what, placeholder)


def path_as_written(what: str, placeholder: str = "FILE") -> Kind:
    """A path whose text is shown to others as it was given, `./` and all."""
    return Kind(lambda text: os.path.expanduser(text) if _read_path(text) else text, what, placeholder)


def _read_words(text: str) -> tuple[str, ...]:
    try:
        rows = list(csv.reader([text]))
    except csv.Error as error:  # a line end in it
        raise ValueError(text) from error
    words = tuple(word.strip() for word in rows[0]) if rows else ()
    words = tuple(word for word in words if word)
    if not words:
        raise ValueError(text)
    return words


def words(what: str, placeholder: str) -> Kind:
    """Several texts with commas between them; one that holds a comma stands in double quotes. At least one."""
    return Kind(_read_words, what, placeholder)


def names(known: Sequence[str], synonyms: dict[str, str], separator: str) -> Kind:
    """Names out of a list, in any case and any order. An empty text is no name at all."""
    meanings = {name: name for name in known} | synonyms

    def read(text: str) -> tuple[str, ...]:
        found = [meanings.get(word.strip().lower()) for word in text.split(separator) if word.strip()]
        if None in found:
            raise ValueError(text)
        return tuple(name for name in found if name is not None)

    return Kind(read, f"names out of {', '.join(known)}, with {separator!r} between them", "NAMES")


def letters(meanings: dict[str, str]) -> Kind:
    """A word whose every letter stands for a name."""

    def read(text: str) -> tuple[str, ...]:
        if not set(text) <= set(meanings):
            raise ValueError(text)
        return tuple(meanings[letter] for letter in text)

    return Kind(read, "letters: " + ", ".join(f"{key} {name}" for key, name in meanings.items()), "LETTERS")
