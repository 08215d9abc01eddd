"""llama-server's own format: `/completion` and `/completions`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from service.api.answers import timings, token_logprobs
from service.api.generation_settings import generation_settings
from service.api.order import Order
from service.api.schemas.completions import NativeAnswer
from service.engine.requests import Delta, Summary


class NativeShape:
    """One object, or several for several prompts. `prompts` are the prompts' texts, `fields` what the client wants of the answer."""

    ends_with_done = False

    def __init__(self, order: Order, prompts: Sequence[str], fields: Sequence[str] = ()) -> None:
        self._order = order
        self._prompts = prompts
        self._fields = fields
        self._with_newline: set[int] = set()

    def opening(self) -> Sequence[object]:
        return []

    def piece(self, index: int, delta: Delta) -> Sequence[object]:
        self._note_newline(index, delta)
        events: list[object] = []
        if delta.text:
            events.append(self._part(index, delta))
        if delta.summary is not None:
            events.append(
                self._selected(
                    self._end(
                        index,
                        Delta(
                            generated_tokens=delta.generated_tokens,
                            cached_tokens=delta.cached_tokens,
                            timings=delta.timings,
                        ),
                        delta.summary,
                    )
                )
            )
        return events

    def closing(self) -> Sequence[object]:
        return []

    def whole(self, answers: Sequence[Delta]) -> object:
        objects = []
        for index, answer in enumerate(answers):
            if answer.summary is not None:
                self._note_newline(index, answer)
                objects.append(self._selected(self._end(index, answer, answer.summary)))
        return objects[0] if len(objects) == 1 else objects

    def _note_newline(self, index: int, delta: Delta) -> None:
        if "\n" in delta.text:
            self._with_newline.add(index)

    def _part(self, index: int, delta: Delta) -> NativeAnswer:
        request = self._order.requests[index]
        answer = NativeAnswer(
            index=index,
            content=delta.text,
            tokens=list(delta.tokens),
            stop=False,
            tokens_predicted=delta.generated_tokens,
            tokens_evaluated=len(request.prompt),
        )
        if self._order.timings_per_token:
            answer.timings = timings(delta, len(request.prompt))
        if self._order.alternatives is not None and delta.probabilities:
            answer.completion_probabilities = token_logprobs(self._order, delta.probabilities)
        return answer

    def _end(self, index: int, delta: Delta, summary: Summary) -> NativeAnswer:
        request = self._order.requests[index]
        answer = self._part(index, delta)
        if not self._order.return_tokens:
            answer.tokens = []
        answer.stop = True
        answer.timings = timings(delta, len(request.prompt))
        answer.model = self._order.model
        answer.generation_settings = generation_settings(
            request, stream=self._order.stream, timings_per_token=self._order.timings_per_token
        )
        answer.prompt = self._prompts[index // self._order.copies]
        answer.has_new_line = index in self._with_newline
        answer.truncated = summary.truncated
        answer.stop_type = summary.reason.value
        answer.stopping_word = summary.stopping_word
        answer.tokens_cached = len(request.prompt) + max(summary.generated_tokens - 1, 0)
        return answer

    def _selected(self, answer: NativeAnswer) -> object:
        """Only the fields that were asked for; `a/b` is b of a."""
        if not self._fields:
            return answer
        plain = msgspec.to_builtins(answer)
        chosen: dict[str, Any] = {}
        for field in self._fields:
            value: Any = plain
            *_, name = path = field.split("/")
            for step in path:
                value = value.get(step, msgspec.UNSET) if isinstance(value, dict) else msgspec.UNSET
            if value is not msgspec.UNSET:
                chosen[name] = value
        return chosen
