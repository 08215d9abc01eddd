"""The native sampler chain of one request: llama-server's samplers, order and defaults (common/sampling.cpp)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from llama_cpp import llama_cpp as native

from service.engine.llama.dry import DrySamplers
from service.engine.llama.parameters import check, sampler_names, takes_the_likeliest
from service.engine.llama.vocabulary import Vocabulary
from service.engine.requests import SamplingParams

NativeSampler = Any  # a pointer of the binding, which has no types
MIROSTAT_CANDIDATES = 100


class Chain:
    """Owns the native samplers. `history` is how many of the last tokens they look at; fewer cannot change a choice.

    `greedy`: it always chooses the likeliest token that is not `forbidden`, so one who knows that one need not ask it.
    """

    def __init__(self, vocabulary: Vocabulary, dry: DrySamplers, params: SamplingParams, context: int) -> None:
        check(params, vocabulary.size)
        self._vocabulary = vocabulary
        self._dry = dry
        self._params = params
        self._seed = params.seed & 0xFFFFFFFF
        # Native samplers allocate a place for each of the last n tokens; a request never has more than the context.
        self._repeat_last = min(params.repeat_last_n, context) if params.repeat_last_n >= 0 else context
        self._dry_last = min(params.dry_penalty_last_n, context) if params.dry_penalty_last_n >= 0 else context
        names = sampler_names(params) if params.mirostat == 0 else []
        self.history = self._history(names)
        self.greedy = takes_the_likeliest(params, names, self.history)
        ends = vocabulary.end_tokens if params.ignore_eos else frozenset()
        self.forbidden = frozenset(ends) | frozenset(vocabulary.suppressed)
        self.pointer = self._build(names)

    def _history(self, names: list[str]) -> int:
        params = self._params
        penalties = (params.repeat_penalty, params.frequency_penalty, params.presence_penalty) != (1.0, 0.0, 0.0)
        repeat = self._repeat_last if penalties and "penalties" in names else 0
        dry = self._dry_last if params.dry_multiplier != 0.0 and "dry" in names else 0
        return max(repeat, dry)

    def _build(self, names: list[str]) -> NativeSampler:
        settings = native.llama_sampler_chain_default_params()
        settings.no_perf = True
        chain = native.llama_sampler_chain_init(settings)
        biases = self._biases()
        if biases:
            array = (native.llama_logit_bias * len(biases))(*biases)
            native.llama_sampler_chain_add(
                chain, native.llama_sampler_init_logit_bias(self._vocabulary.size, len(biases), array)
            )
        for sampler in self._samplers(names):
            native.llama_sampler_chain_add(chain, sampler)
        return chain

    def _biases(self) -> list[tuple[int, float]]:
        """The user's, then what ignore_eos forbids, then what the model forbids itself."""
        return [*self._params.logit_bias, *((token, -math.inf) for token in sorted(self.forbidden))]

    def _samplers(self, names: list[str]) -> list[NativeSampler]:
        """All after the biases. The last one chooses a token."""
        params, seed = self._params, self._seed
        if params.mirostat == 1:
            choose = native.llama_sampler_init_mirostat(
                self._vocabulary.size, seed, params.mirostat_tau, params.mirostat_eta, MIROSTAT_CANDIDATES
            )
            return [native.llama_sampler_init_temp(params.temperature), choose]
        if params.mirostat == 2:
            choose = native.llama_sampler_init_mirostat_v2(seed, params.mirostat_tau, params.mirostat_eta)
            return [native.llama_sampler_init_temp(params.temperature), choose]
        makers = self._makers()
        samplers = [makers[name]() for name in names if name != "adaptive_p"]
        if "adaptive_p" in names:
            return [
                *samplers,
                native.llama_sampler_init_adaptive_p(params.adaptive_target, params.adaptive_decay, seed),
            ]
        return [*samplers, native.llama_sampler_init_dist(seed)]

    def _makers(self) -> dict[str, Callable[[], NativeSampler]]:
        params, keep, vocabulary = self._params, max(self._params.min_keep, 0), self._vocabulary
        return {
            "penalties": lambda: native.llama_sampler_init_penalties(
                vocabulary.size,
                self._repeat_last,
                params.repeat_penalty,
                params.frequency_penalty,
                params.presence_penalty,
            ),
            "dry": lambda: self._dry.make(params, self._dry_last),
            "top_n_sigma": lambda: native.llama_sampler_init_top_n_sigma(params.top_n_sigma),
            "top_k": lambda: native.llama_sampler_init_top_k(params.top_k),
            "typ_p": lambda: native.llama_sampler_init_typical(params.typical_p, keep),
            "top_p": lambda: native.llama_sampler_init_top_p(params.top_p, keep),
            "min_p": lambda: native.llama_sampler_init_min_p(params.min_p, keep),
            "xtc": lambda: native.llama_sampler_init_xtc(
                params.xtc_probability, params.xtc_threshold, keep, self._seed
            ),
            "temperature": lambda: native.llama_sampler_init_temp_ext(
                params.temperature, params.dynatemp_range, params.dynatemp_exponent
            ),
            "infill": lambda: native.llama_sampler_init_infill(vocabulary.pointer),
        }

    def accept(self, token: int) -> None:
        native.llama_sampler_accept(self.pointer, token)

    def close(self) -> None:
        native.llama_sampler_free(self.pointer)
