"""One setting: its names on the command line, its variables, what it takes, what it means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field, fields
from typing import TypeVar

from service.settings.values import Kind

T = TypeVar("T")
METADATA_KEY = "option"


@dataclass(frozen=True, slots=True)
class Spelling:
    """One way to write a setting. `negations` are the names that say no to a flag; `variable` is the environment's name."""

    names: tuple[str, ...]
    negations: tuple[str, ...]
    variable: str
    kind: Kind

    @property
    def long_name(self) -> str:
        """The name that stands in texts: the first long one."""
        return next(name for name in self.names if name.startswith("--"))

    @property
    def shown_names(self) -> tuple[str, ...]:
        return self.names + self.negations


@dataclass(frozen=True, slots=True)
class Option:
    """A setting as it is declared. `repeats`: giving it again adds to it. `secret`: its value is never shown."""

    spellings: tuple[Spelling, ...]
    group: str
    text: str
    repeats: bool
    secret: bool
    shown_default: str

    def default_text(self, default: object) -> str:
        """The default for help and documents."""
        if self.shown_default:
            return self.shown_default
        if isinstance(default, bool):
            return "on" if default else "off"
        if isinstance(default, float):
            return f"{default:g}"
        return "none" if default in (None, "", ()) else str(default)


def spelled(names: str, variable: str, kind: Kind) -> Spelling:
    """A spelling from its names with spaces between them; one after `!` is a negation."""
    words = names.split()
    return Spelling(
        names=tuple(word for word in words if not word.startswith("!")),
        negations=tuple(word[1:] for word in words if word.startswith("!")),
        variable=variable,
        kind=kind,
    )


def option(
    default: T,
    group: str,
    text: str,
    *spellings: Spelling,
    repeats: bool = False,
    secret: bool = False,
    shown_default: str = "",
) -> T:
    """A dataclass field that carries its Option."""
    declared = Option(spellings, group, text, repeats, secret, shown_default)
    return field(default=default, repr=not secret, metadata={METADATA_KEY: declared})


def declared_options(cls: type) -> Iterator[tuple[str, Option, object]]:
    """Name, Option and default of every setting that a dataclass declares, in its order."""
    for entry in fields(cls):
        declared = entry.metadata.get(METADATA_KEY)
        if isinstance(declared, Option):
            default = entry.default if entry.default is not MISSING else None
            yield entry.name, declared, default
