"""Servers and networks as they are: what is resumed, what is begun again, what is given up."""

from __future__ import annotations

import errno
import os
import random

import pytest

from service.errors import NoRoom, SourceRefused, SourceUnreachable, WrongContent
from service.fetch.download import OVERLAP
from tests.component.fetch.conftest import Fetching
from tests.support.file_server import Answer, FileServer, gguf, sha256

CONTENT = gguf(1_000_000)
OTHER = gguf(1_000_000, seed=1)
HALF = 500_000
CUT = Answer(cut=HALF)


def sums(known: bool) -> tuple[str, ...]:
    return ("--sha256", sha256(CONTENT)) if known else ()


@pytest.mark.parametrize("known", [True, False])
def test_a_dropped_connection_goes_on_where_it_was(server: FileServer, fetching: Fetching, known: bool) -> None:
    served = server.serve("/tiny.gguf", CONTENT)
    served.answers.extend([CUT, Answer(cut=200_000)])
    assert fetching(server.url("/tiny.gguf"), *sums(known)).read_bytes() == CONTENT
    first, second, third = server.downloads
    assert "range" not in first.headers
    assert second.headers["range"] == f"bytes={HALF - OVERLAP}-"
    assert second.headers["if-range"] == served.state["ETag"]
    assert third.headers["range"] == f"bytes={HALF - 2 * OVERLAP + 200_000}-"
    assert server.sent < len(CONTENT) + 3 * OVERLAP


def test_dropping_again_and_again_is_fine_as_long_as_something_new_comes(
    server: FileServer, fetching: Fetching
) -> None:
    served = server.serve("/tiny.gguf", CONTENT)
    served.always = Answer(cut=OVERLAP + 40_000)
    assert fetching(server.url("/tiny.gguf"), "--retries", "1").read_bytes() == CONTENT
    assert len(server.downloads) > 20


@pytest.mark.parametrize("seed", range(5))
def test_any_mixture_of_faults_ends_with_the_right_bytes(server: FileServer, fetching: Fetching, seed: int) -> None:
    dice = random.Random(seed)
    served = server.serve("/tiny.gguf", CONTENT)
    kinds = [
        Answer(status=503), Answer(status=429), Answer(status=500), Answer(whole=True), Answer(lie=True, cut=300_000),
        Answer(shifted=True), Answer(extra=b"more"), Answer(cut=0), CUT, Answer(cut=150_000),
    ]  # fmt: skip
    served.answers.extend(dice.choices(kinds, k=12))
    assert fetching(server.url("/tiny.gguf"), "--retries", "20", *sums(dice.random() < 0.5)).read_bytes() == CONTENT
    assert fetching.names == {"tiny.gguf", "tiny.gguf.json", "tiny.gguf.lock"}


def test_without_anything_that_tells_two_states_apart_parts_are_not_mixed(
    server: FileServer, fetching: Fetching
) -> None:
    served = server.serve("/tiny.gguf", CONTENT, ETag='W/"weak"')
    served.answers.append(CUT)
    assert fetching(server.url("/tiny.gguf")).read_bytes() == CONTENT
    assert ["range" in request.headers for request in server.downloads] == [False, False]


def test_with_a_sha256_parts_are_fine_without_any_state(server: FileServer, fetching: Fetching) -> None:
    served = server.serve("/tiny.gguf", CONTENT, X_Nothing="1")
    served.answers.append(CUT)
    assert fetching(server.url("/tiny.gguf"), *sums(True)).read_bytes() == CONTENT
    last = server.downloads[-1].headers
    assert last["range"]
    assert "if-range" not in last


def test_a_date_of_change_is_enough_to_resume(server: FileServer, fetching: Fetching) -> None:
    date = "Sat, 01 Nov 2025 10:00:00 GMT"
    served = server.serve("/tiny.gguf", CONTENT, Last_Modified=date)
    served.answers.append(CUT)
    fetching(server.url("/tiny.gguf"))
    assert server.downloads[-1].headers["if-range"] == date


def test_a_server_that_gives_no_parts_is_read_from_the_beginning(server: FileServer, fetching: Fetching) -> None:
    served = server.serve("/tiny.gguf", CONTENT)
    served.always = Answer(whole=True)
    served.looks.append(Answer(whole=True, cut=100))
    served.answers.append(Answer(whole=True, cut=HALF))
    assert fetching(server.url("/tiny.gguf")).read_bytes() == CONTENT


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("lie", [Answer(lie=True), Answer(shifted=True)])
def test_a_server_that_lies_about_ranges_is_found_out(
    server: FileServer, fetching: Fetching, lie: Answer, known: bool
) -> None:
    served = server.serve("/tiny.gguf", CONTENT)
    served.answers.extend([CUT, lie])
    assert fetching(server.url("/tiny.gguf"), *sums(known)).read_bytes() == CONTENT


def test_a_server_that_lies_for_ever_can_still_give_the_whole(server: FileServer, fetching: Fetching) -> None:
    served = server.serve("/tiny.gguf", CONTENT)
    served.answers.append(CUT)
    served.always = Answer(lie=True)
    assert fetching(server.url("/tiny.gguf")).read_bytes() == CONTENT


def test_more_bytes_than_the_file_has_are_not_taken(server: FileServer, fetching: Fetching) -> None:
    served = server.serve("/tiny.gguf", CONTENT)
    served.answers.append(Answer(extra=b"surplus"))
    assert fetching(server.url("/tiny.gguf")).read_bytes() == CONTENT


