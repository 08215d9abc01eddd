"""Makes what follows from the chart's values.yaml and the service's options: the schema, the README's table, the variables of options.

Usage: chart_docs.py [--check]   (--check writes nothing and ends with 1 where a file is not what it would be)

The comment above a value is its text; lines that begin with `@` shape its schema, see the head of values.yaml.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from service.settings.option import Option
from service.settings.settings import every_option

CHART = Path(__file__).resolve().parent.parent / "charts" / "mistral-api"
BEGIN, END = "<!-- values: made by `make chart` from values.yaml -->", "<!-- end of values -->"
DERIVED = {"model", "host", "port", "reuse_port", "api_key", "api_key_file", "drain_delay", "drain_timeout"}
"""Options that the chart sets itself, from other values."""
COMMANDS = {"help", "version", "check"}
TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}


@dataclass
class Value:
    """One key of values.yaml with its comment."""

    path: tuple[str, ...]
    default: Any
    text: str = ""
    hints: dict[str, str] = field(default_factory=dict)
    children: list[Value] = field(default_factory=list)


def main() -> None:
    check = "--check" in sys.argv[1:]
    values = read_values((CHART / "values.yaml").read_text())
    readme = CHART / "README.md"
    made = {
        CHART / "values.schema.json": as_json(schema(values)),
        CHART / "files" / "server-options.json": as_json(variables()),
        readme: with_table(readme.read_text(), table(values)),
    }
    stale = [path for path, text in made.items() if not path.exists() or path.read_text() != text]
    if check and stale:
        sys.exit(f"chart_docs: out of step: {', '.join(path.name for path in stale)}; run `make chart`")
    for path in stale:
        path.write_text(made[path])


def as_json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def read_values(text: str) -> list[Value]:
    """The tree of values, in the file's order."""
    root = yaml.compose(text)
    if not isinstance(root, yaml.MappingNode):
        raise TypeError("values.yaml is no mapping")
    return list(_children(root, (), text.splitlines(), yaml.safe_load(text)))


def _children(node: yaml.MappingNode, path: tuple[str, ...], lines: list[str], data: dict[str, Any]) -> Iterator[Value]:
    for key, value in node.value:
        entry = Value((*path, key.value), data[key.value])
        _read_comment(entry, lines, key.start_mark.line)
        if isinstance(value, yaml.MappingNode) and value.value:
            entry.children = list(_children(value, entry.path, lines, data[key.value]))
        yield entry


def _read_comment(entry: Value, lines: list[str], line: int) -> None:
    comment: list[str] = []
    while line > 0 and lines[line - 1].strip().startswith("#"):
        line -= 1
        comment.insert(0, lines[line].strip().removeprefix("#").strip())
    for word in comment:
        if word.startswith("@"):
            name, _, rest = word[1:].partition(" ")
            entry.hints[name] = rest.strip()
        else:
            entry.text = f"{entry.text} {word}".strip()


def schema(values: list[Value]) -> dict[str, Any]:
    """JSON Schema draft 7, which every Helm understands; closed wherever the keys are ours."""
    whole = _object(values)
    whole["properties"]["global"] = {"type": "object"}
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "mistral-api", **whole}


def _object(values: list[Value], *, is_open: bool = False) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": is_open,
        "properties": {value.path[-1]: _schema(value) for value in values},
    }


def _schema(value: Value) -> dict[str, Any]:
    said = {"description": value.text} if value.text else {}
    if "server" in value.hints:
        return {**said, "type": "object", "additionalProperties": False, "properties": server_schema()}
    if isinstance(value.default, dict):
        return {**said, **_object(value.children, is_open="open" in value.hints)}
    shaped: dict[str, Any] = dict(said)
    if "enum" in value.hints:
        shaped["enum"] = [word.strip().strip('"') for word in value.hints["enum"].split("|")]
        return shaped
    types = value.hints.get("types", TYPES.get(type(value.default), "string")).split("|")
    names = [name.strip() for name in types]
    shaped["type"] = names[0] if len(names) == 1 else names
    if "min" in value.hints:
        shaped["minimum"] = int(value.hints["min"])
    return shaped


def options() -> Iterator[tuple[str, Option, object]]:
    """Key in `server`, option and default of everything that users set there."""
    for name, declared, default in every_option():
        if name not in DERIVED | COMMANDS:
            words = declared.spellings[0].long_name.removeprefix("--").split("-")
            yield words[0] + "".join(word.capitalize() for word in words[1:]), declared, default


def variables() -> dict[str, str]:
    return {key: declared.spellings[0].variable for key, declared, _ in options()}


def server_schema() -> dict[str, Any]:
    shapes = {}
    for key, declared, default in options():
        kind = declared.spellings[0].kind
        type_name = ["boolean", "string"] if kind.is_flag else ["string", "number"]
        if type(default) in (int, float) and not declared.shown_default:
            # `--set` of helm makes a text of 0.5.
            type_name = ["integer"] if isinstance(default, int) else ["number", "string"]
        shapes[key] = {"description": declared.text, "type": [*type_name, "null"]}
    return shapes


def table(values: list[Value]) -> str:
    rows = ["| Value | Default | Meaning |", "|---|---|---|"]
    for value in _leaves(values):
        name = ".".join(value.path)
        default = json.dumps(value.default, ensure_ascii=False)
        choices = f" One of {value.hints['enum'].replace(' |', ',')}." if "enum" in value.hints else ""
        rows.append(f"| `{name}` | `{default}` | {_escaped(value.text + choices)} |")
    return "\n".join(rows)


def _leaves(values: list[Value]) -> Iterator[Value]:
    for value in values:
        if value.children and not {"open", "server"} & value.hints.keys():
            yield from _leaves(value.children)
        else:
            yield value


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").strip()


def with_table(readme: str, made: str) -> str:
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not after:
        raise ValueError(f"README.md has no place between {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{made}\n{END}{after}"


if __name__ == "__main__":
    main()
