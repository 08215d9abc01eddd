"""Chat requests to orders."""

from __future__ import annotations

import asyncio

from service.api.context import Service
from service.api.messages import chat_prompt
from service.api.order import Order
from service.api.ordering import make_order
from service.api.schemas.chat import ChatRequest
from service.api.unserved import refuse_unserved
from service.errors import InvalidRequest

LONG_CHAT = 65536
"""Characters from which a chat is rendered off the event loop."""
DEFAULT_ALTERNATIVES = 20
"""llama-server's number beside each token where `top_logprobs` is absent."""


async def chat_order(service: Service, body: ChatRequest) -> Order:
    """Renders the messages and says what to generate. Raises InvalidRequest."""
    refuse_unserved(body)
    prompt = await render_chat(service, body)
    tokens = await service.engine.tokenize(prompt, add_special=True, parse_special=True)
    if not tokens:
        raise InvalidRequest("messages: the chat template makes no prompt of them", param="messages")
    return make_order(service, body, [tuple(tokens)], alternatives(body))


async def render_chat(service: Service, body: ChatRequest) -> str:
    """The prompt of a chat."""
    template = service.template
    if sum(len(message.content or "") for message in body.messages) < LONG_CHAT:
        return chat_prompt(body, template)
    return await asyncio.to_thread(chat_prompt, body, template)


def alternatives(body: ChatRequest) -> int | None:
    """How many alternatives a client wants beside each token, by OpenAI's fields or by llama-server's `n_probs`."""
    if body.logprobs:
        return DEFAULT_ALTERNATIVES if body.top_logprobs is None else body.top_logprobs
    if body.top_logprobs:
        raise InvalidRequest("top_logprobs: needs logprobs to be true", param="top_logprobs")
    return body.n_probs or None
