"""Messages to prompt text, with the model's own template."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from jinja2 import Template, TemplateError, TemplateSyntaxError

from service.chat.builtin import BUILTIN_TEMPLATES, CHATML
from service.chat.sandbox import ChatSandbox, TemplateRefusal
from service.errors import InvalidRequest, SettingError

log = logging.getLogger("chat")

Message = Mapping[str, object]
"""`role` and `content` are texts; an assistant's may have `tool_calls`, a tool's `tool_call_id`."""

PROBE = "d0f1cb1e"
"""Text that no template has of its own."""


@dataclass(frozen=True)
class ChatTemplate:
    """A compiled template. `bos` and `eos` are the texts of the model's tokens.

    `adds_bos`: the tokenizer puts the beginning-of-sequence token itself, so the one that a template writes is left out.
    """

    source: str
    bos: str = ""
    eos: str = ""
    adds_bos: bool = False
    _sandbox: ChatSandbox = field(default_factory=ChatSandbox, repr=False, compare=False)

    @cached_property
    def _compiled(self) -> Template:
        return self._sandbox.counting_template(self.source)

    def check(self) -> None:
        """Raises TemplateSyntaxError where the source cannot be compiled."""
        self._compiled  # noqa: B018

    @cached_property
    def takes_system(self) -> bool:
        """Whether a system message gets into the prompt. Mistral's older templates refuse it, others drop it."""
        messages = [{"role": "system", "content": PROBE}, {"role": "user", "content": "x"}]
        try:
            return PROBE in self._render(messages, {"add_generation_prompt": True})
        except Exception:
            return False

    def prompt(
        self,
        messages: Sequence[Message],
        *,
        add_generation_prompt: bool = True,
        continue_last: bool = False,
        extra: Mapping[str, object] | None = None,
    ) -> str:
        """The text to continue. With `continue_last` the last message's text is a beginning that the model goes on with.

        `extra` are a client's own variables (`chat_template_kwargs`). Raises InvalidRequest with the template's own words.
        """
        shown = messages[:-1] if continue_last else messages
        merged = shown if self.takes_system else merge_system(shown)
        variables = {**(extra or {}), "add_generation_prompt": add_generation_prompt or continue_last}
        try:
            text = self._render(merged, variables)
        except TemplateRefusal as refusal:
            raise InvalidRequest(f"messages: {refusal.message}", param="messages") from refusal
        except TemplateError as error:
            raise InvalidRequest(f"messages: the chat template failed: {error.message}", param="messages") from error
        except Exception as error:
            # A template's own mistakes raise anything: TypeError, KeyError, RecursionError …
            reason = f"the chat template cannot render these messages ({type(error).__name__})"
            raise InvalidRequest(f"messages: {reason}", param="messages") from error
        if self.adds_bos and self.bos:
            text = text.removeprefix(self.bos)
        return text + (str(messages[-1]["content"]) if continue_last else "")

    def _render(self, messages: Sequence[Message], variables: Mapping[str, object]) -> str:
        known = {
            "messages": list(messages),
            "bos_token": self.bos,
            "eos_token": self.eos,
            "tools": None,
            "documents": None,
        }
        return self._sandbox.render_bounded(self._compiled, {**variables, **known})


def merge_system(messages: Sequence[Message]) -> list[Message]:
    """System messages become the beginning of the user message that follows, with an empty line between, as Mistral does."""
    merged: list[Message] = []
    pending: list[str] = []
    for message in messages:
        if message["role"] == "system":
            pending.append(str(message["content"]))
            continue
        if pending and message["role"] == "user":
            merged.append({**message, "content": "\n\n".join([*pending, str(message["content"])])})
            pending = []
        else:
            merged.append(message)
    if pending:
        merged.append({"role": "user", "content": "\n\n".join(pending)})
    return merged


def chosen_source(setting: str) -> str:
    """What `--chat-template` means: a name or a template; empty is the model's own. Raises SettingError."""
    if not setting or setting in BUILTIN_TEMPLATES:
        return BUILTIN_TEMPLATES.get(setting, "")
    expected = f"a Jinja template or one of {', '.join(BUILTIN_TEMPLATES)}"
    if "{{" not in setting and "{%" not in setting:
        raise SettingError("--chat-template", setting, expected)
    try:
        ChatTemplate(setting).check()
    except TemplateSyntaxError as error:
        raise SettingError("--chat-template", f"line {error.lineno}: {error.message}", expected) from error
    return setting


def load_template(setting: str, own: str, *, bos: str, eos: str, adds_bos: bool) -> ChatTemplate:
    """The template of the setting, else the model's `own`, else ChatML (said in the log)."""
    source = chosen_source(setting) or own
    if not source:
        log.warning("the model has no chat template; ChatML is used (--chat-template sets another)")
        source = CHATML
    template = ChatTemplate(source, bos=bos, eos=eos, adds_bos=adds_bos)
    try:
        template.check()
    except Exception as error:
        # A syntax error of Jinja, or what its compiler makes of a monster (RecursionError, SyntaxError).
        log.warning("the model's chat template cannot be read (%s: %s); ChatML is used", type(error).__name__, error)
        return ChatTemplate(CHATML, bos=bos, eos=eos, adds_bos=adds_bos)
    return template
