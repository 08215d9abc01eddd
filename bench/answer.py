"""Reads a stream after it has ended: HTTP/1.1 (RFC 9112, also chunked), server-sent events, OpenAI's chunks; with the time of each."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any


@dataclass(frozen=True, slots=True)
class Arrival:
    """Bytes and the time they came, in seconds of `perf_counter`."""

    at: float
    data: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response; `body` without the transfer's framing. Status 0: nothing readable came."""

    status: int
    body: tuple[Arrival, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request. Times in seconds; `first` and `ended` are readings of `perf_counter`.

    `well` means: status 200, a finish reason, no error, and `[DONE]`. `longest_gap` lies between two pieces of text. Without usage
    (a failed stream) the token counts are 0.
    """

    well: bool
    error: str
    text: str
    started: float
    first: float | None
    ended: float
    longest_gap: float
    output_tokens: int
    prompt_tokens: int
    computed_tokens: int

    @property
    def first_token_seconds(self) -> float | None:
        return None if self.first is None else self.first - self.started


def read_response(arrivals: Sequence[Arrival]) -> Response:
    """Splits head and body; a part of a body keeps the time at which its last byte came."""
    raw = b"".join(arrival.data for arrival in arrivals)
    head, separator, _ = raw.partition(b"\r\n\r\n")
    if not separator or not head.startswith(b"HTTP/1."):
        return Response(0, ())
    start = len(head) + len(separator)
    chunked = b"transfer-encoding: chunked" in head.lower()
    spans = chunk_spans(raw, start) if chunked else [(start, len(raw))]
    # Not chunked means not a stream here: one part, with the time of its end.
    ends = list(accumulate(len(arrival.data) for arrival in arrivals))
    body = tuple(Arrival(arrivals[bisect_left(ends, end)].at, raw[begin:end]) for begin, end in spans if end > begin)
    return Response(int(head.split(b" ", 2)[1]), body)


def chunk_spans(raw: bytes, start: int) -> Iterator[tuple[int, int]]:
    """Begin and end of each chunk's data (RFC 9112, 7.1); stops where the bytes stop."""
    while (line_end := raw.find(b"\r\n", start)) >= 0:
        size = int(raw[start:line_end].split(b";")[0], 16)
        begin = line_end + 2
        if size == 0 or begin + size > len(raw):
            return
        yield begin, begin + size
        start = begin + size + 2


def events(body: Sequence[Arrival]) -> Iterator[tuple[float, str]]:
    """Time and data of each server-sent event; comments are left out."""
    buffer = b""
    for part in body:
        buffer += part.data
        *whole, buffer = buffer.split(b"\n\n")
        for event in whole:
            if event.startswith(b"data: "):
                yield part.at, event.removeprefix(b"data: ").decode()


def read_answer(started: float, arrivals: Sequence[Arrival]) -> Answer:
    """Everything that figures need of one stream."""
    response = read_response(arrivals)
    ended = arrivals[-1].at if arrivals else started
    pieces: list[tuple[float, str]] = []
    last: dict[str, Any] = {}
    error, finished, done = "", False, False
    if response.status != 200:
        error = f"status {response.status}: {b''.join(part.data for part in response.body).decode(errors='replace')}"
    for at, data in events(response.body):
        if data == "[DONE]":
            done = True
            continue
        chunk = json.loads(data)
        error = error or message_of(chunk)
        text, reason = piece_of(chunk)
        finished = finished or reason is not None
        if text:
            pieces.append((at, text))
        last |= {name: chunk[name] for name in ("usage", "timings") if chunk.get(name)}
    prompt_tokens, computed_tokens, output_tokens = counts(last)
    return Answer(
        well=finished and done and not error,
        error=error,
        text="".join(text for _, text in pieces),
        started=started,
        first=pieces[0][0] if pieces else None,
        ended=ended,
        longest_gap=max((later - earlier for (earlier, _), (later, _) in pairwise(pieces)), default=0.0),
        output_tokens=output_tokens,
        prompt_tokens=prompt_tokens,
        computed_tokens=computed_tokens,
    )


def message_of(chunk: dict[str, Any]) -> str:
    """The error that an event carries, or nothing."""
    error = chunk.get("error")
    return str(error.get("message", error) if isinstance(error, dict) else error) if error else ""


def piece_of(chunk: dict[str, Any]) -> tuple[str, str | None]:
    """Text and finish reason of a completion's or a chat's chunk."""
    for choice in chunk.get("choices") or ():
        text = choice.get("text") or (choice.get("delta") or {}).get("content") or ""
        return text, choice.get("finish_reason")
    return "", None


def counts(last: dict[str, Any]) -> tuple[int, int, int]:
    """Prompt tokens, those of them that were computed, and output tokens; from usage, and llama-server's timings where they are."""
    usage, timings = last.get("usage") or {}, last.get("timings") or {}
    prompt = usage.get("prompt_tokens", 0)
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    return (
        prompt,
        timings.get("prompt_n", prompt - cached),
        usage.get("completion_tokens", timings.get("predicted_n", 0)),
    )
