"""llama-server's options that are no settings here: those that change nothing, and those that are not served."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from service.errors import SettingError
from service.settings.foreign_tables import HARMLESS, REFUSED
from service.settings.values import read_flag


@dataclass(frozen=True, slots=True)
class Foreign:
    """An option of llama-server's. `tolerated` are the values that are let pass; None: all, it changes nothing here."""

    names: tuple[str, ...]
    negations: tuple[str, ...]
    placeholder: str
    variable: str
    tolerated: tuple[str, ...] | None
    why: str

    @property
    def is_flag(self) -> bool:
        return not self.placeholder

    @property
    def shown_names(self) -> tuple[str, ...]:
        return self.names + self.negations

    @property
    def refused_names(self) -> tuple[str, ...]:
        """The names that end the start, whatever value they have."""
        return tuple(name for name in self.shown_names if not self._passes(name))

    @property
    def accepted_names(self) -> tuple[str, ...]:
        """The names that are let pass, with some value at least."""
        return tuple(name for name in self.shown_names if self._passes(name))

    def _passes(self, name: str) -> bool:
        if self.tolerated is None:
            return True
        if self.is_flag:
            return ("off" if name in self.negations else "on") in self.tolerated
        return bool(self.tolerated)

    def accept(self, name: str, text: str) -> list[str]:
        """Notes for the log about an option given as `name`. Raises SettingError if it asks for what is not served."""
        if self.tolerated is None:
            return [f"{name} changes nothing here: {self.why}"]
        value = text.strip().lower()
        if self.is_flag:
            try:
                value = "on" if read_flag(text) else "off"
            except ValueError:
                raise SettingError(name, text, "on or off") from None
        if value not in self.tolerated:
            raise SettingError(name, text, f"{self.expected}: {self.why}")
        return []

    @property
    def expected(self) -> str:
        """What may be given, for errors and documents."""
        return ", ".join((*self.tolerated, "or it to be left out")) if self.tolerated else "it to be left out"


def _parsed(line: str, why: str, *, refused: bool) -> Foreign:
    declared, _, tolerated = line.partition(" = ")
    words = declared.split()
    names = tuple(word for word in words if word.startswith("-"))
    variable = next((word for word in words if word.startswith(("LLAMA_ARG_", "MTMD_"))), "")
    negations = tuple(word[1:] for word in words if word.startswith("!"))
    placeholder = next((word for word in words if word[0] not in "-!" and word != variable), "")
    passing = tuple(tolerated.split()) if not placeholder or tolerated else ()
    if refused and not placeholder and not passing:
        passing = ("off",)
    return Foreign(names, negations, placeholder, variable, passing if refused else None, why)


def _table(tables: dict[str, str], *, refused: bool) -> Iterator[Foreign]:
    for why, lines in tables.items():
        for line in lines.strip().splitlines():
            yield _parsed(line.strip(), why, refused=refused)


FOREIGN: tuple[Foreign, ...] = (*_table(HARMLESS, refused=False), *_table(REFUSED, refused=True))
