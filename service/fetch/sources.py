"""Where a model can be: `hf://`, `s3://`, `https://`. Each becomes plain addresses, and what may be shown of them.

The hub's addresses are those of huggingface_hub (`hf_hub_url`), S3's the two styles of Amazon's REST API.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from urllib.parse import SplitResult, quote, unquote, urlsplit, urlunsplit

from service.errors import SettingError
from service.settings.fetching import SIGNATURE, FetchSettings

SPLIT = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")
"""The names of the parts of a split model, as llama.cpp writes and expects them (`llama_split_path`)."""
COMMIT = re.compile("[0-9a-f]{40}")


class Kind(Enum):
    """What a source speaks beyond HTTP."""

    PLAIN = "https"
    HUB = "hf"
    S3 = "s3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file somewhere.

    `shown` has no secret and stands in logs and side-cars; `identity` tells any two sources apart, also by their query. `fixed` says that
    the address names one content for ever. `url` and `basic` (user and password) may be secret. `in_hub` is
    the hub's address, the repository and the file.
    """

    kind: Kind
    shown: str
    identity: str
    file_name: str
    fixed: bool
    url: str = field(repr=False)
    in_hub: tuple[str, str, str] | None = None
    basic: tuple[str, str] | None = field(default=None, repr=False)
    sha256: str = ""

    @property
    def pinned(self) -> bool:
        """Whether what it names cannot change."""
        return self.fixed or bool(self.sha256)


def find_sources(settings: FetchSettings) -> tuple[Source, ...]:
    """The files that make up the model: one, or all parts of a split one. Raises SettingError."""
    first = _read(settings.source, settings)
    parts = _parts(first, settings.source, settings)
    if settings.sha256 and len(settings.sha256) != len(parts):
        raise SettingError("--sha256", len(settings.sha256), f"one for each of the {len(parts)} files")
    sums = settings.sha256 or ("",) * len(parts)
    return tuple(replace(part, sha256=given) for part, given in zip(parts, sums, strict=True))


def _parts(first: Source, text: str, settings: FetchSettings) -> Sequence[Source]:
    match = SPLIT.search(first.file_name)
    if match is None:
        return [first]
    if SIGNATURE.search(first.url):
        raise SettingError(
            "SOURCE", first.shown, "no signed address: a signature holds for one part of a split model only"
        )
    number, count = match[1], int(match[2])
    if not 1 <= int(number) <= count:
        raise SettingError("SOURCE", first.shown, "a part that a split model has")
    name, other = f"-{number}-of-{match[2]}.gguf", "-{:05d}-of-" + f"{match[2]}.gguf"
    head, _, tail = text.rpartition(name)
    return [_read(f"{head}{other.format(part)}{tail}", settings) for part in range(1, count + 1)]


def _read(text: str, settings: FetchSettings) -> Source:
    scheme = text.partition("://")[0].lower()
    readers = {"hf": _read_hub, "s3": _read_s3, "https": _read_plain, "http": _read_plain}
    if scheme not in readers or "://" not in text:
        raise SettingError("SOURCE", "***", "an address that begins with hf://, s3://, https:// or http://")
    try:
        if not text.isprintable() or " " in text:
            raise ValueError("an address without blanks")
        return readers[scheme](text, settings)
    except ValueError as error:
        raise SettingError("SOURCE", f"{scheme}://…", str(error)) from None


def _read_hub(text: str, settings: FetchSettings) -> Source:
    path, at, revision = text.partition("://")[2].rpartition("@")
    if not at:
        path, revision = revision, "main"
    owner, _, rest = path.partition("/")
    repo, _, file = rest.partition("/")
    if not all((owner, repo, file, revision)) or not set(file.split("/")).isdisjoint({"", ".", ".."}):
        raise ValueError("hf://OWNER/REPO/FILE@REVISION")
    shown = f"hf://{owner}/{repo}/{file}@{revision}"
    place = (settings.hf_endpoint, f"{owner}/{repo}", file)
    return Source(
        kind=Kind.HUB,
        shown=shown,
        identity=shown,
        file_name=file.rpartition("/")[2],
        fixed=COMMIT.fullmatch(revision) is not None,
        url=hub_url(*place, revision),
        in_hub=place,
    )


def hub_url(endpoint: str, repo: str, file: str, revision: str) -> str:
    """The address of a file of a model repository, as `huggingface_hub.hf_hub_url` makes it."""
    return f"{endpoint.rstrip('/')}/{repo}/resolve/{quote(revision, safe='')}/{quote(file)}"


def at_commit(source: Source, commit: str) -> Source:
    """The hub's source with its revision made sure; `identity` stays what was asked for."""
    if source.in_hub is None or not COMMIT.fullmatch(commit):
        return source
    return replace(source, url=hub_url(*source.in_hub, commit))


def _read_s3(text: str, settings: FetchSettings) -> Source:
    bucket, _, rest = text.partition("://")[2].partition("/")
    key, _, query = rest.partition("?")
    if not bucket or not key or key.endswith("/"):
        raise ValueError("s3://BUCKET/KEY")
    path = quote(key, safe="/~")
    base = settings.s3_endpoint.rstrip("/") or f"https://s3.{settings.s3_region}.amazonaws.com"
    # A name with dots fits no wildcard certificate, and a server of one's own seldom has a host for each bucket.
    if settings.s3_endpoint or "." in bucket:
        url = f"{base}/{bucket}/{path}"
    else:
        url = f"https://{bucket}.s3.{settings.s3_region}.amazonaws.com/{path}"
    shown = f"s3://{bucket}/{key}"
    return Source(
        kind=Kind.S3,
        shown=shown,
        identity=f"{shown} {_digest(query)} {settings.s3_endpoint}",
        file_name=key.rpartition("/")[2],
        fixed="versionId=" in query,
        url=f"{url}?{query}" if query else url,
    )


def _read_plain(text: str, _settings: FetchSettings) -> Source:
    parts = urlsplit(text)
    name = unquote(parts.path).rpartition("/")[2]
    if not parts.hostname or parts.port == 0 or name in ("", ".", "..") or not name.isprintable():
        raise ValueError("an address with a host and the name of a file at its end")
    basic = (unquote(parts.username), unquote(parts.password or "")) if parts.username is not None else None
    host = parts.netloc.rpartition("@")[2]
    shown = f"{parts.scheme}://{host}{parts.path}"
    # A signature is new each time, the file is not: with one, the query says nothing about which file it is.
    query = "" if SIGNATURE.search(text) else parts.query
    return Source(
        kind=Kind.PLAIN,
        shown=shown,
        identity=f"{shown} {_digest(query)}",
        file_name=name,
        fixed=False,
        url=urlunsplit(SplitResult(parts.scheme, host, parts.path, parts.query, "")),
        basic=basic,
    )


def _digest(query: str) -> str:
    return hashlib.sha256(query.encode()).hexdigest()[:16] if query else ""
