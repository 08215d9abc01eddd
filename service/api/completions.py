"""Text completions: OpenAI's endpoint and llama-server's own."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from service.api.aside import aside
from service.api.completion_shape import CompletionShape
from service.api.context import Service
from service.api.describing import GENERATION_ERRORS, answer, sample
from service.api.native_shape import NativeShape
from service.api.order import Order
from service.api.ordering import make_order
from service.api.prompts import prompt_texts, read_prompts
from service.api.schemas.completions import Completion, CompletionRequest, NativeAnswer, NativeRequest
from service.api.serving import serve

SAMPLE = {"prompt": "Hello", "max_tokens": 10}
NATIVE_SAMPLE = {"prompt": "Hello", "n_predict": 10}


@post(
    "/v1/completions",
    status_code=200,
    summary="Text completion",
    tags=["Generation"],
    responses={200: answer(Completion, "The text; with `stream`, events of pieces.")} | GENERATION_ERRORS,
    operation_class=sample(SAMPLE, streams=True),
)
async def completions(
    data: JSONBody[CompletionRequest], request: Request[Any, Any, Any], service: NamedDependency[Service]
) -> Response[Any]:
    """Goes on with a text, in OpenAI's format; llama-server's sampling fields work too.

    `logprobs` answers OpenAI's columns (`tokens`, `token_logprobs` …) and llama-server's `content` in one object.
    """
    order, shape = await aside(request, _completion, service, data)
    return await serve(service, request, order, shape, "prompt")


def _completion(service: Service, data: CompletionRequest) -> tuple[Order, CompletionShape]:
    prompts = read_prompts(service, data)
    alternatives = data.logprobs if data.logprobs is not None else data.n_probs or None
    order = make_order(service, data, prompts, alternatives)
    texts = prompt_texts(service.engine.model, data.prompt, prompts) if data.echo else []
    return order, CompletionShape(order, [text for text in texts for _ in range(order.copies)])


@post(
    ["/completion", "/completions"],
    status_code=200,
    summary="Text completion in llama-server's format",
    tags=["Generation"],
    responses={200: answer(NativeAnswer, "The text, several for several prompts; with `stream`, events.")}
    | GENERATION_ERRORS,
    operation_class=sample(NATIVE_SAMPLE, streams=True),
)
async def native_completion(
    data: JSONBody[NativeRequest], request: Request[Any, Any, Any], service: NamedDependency[Service]
) -> Response[Any]:
    """Goes on with a text, in llama-server's own format. Its streams do not end with `[DONE]`."""
    order, shape = await aside(request, _native, service, data)
    return await serve(service, request, order, shape, "prompt")


def _native(service: Service, data: NativeRequest) -> tuple[Order, NativeShape]:
    prompts = read_prompts(service, data)
    order = make_order(service, data, prompts, data.n_probs or data.logprobs or None)
    texts = prompt_texts(service.engine.model, data.prompt, prompts)
    return order, NativeShape(order, texts, data.response_fields or ())
