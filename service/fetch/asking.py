"""One question to a source and its answer: redirects, credentials, and what every refusal means.

Redirects are followed here, not by httpx: credentials go to the origin that they are for and to nobody else, and what the hub says
about a file stands in the answer that redirects to its store.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from time import time

import httpx

from service.errors import SourceRefused, WrongContent
from service.fetch.sources import Kind, Source
from service.settings.fetching import Credentials, FetchSettings

MOST_REDIRECTS = 10
MOST_ERROR_BYTES = 4096
REDIRECTS = frozenset({301, 302, 303, 307, 308})
PASSING = frozenset({408, 421, 425, 429})
"""Refusals of a client's kind that another try may change."""

Sign = Callable[[httpx.Request], httpx.Request]


class TryAgainError(Exception):
    """This try brought nothing (more). `seconds` is how long the source asks to be left alone."""

    def __init__(self, reason: str, seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.seconds = seconds


class Asker:
    """Asks one kind of source with the credentials that are for it."""

    def __init__(self, client: httpx.Client, settings: FetchSettings) -> None:
        self._client = client
        self._settings = settings

    @contextmanager
    def ask(
        self, source: Source, method: str, headers: Mapping[str, str], hops: list[httpx.Response] | None = None
    ) -> Iterator[httpx.Response]:
        """The answer that is no redirect, its body not read yet; what redirected to it is added to `hops`.

        Raises SourceRefused, and TryAgainError for whatever may be otherwise next time.
        """
        sign = signer(source, self._settings)
        url = httpx.URL(source.url)
        for _ in range(MOST_REDIRECTS):
            request = self._client.build_request(method, url, headers=headers)
            if _origin(url) == _origin(httpx.URL(source.url)):
                request = sign(request)
            with self._sent(source, request) as answer:
                onward = _redirect(source, url, answer)
                if onward is None:
                    _check(source, answer, self._settings)
                    yield answer
                    return
                if hops is not None:
                    hops.append(answer)
                url = onward
        raise SourceRefused(f"{source.shown}: more than {MOST_REDIRECTS} redirects")

    @contextmanager
    def _sent(self, source: Source, request: httpx.Request) -> Iterator[httpx.Response]:
        try:
            answer = self._client.send(request, stream=True)
            try:
                yield answer
            finally:
                answer.close()
        except httpx.TransportError as error:
            cause = _certificate_error(error)
            if cause is not None:
                raise SourceRefused(
                    f"{source.shown}: {request.url.host} shows a certificate that nobody here trusts ({cause.verify_message}); "
                    "--ca-file or SSL_CERT_FILE adds one"
                ) from None
            raise TryAgainError(f"{type(error).__name__}: {error}".rstrip(": ")) from None
        except httpx.InvalidURL:
            raise SourceRefused(f"{source.shown}: not an address that can be asked") from None


def signer(source: Source, settings: FetchSettings) -> Sign:
    """What puts the credentials for this source onto a request; without any it changes nothing."""
    held = settings.credentials
    if source.kind is Kind.S3 and held.access_key:
        return _aws_signer(held, settings.s3_region)
    if source.basic is not None:
        return _with_header(httpx.BasicAuth(*source.basic))
    token = held.hub_token if source.kind is Kind.HUB else held.bearer_token if source.kind is Kind.PLAIN else ""
    return _bearer(token) if token else lambda request: request


def _aws_signer(held: Credentials, region: str) -> Sign:
    # Imported late: it brings `requests`, which nothing else here needs.
    from requests_aws4auth import AWS4Auth  # noqa: PLC0415

    auth: Sign = AWS4Auth(held.access_key, held.secret_key, region, "s3", session_token=held.session_token or None)
    return auth


def _with_header(auth: httpx.BasicAuth) -> Sign:
    return lambda request: next(auth.auth_flow(request))


def _bearer(token: str) -> Sign:
    def sign(request: httpx.Request) -> httpx.Request:
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    return sign


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _redirect(source: Source, url: httpx.URL, answer: httpx.Response) -> httpx.URL | None:
    """Where an answer sends us, or None."""
    place = answer.headers.get("location")
    if answer.status_code not in REDIRECTS or not place:
        return None
    try:
        onward = url.join(place)
    except httpx.InvalidURL:
        raise SourceRefused(f"{source.shown}: redirects to something that is no address") from None
    if onward.scheme not in ("http", "https") or (url.scheme == "https" and onward.scheme == "http"):
        raise SourceRefused(f"{source.shown}: redirects from https:// to {onward.scheme}://")
    return onward


def _check(source: Source, answer: httpx.Response, settings: FetchSettings) -> None:
    """Raises for everything but a file or a part of one. 416 is left to who asked for the part."""
    status = answer.status_code
    if status in (200, 206, 416):
        if answer.headers.get("content-encoding", "identity").lower() != "identity" and status != 416:
            raise WrongContent(f"{source.shown}: comes compressed, though asked for as it is")
        return
    if status in PASSING or status >= 500:
        raise TryAgainError(f"answered {status}", retry_after(answer))
    raise SourceRefused(f"{source.shown}: answered {status}{_said(answer)}{_advice(source, status, answer, settings)}")


def _said(answer: httpx.Response) -> str:
    """The one word about the reason that is safe to show: the hub's header or S3's `<Code>`."""
    code = answer.headers.get("x-error-code", "")
    if not code and answer.request.method != "HEAD":
        try:
            body = next(answer.iter_bytes(MOST_ERROR_BYTES), b"")
        except httpx.HTTPError:
            body = b""
        found = re.search(rb"<Code>(\w{1,60})</Code>", body)
        code = found[1].decode() if found else ""
    return f" ({code})" if re.fullmatch(r"\w{1,60}", code) else ""


def _advice(source: Source, status: int, answer: httpx.Response, settings: FetchSettings) -> str:
    region = answer.headers.get("x-amz-bucket-region", "")
    if source.kind is Kind.S3 and region and region != settings.s3_region and re.fullmatch(r"[\w-]{1,40}", region):
        return f"; the bucket is in {region}: set AWS_REGION"
    if status not in (401, 403):
        return ""
    held = settings.credentials
    if source.kind is Kind.HUB:
        return "; HF_TOKEN may not read it" if held.hub_token else "; it needs HF_TOKEN, or is not there"
    if source.kind is Kind.S3:
        return (
            "; these AWS keys may not read it"
            if held.access_key
            else "; it needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    return "; a presigned address may have run out, another may need MISTRAL_API_FETCH_TOKEN"


def retry_after(answer: httpx.Response) -> float:
    """Seconds of Retry-After, a number or a date (RFC 9110, 10.2.3); 0 without."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time())
    except ValueError:
        return 0.0


def _certificate_error(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error
        error = error.__cause__ or error.__context__
    return None
