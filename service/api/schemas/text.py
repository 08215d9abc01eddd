"""Text to tokens and back."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct


class TokenizeRequest(Struct, kw_only=True):
    """The body of `/tokenize`."""

    content: Annotated[str | list[Any] | None, Meta(description="A text, or texts and token ids mixed.")] = None
    add_special: Annotated[bool | None, Meta(description="Put the beginning-of-sequence token first.")] = None
    parse_special: Annotated[bool | None, Meta(description="Read `<s>` and the like as tokens (default).")] = None
    with_pieces: Annotated[bool | None, Meta(description="Tell each token's text too.")] = None


class TokenPiece(Struct):
    """A token and its text; bytes where those are not UTF-8."""

    id: int
    piece: str | list[int]


class TokenizeAnswer(Struct):
    """The tokens."""

    tokens: list[int | TokenPiece]


class DetokenizeRequest(Struct, kw_only=True):
    """The body of `/detokenize`."""

    tokens: Annotated[list[int] | None, Meta(description="Token ids.")] = None


class DetokenizeAnswer(Struct):
    """The text of the tokens."""

    content: str
