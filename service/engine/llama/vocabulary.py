"""Text to tokens and back. Safe in any thread: llama.cpp's tokenizer is, and nothing here is freed while somebody is in it."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from llama_cpp import llama_cpp as native

from service.errors import Draining, InvalidRequest

PIECE_BYTES = 64


class Vocabulary:
    """The tokens of one model. `end_tokens` are those that end a generation, `suppressed` those the model forbids itself."""

    def __init__(self, model: int) -> None:
        self.pointer = native.llama_model_get_vocab(model)
        self.size = int(native.llama_vocab_n_tokens(self.pointer))
        self.kind = int(native.llama_vocab_type(self.pointer))
        self.bos = int(native.llama_vocab_bos(self.pointer))
        self.eos = int(native.llama_vocab_eos(self.pointer))
        self.adds_bos = bool(native.llama_vocab_get_add_bos(self.pointer))
        is_end = native.llama_vocab_is_eog
        self.end_tokens = frozenset(token for token in range(self.size) if is_end(self.pointer, token))
        self.suppressed = self._suppressed()
        self._plain: list[bytes | None] = [None] * self.size
        self._special: list[bytes | None] = [None] * self.size
        self._change = threading.Condition()
        self._inside = 0
        self._closed = False

    def _suppressed(self) -> tuple[int, ...]:
        count = ctypes.c_int32()
        tokens = native.llama_vocab_get_suppress_tokens(self.pointer, ctypes.byref(count))
        return tuple(tokens[index] for index in range(count.value))

    @contextmanager
    def _use(self) -> Iterator[None]:
        with self._change:
            if self._closed:
                raise Draining("The model is gone, the service is ending")
            self._inside += 1
        try:
            yield
        finally:
            with self._change:
                self._inside -= 1
                self._change.notify_all()

    def close(self) -> None:
        """Waits until nobody is inside; then every native call is refused and the model may be freed."""
        with self._change:
            self._closed = True
            self._change.wait_for(lambda: self._inside == 0)

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Token ids of a text. A lone surrogate, which no encoding has bytes for, counts as a question mark."""
        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        with self._use():
            while True:
                tokens = (ctypes.c_int32 * room)()
                count = native.llama_tokenize(self.pointer, data, len(data), tokens, room, add_special, parse_special)
                if count >= 0:
                    return list(tokens[:count])
                room = -count

    def piece(self, token: int, *, special: bool = True) -> bytes:
        """The bytes of a token; without `special` control tokens have none. Raises InvalidRequest for an unknown id."""
        if not 0 <= token < self.size:
            raise InvalidRequest(f"token {token} is not in the vocabulary (0 to {self.size - 1})", param="tokens")
        known = self._special if special else self._plain
        piece = known[token]
        if piece is None:
            piece = known[token] = self._native_piece(token, special)
        return piece

    def _native_piece(self, token: int, special: bool) -> bytes:
        room = PIECE_BYTES
        with self._use():
            while True:
                buffer = ctypes.create_string_buffer(room)
                length = native.llama_token_to_piece(self.pointer, token, buffer, room, 0, special)
                if length >= 0:
                    return buffer.raw[:length]
                room = -length

    def detokenize(self, tokens: Sequence[int]) -> bytes:
        """The pieces joined, control tokens too and the first space kept, as llama-server's /detokenize does."""
        return b"".join([self.piece(token) for token in tokens])

    def text(self, token: int) -> str:
        """A token as text; empty for the -1 of a token that the model does not have."""
        return self.piece(token).decode(errors="replace") if token >= 0 else ""
