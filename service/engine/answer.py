"""What one sequence has to say: its samples become deltas, up to the last one."""

from __future__ import annotations

from service.engine.output import Emission, TextOutput
from service.engine.requests import Delta, Sample, StopReason, Summary
from service.engine.sequence import Sequence


class Answer:
    """The text side of a sequence."""

    __slots__ = ("_output", "sequence")

    def __init__(self, sequence: Sequence) -> None:
        self.sequence = sequence
        self._output = TextOutput(sequence.request.stop)

    def take(self, sample: Sample, now: float) -> Delta:
        """The next token; the delta has a summary when it was the last."""
        self.sequence.append(sample.token, now)
        emission = self._output.push(sample)
        reason = self._reason(sample, emission)
        if reason is not None and not emission.stopping_word:
            emission.join(self._output.flush())
        return self._delta(emission, reason, now)

    def end_prompt(self, now: float) -> Delta:
        """Only the prompt was wanted, and it is computed."""
        return self._delta(Emission(), StopReason.LIMIT, now)

    def _reason(self, sample: Sample, emission: Emission) -> StopReason | None:
        if sample.is_end:
            return StopReason.END
        if emission.stopping_word:
            return StopReason.WORD
        return StopReason.LIMIT if len(self.sequence.tokens) >= self.sequence.limit else None

    def _delta(self, emission: Emission, reason: StopReason | None, now: float) -> Delta:
        sequence = self.sequence
        return Delta(
            text=emission.text,
            tokens=tuple(emission.tokens),
            probabilities=tuple(emission.probabilities),
            generated_tokens=sequence.generated,
            cached_tokens=sequence.cached,
            timings=sequence.timings(now),
            summary=None if reason is None else self._summary(reason, emission.stopping_word, now),
        )

    def _summary(self, reason: StopReason, stopping_word: str, now: float) -> Summary:
        sequence = self.sequence
        return Summary(
            reason=reason,
            prompt_tokens=len(sequence.request.prompt),
            cached_tokens=sequence.cached,
            generated_tokens=sequence.generated,
            timings=sequence.timings(now),
            stopping_word=stopping_word,
            truncated=reason is StopReason.LIMIT and sequence.generated != sequence.request.max_tokens,
        )
