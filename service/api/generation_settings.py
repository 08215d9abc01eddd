"""What a text is or would be generated with, in llama-server's words (tools/server/server-task.cpp, `task_params::to_json`)."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from service.engine.requests import GenerationRequest

FIXED: dict[str, Any] = {
    "n_keep": 0,
    "n_discard": 0,
    "grammar": "",
    "grammar_lazy": False,
    "grammar_triggers": [],
    "preserved_tokens": [],
    "chat_format": "Content-only",
    "reasoning_format": "none",
    "reasoning_in_content": False,
    "thinking_forced_open": False,
    "generation_prompt": "",
    "speculative.types": "none",
    "speculative.n_max": 16,
    "speculative.n_min": 0,
    "speculative.p_min": 0.75,
    "backend_sampling": False,
    "lora": [],
}
"""What clients of llama-server may look for and what has one value here."""


def generation_settings(request: GenerationRequest, *, stream: bool, timings_per_token: bool = False) -> dict[str, Any]:
    """The settings of one request; its prompt is not among them."""
    sampling = asdict(request.sampling)
    sampling["logit_bias"] = [
        {"bias": bias if math.isfinite(bias) else None, "token": token} for token, bias in request.sampling.logit_bias
    ]
    return {
        **sampling,
        **FIXED,
        "stop": list(request.stop),
        "max_tokens": request.max_tokens,
        "n_predict": request.max_tokens,
        "stream": stream,
        "timings_per_token": timings_per_token,
        "n_probs": request.probabilities,
        "post_sampling_probs": request.post_sampling_probabilities,
    }
