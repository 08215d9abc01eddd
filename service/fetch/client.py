"""The HTTP client: whom it trusts, whom it goes through, and that it never tells a log what it asks for."""

from __future__ import annotations

import logging
import ssl

import certifi
import httpx

from service import __version__
from service.errors import SettingError
from service.settings.fetching import FetchSettings

CONNECT_SECONDS = 15.0


def make_client(settings: FetchSettings) -> httpx.Client:
    """A client that follows no redirect by itself. Proxies are those of the environment. Raises SettingError."""
    # Both log addresses, and httpcore headers too: signatures and tokens stand there.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        return httpx.Client(
            verify=trust(settings),
            timeout=httpx.Timeout(settings.timeout, connect=min(CONNECT_SECONDS, settings.timeout)),
            # Compressed on the way, a part of a file would be a part of something else.
            headers={"User-Agent": f"mistral-api/{__version__}", "Accept-Encoding": "identity"},
            follow_redirects=False,
        )
    except (ImportError, ValueError, httpx.InvalidURL):
        raise SettingError(
            "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY", "***", "the address of a proxy that speaks HTTP"
        ) from None


def trust(settings: FetchSettings) -> ssl.SSLContext:
    """The system's certificates, certifi's and one's own, added up: a company's own must not shut out the rest of the world."""
    context = ssl.create_default_context()
    context.load_verify_locations(cafile=certifi.where())
    if settings.ca_file is not None:
        try:
            context.load_verify_locations(cafile=settings.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise SettingError(
                "--ca-file", str(settings.ca_file), f"a file of certificates ({error.strerror})"
            ) from None
    return context
