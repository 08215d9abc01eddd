"""Bringing a partial file to its full size, over as many connections as it takes.

A connection goes on a little before the end of what is there, and the overlap must be equal: that finds a server that lies about ranges,
and a file that changed although no header says so, before gigabytes of it have come.
"""

from __future__ import annotations

from enum import IntEnum

import httpx
import structlog

from service.errors import WrongContent
from service.fetch.asking import Asker, TryAgainError
from service.fetch.looking import CONTENT_RANGE, Facts, state_of, total_size
from service.fetch.partial import Partial
from service.fetch.patience import Patience
from service.fetch.progress import Progress
from service.fetch.sources import Source, at_commit

OVERLAP = 64 * 1024

log: structlog.stdlib.BoundLogger = structlog.get_logger("fetch")


class SourceChangedError(Exception):
    """The source has another file now than when it was looked at."""


class Ranges(IntEnum):
    """How a part is asked for; what does not work is given up step by step."""

    NONE = 0
    PLAIN = 1
    IF_SAME = 2


class Download:
    """One file on its way. `resumed` says whether more than one connection has brought it."""

    def __init__(self, asker: Asker, source: Source, facts: Facts, partial: Partial, progress: Progress) -> None:
        self._asker = asker
        self._source = at_commit(source, facts.commit)
        self._facts = facts
        self._partial = partial
        self._progress = progress
        # Without a sha256 and without anything that tells two states of the file apart, parts of both could be mixed.
        known = bool(facts.sha256 or facts.validator)
        self._ranges = (Ranges.IF_SAME if facts.validator else Ranges.PLAIN) if known else Ranges.NONE
        self._most = partial.size
        self.resumed = partial.size > 0

    def in_one_go(self) -> Download:
        """The same, asking for no parts any more."""
        self._ranges = Ranges.NONE
        return self

    def run(self, patience: Patience) -> None:
        """Returns when all bytes are there. Raises SourceChangedError, and what Patience and Asker raise."""
        if self._partial.size > self._facts.size:
            self._start_again("what is there is longer than the file")
        while self._partial.size < self._facts.size:
            try:
                self._take_one_answer()
            except TryAgainError as error:
                if self._partial.size > self._most:
                    self._most = self._partial.size
                    patience.progressed()
                patience.wait(error)

    def _take_one_answer(self) -> None:
        if self._ranges is Ranges.NONE and self._partial.size:
            self._start_again("the source gives no parts")
        self.resumed = self.resumed or self._partial.size > 0
        offset = max(0, self._partial.size - OVERLAP)
        with self._asker.ask(self._source, "GET", self._headers(offset)) as answer:
            self._refuse_another_file(answer)
            if (offset or answer.status_code == 206) and not self._begins_at(answer, offset):
                self._give_up_a_step()
                raise TryAgainError(f"asked for a part, it answered {answer.status_code} with something else")
            self._take(answer, offset)
        if self._partial.size < self._facts.size:
            raise TryAgainError(f"the connection ended at byte {self._partial.size} of {self._facts.size}")

    def _headers(self, offset: int) -> dict[str, str]:
        if not offset:
            return {}
        headers = {"Range": f"bytes={offset}-"}
        if self._ranges is Ranges.IF_SAME:
            headers["If-Range"] = self._facts.validator
        return headers

    def _refuse_another_file(self, answer: httpx.Response) -> None:
        """By its size; without a sha256 that decides in the end, by ETag or date too."""
        size = total_size(answer)
        # An answer to If-Range may leave the date away (RFC 9110, 15.3.7).
        other_state = not self._facts.sha256 and state_of(answer) not in ("", self._facts.state)
        if answer.status_code == 416 or size not in (-1, self._facts.size) or other_state:
            raise SourceChangedError

    def _begins_at(self, answer: httpx.Response, offset: int) -> bool:
        match = CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
        return answer.status_code == 206 and match is not None and int(match[1]) == offset

    def _give_up_a_step(self) -> None:
        """The part that was asked for did not come. The whole file in one go is the last thing that can be had."""
        self._ranges = Ranges(max(Ranges.NONE, self._ranges - 1))

    def _take(self, answer: httpx.Response, offset: int) -> None:
        position = offset
        # With a size of its own iter_raw would hold back, and lose, what a dropped connection had brought.
        for chunk in answer.iter_raw():
            data = chunk
            if position < self._partial.size:
                same = min(len(data), self._partial.size - position)
                if data[:same] != self._partial.tail(position, same):
                    self._differs()
                position, data = position + same, data[same:]
            if position + len(data) > self._facts.size:
                self._start_again("more came than the file has")
                raise TryAgainError("more bytes than announced")
            self._partial.append(data)
            position += len(data)
            self._progress.at(self._partial.size)

    def _differs(self) -> None:
        self._give_up_a_step()
        self._start_again("the part that came does not fit what is there")
        raise TryAgainError("another part than asked for, or another file")

    def _start_again(self, reason: str) -> None:
        log.warning("starting again", file=self._source.file_name, reason=reason, lost_bytes=self._partial.size)
        self._partial.restart()
        self.resumed = False


def check(source: Source, facts: Facts, sha256: str) -> None:
    """Raises WrongContent when what has come is not what was promised."""
    if facts.sha256 and sha256 != facts.sha256:
        raise WrongContent(f"{source.shown}: its sha256 is {sha256}, not {facts.sha256}")
