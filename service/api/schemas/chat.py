"""The chat endpoints: `/v1/chat/completions`, `/apply-template` and `/infer`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from service.api.schemas.answers import ChatLogprobs, TimingsBody, Usage
from service.api.schemas.fields import Alternatives, GenerationFields

Role = Literal["system", "developer", "user", "assistant", "tool"]


class ContentPart(Struct, kw_only=True):
    """A part of a message. Only `text` is served."""

    type: str
    text: str | None = None


class ChatMessage(Struct, kw_only=True):
    """One message. `content` may be absent only where an assistant called tools."""

    role: Role
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None


Messages = Annotated[
    list[ChatMessage],
    Meta(min_length=1, description="The conversation. A last message of the assistant is gone on with."),
]


class TemplateAnswer(Struct):
    """The prompt that the messages make."""

    prompt: str


class ChatRequest(GenerationFields, kw_only=True):
    """The body of a chat completion: OpenAI's fields and llama-server's."""

    messages: Messages
    add_generation_prompt: Annotated[bool | None, Meta(description="End with the beginning of an answer.")] = None
    continue_final_message: Annotated[
        bool | str | None, Meta(description="Go on with the last message; true where it is the assistant's.")
    ] = None
    chat_template_kwargs: Annotated[dict[str, Any] | None, Meta(description="Variables for the template.")] = None
    reasoning_effort: Annotated[str | None, Meta(description="A variable for templates that know it.")] = None
    logprobs: Annotated[bool | None, Meta(description="Tell how likely each token was.")] = None
    top_logprobs: Annotated[Alternatives | None, Meta(description="With `logprobs`: alternatives; 20 if absent.")] = (
        None
    )


class InferRequest(ChatRequest, kw_only=True):
    """The body of `/infer`. Every field of a chat completion works too."""

    temperature: float | None = 0.2
    top_p: float | None = 0.95


class AnswerMessage(Struct, kw_only=True):
    """The assistant's answer."""

    role: str = "assistant"
    content: str
    refusal: None = None


class ChatChoice(Struct):
    """One answer."""

    finish_reason: str
    index: int
    message: AnswerMessage
    logprobs: ChatLogprobs | None = None


class ChatCompletion(Struct, kw_only=True):
    """A whole chat completion."""

    choices: list[ChatChoice]
    created: int
    model: str
    system_fingerprint: str
    object: str = "chat.completion"
    usage: Usage
    id: str
    timings: TimingsBody


class ChatDelta(Struct, kw_only=True):
    """What a chunk adds to a message."""

    role: str | UnsetType = UNSET
    content: str | UnsetType | None = UNSET


class ChunkChoice(Struct, kw_only=True):
    """What a chunk adds to one choice."""

    finish_reason: str | None = None
    index: int
    delta: ChatDelta
    logprobs: ChatLogprobs | UnsetType = UNSET


class ChatChunk(Struct, kw_only=True):
    """One event of a stream."""

    choices: list[ChunkChoice]
    created: int
    id: str
    model: str
    system_fingerprint: str
    object: str = "chat.completion.chunk"
    usage: Usage | UnsetType = UNSET
    timings: TimingsBody | UnsetType = UNSET


class InferAnswer(Struct):
    """What `/infer` answers."""

    resp: ChatCompletion


class InferChunk(Struct):
    """One event of an `/infer` stream."""

    resp: ChatChunk
