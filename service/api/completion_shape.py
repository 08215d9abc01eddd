"""Text completions in OpenAI's shape, with llama-server's additions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import UNSET

from service.api.answers import finish_reason, finite, piece_text, timings, token_logprobs, usage
from service.api.order import Order
from service.api.schemas.completions import Completion, CompletionChoice, CompletionLogprobs
from service.engine.requests import Delta, TokenChance, TokenProbabilities


class CompletionShape:
    """`echoes`: what each choice's text begins with, where the client asked for the prompt."""

    ends_with_done = True

    def __init__(self, order: Order, echoes: Sequence[str] = ()) -> None:
        self._order = order
        self._echoes = echoes
        self._shown = [0] * len(order.requests)
        self._ended: dict[int, Delta] = {}

    def opening(self) -> Sequence[Completion]:
        return [self._chunk(CompletionChoice(text=echo, index=index)) for index, echo in enumerate(self._echoes)]

    def piece(self, index: int, delta: Delta) -> Sequence[Completion]:
        chunks = []
        logprobs = self._logprobs(index, delta.probabilities)
        if delta.text:
            chunks.append(self._chunk(CompletionChoice(text=delta.text, index=index, logprobs=logprobs)))
            logprobs = None
            if self._order.timings_per_token:
                chunks[0].timings = timings(delta, len(self._order.requests[index].prompt))
        if delta.summary is not None:
            self._ended[index] = delta
            reason = finish_reason(delta.summary)
            last = self._chunk(CompletionChoice(text="", index=index, logprobs=logprobs, finish_reason=reason))
            chunks.append(last if self._order.include_usage else self._with_figures(last))
        return chunks

    def closing(self) -> Sequence[Completion]:
        return [self._with_figures(self._chunk())] if self._order.include_usage else []

    def whole(self, answers: Sequence[Delta]) -> Completion:
        choices = []
        for index, answer in enumerate(answers):
            if answer.summary is not None:
                self._ended[index] = answer
                text = (self._echoes[index] if self._echoes else "") + answer.text
                logprobs = self._logprobs(index, answer.probabilities)
                reason = finish_reason(answer.summary)
                choices.append(CompletionChoice(text=text, index=index, logprobs=logprobs, finish_reason=reason))
        return self._with_figures(self._chunk(*choices))

    def _with_figures(self, completion: Completion) -> Completion:
        """Usage and timings, once the last choice has ended."""
        if len(self._ended) == len(self._order.requests):
            summaries = [self._ended[index].summary for index in sorted(self._ended)]
            completion.usage = usage(self._order, [summary for summary in summaries if summary is not None])
            completion.timings = timings(self._ended[0], len(self._order.requests[0].prompt))
        return completion

    def _logprobs(self, index: int, chances: Sequence[TokenProbabilities]) -> CompletionLogprobs | None:
        """OpenAI's columns beside llama-server's list. The offsets count the characters of the tokens before."""
        if self._order.alternatives is None or not chances:
            return None
        tokens = [piece_text(chance.chosen.piece) for chance in chances]
        offsets = []
        for token in tokens:
            offsets.append(self._shown[index])
            self._shown[index] += len(token)
        return CompletionLogprobs(
            content=token_logprobs(self._order, chances),
            tokens=tokens,
            token_logprobs=[self._logprob(chance.chosen) for chance in chances],
            top_logprobs=[self._top(chance) for chance in chances],
            text_offset=offsets,
        )

    def _top(self, chance: TokenProbabilities) -> dict[str, float]:
        """The alternatives by text, the likelier of two with the same; the chosen token is among them, as OpenAI has it."""
        likeliest_last = [chance.chosen, *reversed(chance.top[: self._order.alternatives])]
        return {piece_text(other.piece): self._logprob(other) for other in likeliest_last}

    def _logprob(self, chance: TokenChance) -> float:
        """OpenAI's columns know only logarithms, also of what is left after the samplers."""
        if not self._order.requests[0].post_sampling_probabilities:
            return finite(chance.value)
        return finite(math.log(chance.value) if chance.value > 0 else -math.inf)

    def _chunk(self, *choices: CompletionChoice) -> Completion:
        order = self._order
        return Completion(
            choices=list(choices),
            created=order.created,
            model=order.model,
            system_fingerprint=order.fingerprint,
            usage=UNSET,
            id=order.id,
        )
