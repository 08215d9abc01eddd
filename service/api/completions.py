"""Text completions: OpenAI's endpoint and llama-server's own."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

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
    prompts = await read_prompts(service.engine, data.prompt)
    alternatives = data.logprobs if data.logprobs is not None else data.n_probs or None
    order = make_order(service, data, prompts, alternatives)
    texts = await prompt_texts(service.engine, data.prompt, prompts) if data.echo else []
    echoes = [text for text in texts for _ in range(order.copies)]
    return await serve(service, request, order, CompletionShape(order, echoes), "prompt")


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
    prompts = await read_prompts(service.engine, data.prompt)
    order = make_order(service, data, prompts, data.n_probs or data.logprobs or None)
    shape = await _native_shape(service, data, order, prompts)
    return await serve(service, request, order, shape, "prompt")


async def _native_shape(
    service: Service, data: NativeRequest, order: Order, prompts: list[tuple[int, ...]]
) -> NativeShape:
    texts = await prompt_texts(service.engine, data.prompt, prompts)
    return NativeShape(order, texts, data.response_fields or ())
