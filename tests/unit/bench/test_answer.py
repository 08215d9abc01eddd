from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from bench.answer import Arrival, read_answer, read_response

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
USAGE = {"prompt_tokens": 20, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 5}}


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def event(**fields: object) -> bytes:
    return chunk(f"data: {json.dumps(fields)}\n\n".encode())


def text(piece: str, reason: str | None = None) -> bytes:
    return event(choices=[{"index": 0, "text": piece, "finish_reason": reason}])


DONE = chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"
WHOLE = [HEAD, text("a"), text("b") + text("c"), text("", "length"), event(choices=[], usage=USAGE), DONE]


def arrivals(parts: Sequence[bytes]) -> list[Arrival]:
    return [Arrival(float(place), part) for place, part in enumerate(parts, start=1)]


def test_a_whole_stream_gives_text_counts_and_times() -> None:
    answer = read_answer(0.5, arrivals(WHOLE))
    assert (answer.well, answer.text, answer.error) == (True, "abc", "")
    assert (answer.prompt_tokens, answer.computed_tokens, answer.output_tokens) == (20, 15, 3)
    assert (answer.first_token_seconds, answer.longest_gap, answer.ended) == (1.5, 1.0, 6.0)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
def test_where_the_network_cuts_the_bytes_changes_nothing_but_times(size: int) -> None:
    raw = b"".join(WHOLE)
    answer = read_answer(0.0, arrivals([raw[start : start + size] for start in range(0, len(raw), size)]))
    assert (answer.well, answer.text, answer.output_tokens) == (True, "abc", 3)


def test_a_chats_deltas_are_read_and_its_role_is_no_token() -> None:
    parts = [
        HEAD,
        event(choices=[{"delta": {"role": "assistant", "content": None}, "finish_reason": None}]),
        event(choices=[{"delta": {"content": "Hi"}, "finish_reason": None}]),
        event(choices=[{"delta": {}, "finish_reason": "stop"}]),
        DONE,
    ]
    answer = read_answer(0.0, arrivals(parts))
    assert (answer.well, answer.text, answer.first) == (True, "Hi", 3.0)


@pytest.mark.parametrize("kept", range(len(WHOLE)))
def test_a_stream_that_is_cut_off_did_not_end_well(kept: int) -> None:
    assert not read_answer(0.0, arrivals(WHOLE[:kept])).well


def test_an_error_in_the_stream_is_told() -> None:
    answer = read_answer(0.0, arrivals([HEAD, text("a"), event(error={"message": "the cache is full"}), DONE]))
    assert (answer.well, answer.error) == (False, "the cache is full")


def test_an_error_before_the_stream_is_told_with_its_status() -> None:
    answer = read_answer(0.0, arrivals([b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 5\r\n\r\nlater"]))
    assert (answer.well, answer.error) == (False, "status 429: later")


def test_llama_servers_own_count_of_computed_tokens_wins_over_usage() -> None:
    parts = [*WHOLE[:-1], event(choices=[], timings={"prompt_n": 7, "predicted_n": 9}), DONE]
    answer = read_answer(0.0, arrivals(parts))
    assert (answer.computed_tokens, answer.output_tokens) == (7, 3)


def test_comments_between_events_are_no_text() -> None:
    answer = read_answer(0.0, arrivals([HEAD, chunk(b":\n\n"), *WHOLE[1:]]))
    assert (answer.well, answer.first) == (True, 3.0)


def test_a_plain_body_comes_as_one_part_with_the_time_of_its_end() -> None:
    response = read_response(arrivals([b"HTTP/1.1 200 OK\r\n\r\n", b"o", b"k"]))
    assert response.body == (Arrival(3.0, b"ok"),)