def test_a_file_that_changes_meanwhile_is_fetched_as_it_is_now(server: FileServer, fetching: Fetching) -> None:
    served = server.serve("/tiny.gguf", CONTENT)
    served.answers.append(CUT)
    served.then = (OTHER, {"ETag": '"other"'})
    assert fetching(server.url("/tiny.gguf")).read_bytes() == OTHER
    assert fetching.said("the source has another file now")


def test_a_file_that_changes_without_a_word_is_found_by_its_sha256(server: FileServer, fetching: Fetching) -> None:
    mixed = CONTENT[:HALF] + OTHER[HALF:]
    served = server.serve("/tiny.gguf", mixed)
    served.answers.append(CUT)
    served.state = {"ETag": '"same"'}
    with pytest.raises(WrongContent, match=sha256(mixed)):
        fetching(server.url("/tiny.gguf"), *sums(True))
    assert fetching.said("the pieces have another sha256; fetching it once more as a whole")
    assert fetching.names == {"tiny.gguf.lock"}


def test_pieces_of_an_earlier_start_that_went_bad_are_fetched_again(server: FileServer, fetching: Fetching) -> None:
    served = server.serve("/tiny.gguf", CONTENT)
    served.answers.append(CUT)
    served.always = Answer(status=404)
    with pytest.raises(SourceRefused):
        fetching(server.url("/tiny.gguf"), *sums(True))
    partial = next(fetching.folder.glob("*.partial"))
    partial.write_bytes(b"GGUF" + bytes(HALF - OVERLAP) + partial.read_bytes()[HALF - OVERLAP + 4 :])
    served.always = Answer()
    assert fetching(server.url("/tiny.gguf"), *sums(True)).read_bytes() == CONTENT


def test_a_slow_server_is_no_fault_and_a_silent_one_is(server: FileServer, fetching: Fetching) -> None:
    served = server.serve("/tiny.gguf", CONTENT[:100_000])
    served.answers.append(Answer(pause=0.9))
    assert len(fetching(server.url("/tiny.gguf"), "--timeout", "0.5", "--retries", "3").read_bytes()) == 100_000
    assert "ReadTimeout" in fetching.said("trying again")[0]["reason"]
    served.answers.append(Answer(pause=0.1))
    (fetching.folder / "tiny.gguf").unlink()
    fetching(server.url("/tiny.gguf"), "--timeout", "0.5", "--retries", "0")


def test_progress_is_told_with_rate_and_time_left(server: FileServer, fetching: Fetching) -> None:
    server.serve("/tiny.gguf", CONTENT).always = Answer(pause=0.01)
    fetching(server.url("/tiny.gguf"), "--log-every", "0.1")
    told = [line for line in fetching.said("fetching") if "percent" in line]
    assert len(told) >= 3
    assert told[0]["bytes"] < told[1]["bytes"]
    assert told[0]["bytes_per_second"] > 0
    assert told[0]["seconds_left"] is not None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451])
def test_a_refusal_ends_it_at_once(server: FileServer, fetching: Fetching, status: int) -> None:
    server.serve("/tiny.gguf", CONTENT).looks.append(Answer(status=status))
    with pytest.raises(SourceRefused, match=f"tiny.gguf: answered {status}"):
        fetching(server.url("/tiny.gguf"))
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_passing_refusal_is_tried_again(server: FileServer, fetching: Fetching, status: int) -> None:
    server.serve("/tiny.gguf", CONTENT).looks.extend([Answer(status=status)] * 3)
    assert fetching(server.url("/tiny.gguf")).read_bytes() == CONTENT


def test_retry_after_is_heeded(server: FileServer, fetching: Fetching) -> None:
    server.serve("/tiny.gguf", CONTENT).looks.append(Answer(status=429, headers={"Retry-After": "1"}))
    fetching(server.url("/tiny.gguf"))
    assert [line["in_seconds"] for line in fetching.said("trying again")] == [1.0]


def test_trying_ends_and_what_came_stays_for_the_next_start(server: FileServer, fetching: Fetching) -> None:
    served = server.serve("/tiny.gguf", CONTENT)
    served.answers.append(CUT)
    served.always = Answer(status=503)
    with pytest.raises(SourceUnreachable, match="nothing new in 3 tries: answered 503"):
        fetching(server.url("/tiny.gguf"), "--retries", "2")
    served.always = Answer()
    fetching(server.url("/tiny.gguf"))
    assert server.downloads[-1].headers["range"] == f"bytes={HALF - OVERLAP}-"
    # The sum is of what an earlier start brought, too.
    assert fetching.said("fetched")[0]["sha256"] == sha256(CONTENT)


def test_nobody_listening_is_unreachable(fetching: Fetching) -> None:
    with pytest.raises(SourceUnreachable, match="ConnectError"):
        fetching("http://127.0.0.1:9/tiny.gguf", "--retries", "1")


def test_a_compressed_answer_is_refused(server: FileServer, fetching: Fetching) -> None:
    server.serve("/tiny.gguf", CONTENT).looks.append(Answer(headers={"Content-Encoding": "gzip"}))
    with pytest.raises(WrongContent, match="compressed"):
        fetching(server.url("/tiny.gguf"))


def test_a_full_disk_is_said_and_what_came_stays(
    server: FileServer, fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.serve("/tiny.gguf", CONTENT)
    real = os.pwrite

    def full(handle: int, data: bytes, offset: int) -> int:
        if offset > HALF:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(handle, data, offset)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(NoRoom, match="no room is left"):
        fetching(server.url("/tiny.gguf"))
    assert next(fetching.folder.glob("*.partial")).stat().st_size > HALF - 300_000
