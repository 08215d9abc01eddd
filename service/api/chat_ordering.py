"""Chat requests to orders."""

from __future__ import annotations

from typing import Any

from litestar import Request

from service.api.aside import aside
from service.api.context import Service
from service.api.messages import chat_prompt
from service.api.order import Order
from service.api.ordering import check_number, make_order
from service.api.schemas.chat import ChatRequest
from service.api.unserved import refuse_unserved
from service.errors import InvalidRequest

DEFAULT_ALTERNATIVES = 20
"""llama-server's number beside each token where `top_logprobs` is absent."""


async def chat_order(service: Service, request: Request[Any, Any, Any], body: ChatRequest) -> Order:
    """Renders the messages and says what to generate. Raises InvalidRequest."""
    return await aside(request, _order, service, body)


def _order(service: Service, body: ChatRequest) -> Order:
    refuse_unserved(body)
    check_number(service, 1, body)
    prompt = chat_prompt(body, service.template)
    tokens = service.engine.model.tokenize(prompt, add_special=True, parse_special=True)
    if not tokens:
        raise InvalidRequest("messages: the chat template makes no prompt of them", param="messages")
    return make_order(service, body, [tuple(tokens)], alternatives(body))


def alternatives(body: ChatRequest) -> int | None:
    """How many alternatives a client wants beside each token, by OpenAI's fields or by llama-server's `n_probs`."""
    if body.logprobs:
        return DEFAULT_ALTERNATIVES if body.top_logprobs is None else body.top_logprobs
    if body.top_logprobs:
        raise InvalidRequest("top_logprobs: needs logprobs to be true", param="top_logprobs")
    return body.n_probs or None
