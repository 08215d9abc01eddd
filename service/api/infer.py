"""`/infer`: the endpoint of mistral-docker-api."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from service.api.chat_ordering import chat_order
from service.api.chat_shape import InferShape
from service.api.context import Service
from service.api.describing import GENERATION_ERRORS, answer, sample
from service.api.schemas.chat import InferAnswer, InferRequest
from service.api.serving import serve

SAMPLE = {"messages": [{"role": "user", "content": "Whats the value of pi?"}]}


@post(
    "/infer",
    status_code=200,
    summary="Answer to a conversation",
    tags=["Generation"],
    responses={200: answer(InferAnswer, "The answer; with `stream`, events of chunks.")} | GENERATION_ERRORS,
    operation_class=sample(SAMPLE, streams=True),
)
async def infer(
    data: JSONBody[InferRequest], request: Request[Any, Any, Any], service: NamedDependency[Service]
) -> Response[Any]:
    """Goes on with a conversation. The chat completion stands in `resp`, and its `model` is the model's path.

    `stream: true` sends events that each are `{"resp": <chat.completion.chunk>}`, then `[DONE]`.
    """
    data.model = service.engine.model.info.path
    data.temperature = 0.2 if data.temperature is None else data.temperature
    data.top_p = 0.95 if data.top_p is None else data.top_p
    order = await chat_order(service, request, data)
    return await serve(service, request, order, InferShape(order), "messages")
