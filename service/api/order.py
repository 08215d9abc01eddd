"""One HTTP request as the engine and the answer's writer need it."""

from __future__ import annotations

from dataclasses import dataclass

from service.engine.requests import GenerationRequest


@dataclass(frozen=True, slots=True)
class Order:
    """What to generate and how to tell it. Choice i is request i; `copies` of them in a row share a prompt.

    `alternatives`: so many beside each token (0: the chosen one alone), None: no probabilities. `ping`: seconds of silence until
    a stream sends a comment, None: never.
    """

    id: str
    created: int
    model: str
    fingerprint: str
    requests: tuple[GenerationRequest, ...]
    copies: int = 1
    stream: bool = False
    include_usage: bool = False
    timings_per_token: bool = False
    return_tokens: bool = False
    alternatives: int | None = None
    ping: float | None = None
