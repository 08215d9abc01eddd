"""Chat completions: OpenAI's endpoint with llama-server's fields."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from service.api.chat_ordering import chat_order
from service.api.chat_shape import ChatShape
from service.api.context import Service
from service.api.describing import GENERATION_ERRORS, answer, sample
from service.api.schemas.chat import ChatCompletion, ChatRequest
from service.api.serving import serve

SAMPLE = {"messages": [{"role": "user", "content": "Whats the value of pi?"}], "max_tokens": 50}


@post(
    ["/v1/chat/completions", "/chat/completions"],
    status_code=200,
    summary="Chat completion",
    tags=["Generation"],
    responses={200: answer(ChatCompletion, "The answer; with `stream`, events of chunks.")} | GENERATION_ERRORS,
    operation_class=sample(SAMPLE, streams=True),
)
async def chat_completions(
    data: JSONBody[ChatRequest], request: Request[Any, Any, Any], service: NamedDependency[Service]
) -> Response[Any]:
    """Goes on with a conversation, in OpenAI's format; llama-server's sampling fields work too.

    `stream: true` sends `chat.completion.chunk` events: the role first, then text, then the reason of the end, with
    `stream_options.include_usage` the usage, and `[DONE]`. While nothing comes, comments keep the connection open.
    """
    order = await chat_order(service, request, data)
    return await serve(service, request, order, ChatShape(order), "messages")
