"""The command line and the variables, read by the declared options.

As llama-server reads them (common/arg.cpp, `common_params_parse_ex`): names are whole, `_` in a long one is `-`, a value is the next
argument whatever it looks like, a later one wins. Beyond it, `--name=value` works too.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.errors import SettingError
from service.settings.foreign import FOREIGN, Foreign
from service.settings.option import Option, Spelling

KUBERNETES_VARIABLE = re.compile(r"MISTRAL_API_(PORT|SERVICE)(_|$)")
OTHER_VARIABLES = {"MISTRAL_API_CACHE"}
"""Read elsewhere: the folder of the build's and the engine's caches."""
FETCH_VARIABLES = "MISTRAL_API_FETCH_"
"""Of the other command, whose variables may stand beside the server's."""

NEGATIVE_PREFIX = "LLAMA_ARG_NO_"


@dataclass(slots=True)
class Found:
    """Values by field, the name each was given by, and notes about what changes nothing."""

    values: dict[str, Any] = field(default_factory=dict)
    given_by: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Target:
    """What a name on the command line stands for: a spelling of one of our settings, or a foreign option."""

    field: str = ""
    option: Option | None = None
    spelling: Spelling | None = None
    foreign: Foreign | None = None
    negated: bool = False

    @property
    def is_flag(self) -> bool:
        if self.spelling is not None:
            return self.spelling.kind.is_flag
        return self.foreign is not None and self.foreign.is_flag


def read_own(options: Mapping[str, Option], arguments: Sequence[str], environment: Mapping[str, str]) -> Found:
    """What was given of `options` alone: llama-server's other options are unknown and other variables are nobody's business.

    An option whose name is no option's (`SOURCE`) takes the argument that has no name. Raises SettingError.
    """
    found = Found()
    for name, option in options.items():
        _read_variables(name, option, environment, found)
    from_arguments = Found()
    for target, name, text in _pairs(_own_index(options), arguments):
        _take(from_arguments, target, name, text)
    found.values.update(from_arguments.values)
    found.given_by.update(from_arguments.given_by)
    return found


def read(options: Mapping[str, Option], arguments: Sequence[str], environment: Mapping[str, str]) -> Found:
    """Everything that was given. Raises SettingError with the name as the user wrote it."""
    found = Found()
    _read_environment(options, environment, found)
    from_arguments = Found(notes=found.notes)
    for target, name, text in _pairs(_index(options), arguments):
        _take(from_arguments, target, name, text)
    found.values.update(from_arguments.values)
    found.given_by.update(from_arguments.given_by)
    return found


def _index(options: Mapping[str, Option]) -> dict[str, Target]:
    index = _own_index(options)
    for foreign in FOREIGN:
        index |= {word: Target(foreign=foreign) for word in foreign.names}
        index |= {word: Target(foreign=foreign, negated=True) for word in foreign.negations}
    return index


def _own_index(options: Mapping[str, Option]) -> dict[str, Target]:
    index: dict[str, Target] = {}
    for name, option in options.items():
        for spelling in option.spellings:
            index |= {word: Target(name, option, spelling) for word in spelling.names}
            index |= {word: Target(name, option, spelling, negated=True) for word in spelling.negations}
    return index


def _pairs(index: Mapping[str, Target], arguments: Sequence[str]) -> Iterator[tuple[Target, str, str]]:
    """Each option given: what it is, its name as written and its text; a flag's text is on or off."""
    rest = iter(arguments)
    unnamed = next((name for name in index if not name.startswith("-")), "")
    taken = False
    for argument in rest:
        if unnamed and not argument.startswith("-"):
            if taken:
                raise SettingError(unnamed, "***", "one alone")
            taken = True
            yield index[unnamed], unnamed, argument
            continue
        name, equals, text = argument.partition("=") if argument.startswith("--") else (argument, "", "")
        target = index.get(name.replace("_", "-") if name.startswith("--") else name)
        if target is None:
            raise _unknown(name, index)
        if target.is_flag:
            if equals:
                raise SettingError(name, text, "no value: it stands for itself")
            yield target, name, "off" if target.negated else "on"
            continue
        value = text if equals else next(rest, None)
        if value is None:
            raise SettingError(name, "", "a value after it")
        yield target, name, value


def _unknown(name: str, index: Mapping[str, Target]) -> SettingError:
    near = difflib.get_close_matches(name.replace("_", "-"), index, n=1)
    hint = f"; the nearest is {near[0]}" if near else ""
    return SettingError("command line", name, f"an option that --help lists{hint}")


def _take(found: Found, target: Target, name: str, text: str) -> None:
    """Puts one given option among the values."""
    if target.foreign is not None:
        found.notes.extend(target.foreign.accept(name, text))
        return
    if target.option is None or target.spelling is None:
        raise TypeError("a target is an option or foreign")
    value = _value(target.option, target.spelling, name, text)
    if value is None:
        return
    if target.option.repeats and target.field in found.values:
        value = (*_as_tuple(found.values[target.field]), *_as_tuple(value))
    found.values[target.field] = value
    found.given_by[target.field] = name


def _as_tuple(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else (value,)


def _value(option: Option, spelling: Spelling, name: str, text: str) -> object:
    try:
        return spelling.kind.read(text)
    except (ValueError, OverflowError):
        shown = "***" if option.secret and text else text
        raise SettingError(name, shown, spelling.kind.expected) from None


def _read_environment(options: Mapping[str, Option], environment: Mapping[str, str], found: Found) -> None:
    known = set(OTHER_VARIABLES)
    for name, option in options.items():
        known.update(_read_variables(name, option, environment, found))
    for foreign in FOREIGN:
        variables = _variables(foreign.variable, negatable=bool(foreign.negations))
        known.update(variables)
        for variable, text in _set_variables(variables, environment):
            found.notes.extend(foreign.accept(variable, text))
    found.notes.extend(
        f"{name} is no variable of this service"
        for name in sorted(environment)
        if _looks_ours(name) and name not in known
    )


def _read_variables(name: str, option: Option, environment: Mapping[str, str], found: Found) -> set[str]:
    """Takes what the variables of one option say; the names of all of them."""
    known: set[str] = set()
    # The first spelling wins, so the last to be taken is the first.
    for spelling in reversed(option.spellings):
        variables = _variables(spelling.variable, negatable=bool(spelling.negations))
        known.update(variables)
        for variable, text in _set_variables(variables, environment):
            value = _value(option, spelling, variable, text)
            if value is not None:
                found.values[name] = value
                found.given_by[name] = variable
    return known


def _looks_ours(name: str) -> bool:
    ours = name.startswith(("LLAMA_ARG_", "MISTRAL_API_")) and not name.startswith(FETCH_VARIABLES)
    return ours and not KUBERNETES_VARIABLE.match(name)


def _variables(variable: str, *, negatable: bool) -> tuple[str, ...]:
    """A variable and, for a flag with a negation, llama-server's other one that says no."""
    if not variable:
        return ()
    if negatable and variable.startswith("LLAMA_ARG_"):
        return variable, variable.replace("LLAMA_ARG_", NEGATIVE_PREFIX, 1)
    return (variable,)


def _set_variables(variables: Sequence[str], environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Those that are set and not empty. One that says no is `off` whatever stands in it, as in llama-server."""
    for position, variable in enumerate(variables):
        text = environment.get(variable, "")
        if text:
            yield variable, text if position == 0 else "off"
