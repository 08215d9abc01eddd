"""Jinja as Hugging Face sets it up for chat templates, in a sandbox that also bounds time and memory.

A template comes with a model file, so it is not quite trusted. It gets no attributes that begin with an underscore and cannot
change what it is given (Jinja's own sandbox); loops and macro calls are counted; a repetition (`'a' * 9**9`) and the whole text
have a greatest length.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

MOST_TURNS = 300_000
"""Loop turns and macro calls of one rendering: a second or two."""
MOST_CHARACTERS = 64 * 1024 * 1024
MOST_REPEATED = 1024 * 1024
MOST_EXPONENT = 64
TURN = "count_turn"


class TemplateRefusal(TemplateError):
    """What a template says with `raise_exception`."""


class TemplateTooLong(TemplateError):
    """A rendering that goes over one of the bounds."""


class GenerationBlock(Extension):
    """`{% generation %}…{% endgeneration %}` marks answers for training; here it only shows what stands inside."""

    tags = {"generation"}  # noqa: RUF012 - jinja's own shape

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class ChatSandbox(ImmutableSandboxedEnvironment):
    """The environment that chat templates are written for: trimmed blocks, `break`, `tojson`, `raise_exception`, `strftime_now`."""

    intercepted_binops = frozenset(["*", "**", "+"])

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, GenerationBlock])
        self.filters["tojson"] = to_json
        self.globals["raise_exception"] = refuse
        self.globals["strftime_now"] = strftime_now

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401 - as jinja has it
        """Sum, product and power of bounded size."""
        if (
            operator == "+"
            and isinstance(left, str)
            and isinstance(right, str)
            and len(left) + len(right) > MOST_CHARACTERS
        ):
            raise TemplateTooLong(f"more than {MOST_CHARACTERS} characters")
        if operator == "**" and isinstance(right, (int, float)) and abs(right) > MOST_EXPONENT:
            raise TemplateTooLong(f"an exponent over {MOST_EXPONENT}")
        if operator == "*":
            for text, times in ((left, right), (right, left)):
                if isinstance(times, int) and hasattr(text, "__len__") and len(text) * times > MOST_REPEATED:
                    raise TemplateTooLong(f"a repetition over {MOST_REPEATED} characters")
        return super().call_binop(context, operator, left, right)

    def counting_template(self, source: str) -> Template:
        """Compiles a template whose loops and macros call `count_turn`. Raises TemplateSyntaxError."""
        tree = self.parse(source)
        blocks: list[nodes.For | nodes.Macro] = [*tree.find_all(nodes.For), *tree.find_all(nodes.Macro)]
        for block in blocks:
            call = nodes.Call(nodes.Name(TURN, "load"), [], [], None, None)
            block.body.insert(0, nodes.ExprStmt(call).set_lineno(block.lineno))
        tree.set_environment(self)
        return self.template_class.from_code(self, self.compile(tree), self.make_globals(None))

    def render_bounded(self, template: Template, variables: Mapping[str, object]) -> str:
        """Renders what `counting_template` gave. Raises TemplateError and whatever a template's own mistakes raise."""
        turns = 0

        def count_turn() -> None:
            nonlocal turns
            turns += 1
            if turns > MOST_TURNS:
                raise TemplateTooLong(f"more than {MOST_TURNS} loop turns")

        return "".join(_bounded(template.generate({**variables, TURN: count_turn})))


def _bounded(pieces: Iterator[str]) -> Iterator[str]:
    length = 0
    for piece in pieces:
        length += len(piece)
        if length > MOST_CHARACTERS:
            raise TemplateTooLong(f"more than {MOST_CHARACTERS} characters")
        yield piece


def to_json(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """The filter as Hugging Face has it: plain JSON, where Jinja's own would escape HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def refuse(message: object) -> None:
    """`raise_exception`: a template's refusal."""
    raise TemplateRefusal(str(message))


def strftime_now(layout: str) -> str:
    """The local date and time, as Hugging Face gives it to templates."""
    return datetime.now().strftime(layout)
