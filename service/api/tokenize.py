"""Text to tokens and back, and messages to a prompt."""

from __future__ import annotations

from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from service.api.chat_ordering import render_chat
from service.api.context import Service
from service.api.describing import BODY_ERRORS, sample
from service.api.prompts import check_token, tokenize_mixed
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
async def tokenize(data: JSONBody[TokenizeRequest], service: NamedDependency[Service]) -> TokenizeAnswer:
    """The token ids of a text. `with_pieces` tells what each one stands for."""
    model = service.engine.model
    items = [data.content] if isinstance(data.content, str) else data.content or []
    tokens = await tokenize_mixed(
        service.engine,
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
async def detokenize(data: JSONBody[DetokenizeRequest], service: NamedDependency[Service]) -> DetokenizeAnswer:
    """The text of token ids."""
    vocabulary = service.engine.model.info.vocabulary
    for index, token in enumerate(data.tokens or []):
        check_token(token, vocabulary, f"tokens[{index}]")
    return DetokenizeAnswer(await service.engine.detokenize(data.tokens or []))


@post(
    "/apply-template",
    status_code=200,
    summary="Messages to a prompt",
    tags=["Tokens"],
    responses=BODY_ERRORS,
    operation_class=sample(CHAT_SAMPLE),
)
async def apply_template(data: JSONBody[ChatRequest], service: NamedDependency[Service]) -> TemplateAnswer:
    """The prompt that a chat completion of these messages would go on with."""
    refuse_unserved_in_template(data)
    return TemplateAnswer(await render_chat(service, data))


def _piece(model: Model, token: int) -> TokenPiece:
    """A token's text; its bytes where those are not UTF-8 by themselves."""
    piece = model.piece(token)
    try:
        return TokenPiece(token, piece.decode())
    except UnicodeDecodeError:
        return TokenPiece(token, list(piece))
