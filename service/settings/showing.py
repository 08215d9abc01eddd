"""The settings for people: --help, --check and the table of docs/options.md.

`python -m service.settings.showing` prints the document.
"""

from __future__ import annotations

import json
import sys
import textwrap
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from service.settings.foreign import FOREIGN, Foreign
from service.settings.option import Option, Spelling
from service.settings.settings import Settings, every_option

WIDTH = 110
INDENT = " " * 34
MASK = "***"
ACCEPTED = "Accepted from llama-server, and change nothing here"
REFUSED = "Of llama-server's, and not served"

USAGE = """\
usage: mistral-api --model FILE.gguf [options]
       mistral-api fetch --help

Serves a GGUF model over llama-server's and OpenAI's HTTP API. Options and variables are llama-server's where it has
them. The command line wins over the variables; an empty variable counts as none.
"""

DOCUMENT_HEAD = """\
# Options

Made by `python -m service.settings.showing`, which `make docs` runs; a test keeps this page in step.

Every option has a name on the command line and a variable: llama-server's own where it has one for the option, else one that begins
with `MISTRAL_API_`. The command line wins over the variable; an empty variable counts as none. Flags take no value on the command
line; in a variable `on`, `true` or `1` says yes, and `off`, `false` or `0` says no. A value that cannot be used ends the start with one
line that names the option, the value and what would be right.
"""


def help_text() -> str:
    """What --help prints."""
    lines = [USAGE]
    for group, options in groupby(every_option(), key=lambda entry: entry[1].group):
        lines.append(f"{group}:")
        for _, declared, default in options:
            lines.extend(help_lines(declared, default))
        lines.append("")
    accepted = [name for entry in FOREIGN for name in entry.accepted_names]
    refused = [name for entry in FOREIGN for name in entry.refused_names]
    lines.extend([f"{ACCEPTED}:", *_wrapped(", ".join(accepted), "  "), ""])
    lines.extend([f"{REFUSED} (docs/options.md says why):", *_wrapped(", ".join(refused), "  "), ""])
    return "\n".join(lines)


def help_lines(declared: Option, default: object) -> list[str]:
    """One option's lines in --help."""
    head = "; ".join(_signature(spelling) for spelling in declared.spellings if spelling.names)
    variables = ", ".join(spelling.variable for spelling in declared.spellings if spelling.variable)
    shown = f"{declared.text} Default: {declared.default_text(default)} [{variables}]" if variables else declared.text
    lines = _wrapped(head, "  ")
    text = _wrapped(shown, INDENT)
    if len(lines) == 1 and len(head) < len(INDENT) - 3:
        text[0] = f"  {head}".ljust(len(INDENT)) + text[0].lstrip()
        return text
    return lines + text


def _signature(spelling: Spelling) -> str:
    return f"{', '.join(spelling.shown_names)} {spelling.kind.placeholder}".rstrip()


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def check_text(settings: Settings) -> str:
    """What --check prints: one `name = value` a line, values in JSON, keys masked; then the notes."""
    sampling = asdict(settings.sampling)
    lines = []
    for name, declared, _ in every_option():
        if name in ("help", "version", "check"):
            continue
        value = sampling[name] if name in sampling else getattr(settings, name)
        if declared.secret:
            value = [MASK for _ in value]
        lines.append(f"{name} = {json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)}")
    return "\n".join([*lines, *(f"# {note}" for note in settings.notes), ""])


def document() -> str:
    """docs/options.md."""
    lines = [DOCUMENT_HEAD]
    for group, options in groupby(every_option(), key=lambda entry: entry[1].group):
        lines.extend([f"## {group}", "", "| Option | Variable | Default | Meaning |", "|---|---|---|---|"])
        lines.extend(_row(declared, default) for _, declared, default in options)
        lines.append("")
    harmless = [entry for entry in FOREIGN if entry.tolerated is None]
    lines.extend([f"## {ACCEPTED}", "", "| Option | Variable | Why |", "|---|---|---|"])
    lines.extend(f"{_foreign_names(entry)} {entry.why} |" for entry in harmless)
    lines.extend(["", f"## {REFUSED}", "", "They end the start, except with the values that are let pass.", ""])
    lines.extend(["| Option | Variable | Why | Let pass |", "|---|---|---|---|"])
    lines.extend(
        f"{_foreign_names(entry)} {entry.why} | {', '.join(entry.tolerated)} |"
        for entry in FOREIGN
        if entry.tolerated is not None
    )
    return "\n".join([*lines, ""])


def _row(declared: Option, default: object) -> str:
    names = "<br>".join(f"`{_escaped(_signature(spelling))}`" for spelling in declared.spellings)
    variables = "<br>".join(f"`{spelling.variable}`" for spelling in declared.spellings if spelling.variable)
    meaning = declared.text
    kind = declared.spellings[0].kind
    if not kind.is_flag:
        meaning += f" Takes {kind.expected}."
    return f"| {names} | {variables} | {_escaped(declared.default_text(default))} | {_escaped(meaning)} |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _foreign_names(entry: Foreign) -> str:
    names = _escaped(f"{', '.join(entry.shown_names)} {entry.placeholder}".rstrip())
    variable = f"`{entry.variable}`" if entry.variable else ""
    return f"| `{names}` | {variable} |"


if __name__ == "__main__":
    sys.stdout.write(document())
