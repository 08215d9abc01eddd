"""What a source says about a file before it is downloaded: size, identity, sha256, and that it begins like a GGUF.

One question for the first four bytes answers all of it, and unlike HEAD it is allowed by a presigned address too. The hub is asked by
HEAD first, as huggingface_hub does (`get_hf_file_metadata`): its own answer, not its store's, has the commit and the sha256.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import httpx

from service.errors import WrongContent
from service.fetch.asking import Asker, TryAgainError
from service.fetch.sources import Kind, Source, at_commit

MAGIC = b"GGUF"
HUB_COMMIT, HUB_SUM, HUB_SIZE = "x-repo-commit", "x-linked-etag", "x-linked-size"
"""Headers of the hub (huggingface_hub's constants): the commit, the sha256 of a large file, its size."""
CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of the file. `sha256` and `state` (its ETag, else Last-Modified) are empty where nobody told."""

    size: int
    sha256: str = ""
    state: str = ""
    commit: str = ""

    @property
    def validator(self) -> str:
        """What If-Range may carry (RFC 9110, 13.1.5); a weak ETag may stand for other bytes, so it is none."""
        return "" if self.state.startswith("W/") else self.state

    def tag(self, source: Source) -> str:
        """Names what was begun: another file, or another state of it, has another tag."""
        return hashlib.sha256(f"{source.identity}\n{self.sha256 or self.state}\n{self.size}".encode()).hexdigest()[:12]


def look(asker: Asker, source: Source) -> Facts:
    """Asks the source about its file. Raises SourceRefused, WrongContent, TryAgainError."""
    hub = _ask_hub(asker, source) if source.kind is Kind.HUB else Facts(size=-1)
    content = at_commit(source, hub.commit)
    with asker.ask(content, "GET", {"Range": f"bytes=0-{len(MAGIC) - 1}"}) as answer:
        if answer.status_code == 416:
            raise WrongContent(f"{source.shown}: is empty")
        beginning = _beginning(answer)
        size = total_size(answer)
    if beginning != MAGIC:
        kind = re.sub(r"[^\w/.+-].*", "", answer.headers.get("content-type", ""))
        raise WrongContent(f"{source.shown}: is no GGUF file{f' but {kind}' if kind else ''}")
    if size < 0:
        raise WrongContent(f"{source.shown}: its server does not say how large it is")
    if hub.size not in (-1, size):
        raise TryAgainError(f"the hub says {hub.size} bytes and its store {size}")
    if source.sha256 and hub.sha256 and source.sha256 != hub.sha256:
        raise WrongContent(f"{source.shown}: the hub says that its sha256 is {hub.sha256}, not {source.sha256}")
    return Facts(size=size, sha256=source.sha256 or hub.sha256, state=state_of(answer), commit=hub.commit)


def _ask_hub(asker: Asker, source: Source) -> Facts:
    """The hub's own words. A mirror that says none of them is a plain server."""
    hops: list[httpx.Response] = []
    with asker.ask(source, "HEAD", {}, hops) as last:
        answers = [*hops, last]
    # Of a repository that was renamed the first answer only leads to the new name.
    told = next((answer.headers for answer in answers if HUB_COMMIT in answer.headers), httpx.Headers())
    etag = told.get(HUB_SUM, "").removeprefix("W/").strip('"').lower()
    size = told.get(HUB_SIZE, "")
    return Facts(
        size=int(size) if size.isdecimal() else -1,
        sha256=etag if re.fullmatch("[0-9a-f]{64}", etag) else "",
        commit=told.get(HUB_COMMIT, ""),
    )


def _beginning(answer: httpx.Response) -> bytes:
    beginning = b""
    for chunk in answer.iter_raw():
        beginning += chunk
        if len(beginning) >= len(MAGIC):
            break
    return beginning[: len(MAGIC)]


def total_size(answer: httpx.Response) -> int:
    """The size of the whole file by an answer with it or with a part of it; -1 if it does not say."""
    if answer.status_code == 206:
        match = CONTENT_RANGE.fullmatch(answer.headers.get("content-range", ""))
        return int(match[3]) if match and match[3] != "*" else -1
    length = answer.headers.get("content-length", "")
    return int(length) if length.isdecimal() else -1


def state_of(answer: httpx.Response) -> str:
    """What tells two states of the file apart: its ETag, else Last-Modified, else nothing."""
    state: str = answer.headers.get("etag", "") or answer.headers.get("last-modified", "")
    return state
