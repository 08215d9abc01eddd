"""Chat messages as the template takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.api.schemas.chat import ChatMessage, ChatRequest, ContentPart
from service.chat.template import ChatTemplate, Message
from service.errors import InvalidRequest, NotServed

MEDIA_PARTS = ("image_url", "input_image", "input_audio", "input_video", "video_url", "file", "input_file")


def chat_prompt(body: ChatRequest, template: ChatTemplate) -> str:
    """The prompt of a chat. Raises InvalidRequest where the messages or the template refuse."""
    messages = [template_message(message, f"messages[{index}]") for index, message in enumerate(body.messages)]
    extra = dict(body.chat_template_kwargs or {})
    if body.reasoning_effort is not None:
        extra["reasoning_effort"] = body.reasoning_effort
    goes_on = continues_last(body)
    if goes_on and body.add_generation_prompt:
        raise InvalidRequest(
            "add_generation_prompt: cannot be true while the last message is gone on with",
            param="add_generation_prompt",
        )
    return template.prompt(
        messages,
        add_generation_prompt=body.add_generation_prompt is not False,
        continue_last=goes_on,
        extra=extra,
    )


def continues_last(body: ChatRequest) -> bool:
    """Whether the last message is a beginning to go on with: an assistant's is, unless the client says no."""
    wanted = body.continue_final_message
    if wanted == "reasoning_content":
        raise NotServed("continue_final_message: only the content can be gone on with", param="continue_final_message")
    if isinstance(wanted, str) and wanted != "content":
        raise InvalidRequest(
            f"continue_final_message: expected a boolean or 'content', got {wanted[:40]!r}",
            param="continue_final_message",
        )
    last = body.messages[-1]
    if wanted is False or (wanted is None and last.role != "assistant"):
        return False
    if [message.role for message in body.messages[-2:]] == ["assistant", "assistant"]:
        raise InvalidRequest("messages: there cannot be two assistant messages at the end", param="messages")
    if last.tool_calls:
        raise InvalidRequest("messages: a message with tool calls cannot be gone on with", param="messages")
    return True


def template_message(message: ChatMessage, name: str) -> Message:
    """One message with its content as text; `developer` is what newer clients call `system`."""
    shown: dict[str, Any] = {
        "role": "system" if message.role == "developer" else message.role,
        "content": content_text(message, name),
    }
    for field in ("name", "tool_calls", "tool_call_id", "reasoning_content"):
        if (value := getattr(message, field)) is not None:
            shown[field] = value
    return shown


def content_text(message: ChatMessage, name: str) -> str:
    """The text of a message; of several parts, one a line."""
    if isinstance(message.content, str):
        return message.content
    if message.content is None:
        if message.role == "assistant" and message.tool_calls:
            return ""
        raise InvalidRequest(f"'{name}.content' is required", param=f"{name}.content")
    return "\n".join(_part_texts(message.content, f"{name}.content"))


def _part_texts(parts: Sequence[ContentPart], name: str) -> list[str]:
    texts = []
    for index, part in enumerate(parts):
        where = f"{name}[{index}]"
        if part.type in MEDIA_PARTS:
            raise NotServed(
                f"{where}.type: {part.type} is not served, this model reads text only", param=f"{where}.type"
            )
        if part.type != "text":
            raise InvalidRequest(f"{where}.type: expected text, got {part.type[:40]!r}", param=f"{where}.type")
        if part.text is None:
            raise InvalidRequest(f"'{where}.text' is required", param=f"{where}.text")
        texts.append(part.text)
    return texts
