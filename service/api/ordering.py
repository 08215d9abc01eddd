"""From a request's fields and its prompts to an order."""

from __future__ import annotations

import secrets
import string
import time
from collections.abc import Sequence
from dataclasses import replace

from service.api.context import Service
from service.api.order import Order
from service.api.sampling import sampling_params
from service.api.schemas.fields import GenerationFields
from service.api.unserved import refuse_unserved
from service.engine.requests import RANDOM_SEED, GenerationRequest, SamplingParams
from service.errors import InvalidRequest

LETTERS = string.ascii_letters + string.digits


def make_order(
    service: Service, body: GenerationFields, prompts: Sequence[tuple[int, ...]], alternatives: int | None
) -> Order:
    """Raises NotServed and InvalidRequest, which name the field. `check_number` has been asked before the prompts were read."""
    refuse_unserved(body)
    copies = _copies_of(body)
    name = completion_id()
    sampling = sampling_params(body, service.default_sampling, service.engine.model, service.engine.limits.context)
    first = GenerationRequest(
        id=name,
        prompt=(),
        sampling=sampling,
        max_tokens=_first(body.n_predict, body.max_completion_tokens, body.max_tokens, service.settings.n_predict),
        stop=_stop_texts(body.stop),
        probabilities=0 if alternatives is None else max(alternatives, 1),
        post_sampling_probabilities=bool(body.post_sampling_probs),
        reuse_cache=service.settings.cache_prompt if body.cache_prompt is None else body.cache_prompt,
        salt=body.cache_salt or "",
        priority=body.priority or 0,
        deadline=body.timeout or 0.0,
    )
    return Order(
        id=name,
        created=int(time.time()),
        model=body.model or service.model_name,
        fingerprint=service.fingerprint,
        requests=tuple(_copies(first, prompts, copies)),
        copies=copies,
        stream=bool(body.stream),
        include_usage=bool(body.stream_options and body.stream_options.include_usage),
        timings_per_token=bool(body.timings_per_token),
        return_tokens=bool(body.return_tokens),
        alternatives=alternatives,
        ping=_ping(_first(body.sse_ping_interval, service.settings.sse_ping_interval)),
    )


def completion_id() -> str:
    """A name in OpenAI's and llama-server's form."""
    return "chatcmpl-" + "".join(secrets.choice(LETTERS) for _ in range(32))


def check_number(service: Service, prompts: int, body: GenerationFields) -> None:
    """Raises InvalidRequest where these prompts ask for more texts than could ever be taken at once."""
    limits = service.engine.limits
    number, most = prompts * _copies_of(body), limits.parallel + limits.queue
    if number > most:
        raise InvalidRequest(f"prompt: {number} texts in one request, no more than {most} are taken", param="prompt")


def _copies_of(body: GenerationFields) -> int:
    return body.n_cmpl or body.n or 1


def _copies(first: GenerationRequest, prompts: Sequence[tuple[int, ...]], copies: int) -> list[GenerationRequest]:
    return [
        replace(
            first, id=f"{first.id}-{index * copies + copy}", prompt=prompt, sampling=_reseeded(first.sampling, copy)
        )
        for index, prompt in enumerate(prompts)
        for copy in range(copies)
    ]


def _reseeded(sampling: SamplingParams, copy: int) -> SamplingParams:
    """Each copy of a prompt has its own seed, as in llama-server: seed, seed + 1 …"""
    if copy == 0 or sampling.seed == RANDOM_SEED:
        return sampling
    return replace(sampling, seed=(sampling.seed + copy) % RANDOM_SEED)


def _stop_texts(stop: str | list[str] | None) -> tuple[str, ...]:
    texts = [stop] if isinstance(stop, str) else stop or []
    return tuple(text for text in texts if text)


def _first(*values: int | None) -> int:
    return next(value for value in values if value is not None)


def _ping(seconds: int) -> float | None:
    return float(seconds) if seconds > 0 else None
