"""Text to tokens and back, and messages to a prompt."""

from __future__ import annotations

from typing import Any

from litestar import Request, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from service.api.aside import aside
from service.api.context import Service
from service.api.describing import BODY_ERRORS, sample
from service.api.messages import chat_prompt
from service.api.prompts import token_text, tokenize_mixed, unknown_token
from service.api.schemas.chat import ChatRequest, TemplateAnswer
from service.api.schemas.text import DetokenizeAnswer, DetokenizeRequest, TokenizeAnswer, TokenizeRequest, TokenPiece
from service.api.unserved import refuse_unserved_in_template
from service.engine.model import Model

CHAT_SAMPLE = {"messages": [{"role": "user", "content": "Hello"}]}


@post(
    "/tokenize",
    status_code=200,
    summary="Text to tokens",
    tags=["Tokens"],
    responses=BODY_ERRORS,
    operation_class=sample({"content": "Hello world"}),
)
async def tokenize(
    data: JSONBody[TokenizeRequest], request: Request[Any, Any, Any], service: NamedDependency[Service]
) -> TokenizeAnswer:
    """The token ids of a text. `with_pieces` tells what each one stands for."""
    return await aside(request, _tokenized, service.engine.model, data)


def _tokenized(model: Model, data: TokenizeRequest) -> TokenizeAnswer:
    items = [data.content] if isinstance(data.content, str) else data.content or []
    tokens = tokenize_mixed(
        model,
        items,
        "content",
        add_special=bool(data.add_special),
        parse_special=data.parse_special is not False,
    )
    return TokenizeAnswer([_piece(model, token) if data.with_pieces else token for token in tokens])


@post(
    "/detokenize",
    status_code=200,
    summary="Tokens to text",
    tags=["Tokens"],
    responses=BODY_ERRORS,
    operation_class=sample({"tokens": [22557, 1526]}),
)
async def detokenize(
    data: JSONBody[DetokenizeRequest], request: Request[Any, Any, Any], service: NamedDependency[Service]
) -> DetokenizeAnswer:
    """The text of token ids."""
    return DetokenizeAnswer(await aside(request, _detokenized, service.engine.model, data.tokens or []))


def _detokenized(model: Model, tokens: list[int]) -> str:
    vocabulary = model.info.vocabulary
    for index, token in enumerate(tokens):
        if not 0 <= token < vocabulary:
            raise unknown_token(token, vocabulary, f"tokens[{index}]")
    return token_text(model, tokens)


@post(
    "/apply-template",
    status_code=200,
    summary="Messages to a prompt",
    tags=["Tokens"],
    responses=BODY_ERRORS,
    operation_class=sample(CHAT_SAMPLE),
)
async def apply_template(
    data: JSONBody[ChatRequest], request: Request[Any, Any, Any], service: NamedDependency[Service]
) -> TemplateAnswer:
    """The prompt that a chat completion of these messages would go on with."""
    refuse_unserved_in_template(data)
    return TemplateAnswer(await aside(request, chat_prompt, data, service.template))


def _piece(model: Model, token: int) -> TokenPiece:
    """A token's text; its bytes where those are not UTF-8 by themselves."""
    piece = model.piece(token)
    try:
        return TokenPiece(token, piece.decode())
    except UnicodeDecodeError:
        return TokenPiece(token, list(piece))
