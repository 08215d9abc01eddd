"""How likely the chosen token and its rivals were, as llama-server counts it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from service.engine.requests import TokenChance, TokenProbabilities

LOWEST = float(np.finfo(np.float32).min)
"""Stands for the logarithm of 0, which JSON cannot say."""

CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
"""llama.h, `llama_token_data`."""

PieceOf = Callable[[int], bytes]


def log_probabilities(logits: NDArray[np.float32], token: int, count: int, piece: PieceOf) -> TokenProbabilities:
    """Natural logarithms of the model's own distribution, before any sampler. `logits` is the raw row, one value a token."""
    highest = logits.max()
    total = float(highest) + math.log(np.exp(logits - highest).sum(dtype=np.float64))

    def chance(other: int) -> TokenChance:
        return TokenChance(other, piece(other), max(float(logits[other]) - total, LOWEST))

    return TokenProbabilities(chance(token), tuple(chance(int(other)) for other in most(logits, count)))


def most(values: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """Indices of the `count` highest values, highest first; among equals the lower index."""
    candidates = np.arange(len(values))
    if count < len(values):
        threshold = np.partition(values, -count)[-count]
        candidates = np.flatnonzero(values >= threshold)
    return candidates[np.argsort(-values[candidates], kind="stable")][:count]


def chosen_probabilities(candidates: NDArray[np.void], selected: int, count: int, piece: PieceOf) -> TokenProbabilities:
    """Probabilities after the sampler chain. `candidates` (dtype CANDIDATE) are what it left; those of 0 are not told."""
    order = np.argsort(-candidates["p"], kind="stable")[:count]
    chosen = candidates[selected]
    return TokenProbabilities(
        TokenChance(int(chosen["id"]), piece(int(chosen["id"])), float(chosen["p"])),
        tuple(
            TokenChance(int(other["id"]), piece(int(other["id"])), float(other["p"]))
            for other in candidates[order]
            if other["p"] > 0
        ),
    )
