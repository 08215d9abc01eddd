"""Chat completions, whole and in chunks, and the envelope of `/infer`."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET, UnsetType

from service.api.answers import chat_logprobs, finish_reason, timings, usage
from service.api.order import Order
from service.api.schemas.answers import TimingsBody
from service.api.schemas.chat import (
    AnswerMessage,
    ChatChoice,
    ChatChunk,
    ChatCompletion,
    ChatDelta,
    ChunkChoice,
    InferAnswer,
    InferChunk,
)
from service.engine.requests import Delta


class ChatShape:
    """OpenAI's chat completion with llama-server's `timings`."""

    ends_with_done = True

    def __init__(self, order: Order) -> None:
        self._order = order
        self._ended: dict[int, Delta] = {}

    def opening(self) -> list[ChatChunk]:
        delta = ChatDelta(role="assistant", content=None)
        return [self._chunk([ChunkChoice(index=index, delta=delta)]) for index in range(len(self._order.requests))]

    def piece(self, index: int, delta: Delta) -> list[ChatChunk]:
        chunks: list[ChatChunk] = []
        choice = ChunkChoice(index=index, delta=ChatDelta())
        if logprobs := chat_logprobs(self._order, delta.probabilities):
            choice.logprobs = logprobs
        if delta.text:
            choice.delta = ChatDelta(content=delta.text)
            chunks.append(self._chunk([choice], self._timings(index, delta)))
            choice = ChunkChoice(index=index, delta=ChatDelta())
        if delta.summary is not None:
            self._ended[index] = delta
            choice.finish_reason = finish_reason(delta.summary)
            chunks.append(self._chunk([choice], self._timings(index, delta)))
        return chunks

    def closing(self) -> list[ChatChunk]:
        if not self._order.include_usage:
            return []
        chunk = self._chunk([], timings(self._ended[0], len(self._order.requests[0].prompt)))
        summaries = [self._ended[index].summary for index in sorted(self._ended)]
        chunk.usage = usage(self._order, [summary for summary in summaries if summary is not None])
        return [chunk]

    def whole(self, answers: Sequence[Delta]) -> ChatCompletion:
        order = self._order
        summaries = [answer.summary for answer in answers if answer.summary is not None]
        return ChatCompletion(
            choices=[
                ChatChoice(
                    finish_reason=finish_reason(summary),
                    index=index,
                    message=AnswerMessage(content=answer.text),
                    logprobs=chat_logprobs(order, answer.probabilities),
                )
                for index, (answer, summary) in enumerate(zip(answers, summaries, strict=True))
            ],
            created=order.created,
            model=order.model,
            system_fingerprint=order.fingerprint,
            usage=usage(order, summaries),
            id=order.id,
            timings=timings(answers[0], len(order.requests[0].prompt)),
        )

    def _timings(self, index: int, delta: Delta) -> TimingsBody | UnsetType:
        """On the last chunk, and on all where the client asked for it. A chunk with usage has them instead."""
        last = len(self._ended) == len(self._order.requests) and not self._order.include_usage
        if not last and not self._order.timings_per_token:
            return UNSET
        return timings(delta, len(self._order.requests[index].prompt))

    def _chunk(self, choices: list[ChunkChoice], figures: TimingsBody | UnsetType = UNSET) -> ChatChunk:
        order = self._order
        return ChatChunk(
            choices=choices,
            created=order.created,
            id=order.id,
            model=order.model,
            system_fingerprint=order.fingerprint,
            timings=figures,
        )


class InferShape:
    """`/infer`: a chat completion, with everything in `resp`."""

    ends_with_done = True

    def __init__(self, order: Order) -> None:
        self._chat = ChatShape(order)

    def opening(self) -> list[object]:
        return [InferChunk(chunk) for chunk in self._chat.opening()]

    def piece(self, index: int, delta: Delta) -> list[object]:
        return [InferChunk(chunk) for chunk in self._chat.piece(index, delta)]

    def closing(self) -> list[object]:
        return [InferChunk(chunk) for chunk in self._chat.closing()]

    def whole(self, answers: Sequence[Delta]) -> InferAnswer:
        return InferAnswer(self._chat.whole(answers))
