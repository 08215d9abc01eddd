"""Chooses the tokens of one request with its native chain."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from llama_cpp import llama_cpp as native
from numpy.typing import NDArray

from service.engine.llama.chain import Chain, NativeSampler
from service.engine.llama.probabilities import CANDIDATE, chosen_probabilities, log_probabilities
from service.engine.llama.vocabulary import Vocabulary
from service.engine.requests import GenerationRequest, Sample, TokenProbabilities


class Decoded(Protocol):
    """The last decode, as a sampler sees it. Both raise ValueError for a group that wanted no logits."""

    def draw(self, chain: NativeSampler, group: int) -> int: ...
    def logits(self, group: int) -> NDArray[np.float32]: ...


class LlamaSampler:
    """Implements engine/model.py's Sampler."""

    def __init__(self, decoded: Decoded, chain: Chain, vocabulary: Vocabulary, request: GenerationRequest) -> None:
        self._decoded = decoded
        self._chain = chain
        self._vocabulary = vocabulary
        self._probabilities = min(request.probabilities, vocabulary.size)
        self._post_sampling = request.post_sampling_probabilities

    def see(self, prompt: Sequence[int]) -> None:
        """Shows the prompt to the samplers that look back, as far as they look."""
        if self._chain.history:
            for token in prompt[-self._chain.history :]:
                self._chain.accept(token)

    def sample(self, row: int) -> Sample:
        """Chooses and remembers a token. Control tokens have no text, as in llama-server's answers."""
        chances: TokenProbabilities | None = None
        if self._probabilities and self._post_sampling:
            token, chances = self._sample_candidates(row)
        else:
            token = self._draw(row)
            if self._probabilities:
                chances = log_probabilities(self._decoded.logits(row), token, self._probabilities, self._piece)
        return Sample(token, self._piece(token), token in self._vocabulary.end_tokens, chances)

    def _draw(self, row: int) -> int:
        """The chain sorts the whole vocabulary, a tenth of what a small model's row costs; the likeliest token is found without."""
        if self._chain.greedy:
            token = int(np.argmax(self._decoded.logits(row)))
            if token not in self._chain.forbidden:
                return token
        return self._decoded.draw(self._chain.pointer, row)

    def _sample_candidates(self, row: int) -> tuple[int, TokenProbabilities]:
        """What llama_sampler_sample does, on candidates that can be looked at afterwards."""
        candidates = np.zeros(self._vocabulary.size, CANDIDATE)
        candidates["id"] = np.arange(self._vocabulary.size)
        candidates["logit"] = self._decoded.logits(row)
        address = candidates.ctypes.data
        array = native.llama_token_data_array(
            ctypes.cast(address, native.llama_token_data_p), self._vocabulary.size, -1, False
        )
        native.llama_sampler_apply(self._chain.pointer, ctypes.byref(array))
        # A sampler that cuts off the likeliest tokens moves the beginning.
        first = (ctypes.addressof(array.data.contents) - address) // CANDIDATE.itemsize
        left = candidates[first : first + array.size]
        token = int(left[array.selected]["id"])
        self._chain.accept(token)
        return token, chosen_probabilities(left, array.selected, self._probabilities, self._piece)

    def _piece(self, token: int) -> bytes:
        return self._vocabulary.piece(token, special=False)

    def close(self) -> None:
        self._chain.close()
