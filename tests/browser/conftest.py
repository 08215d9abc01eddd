"""Debian's Chromium over the built page. Without a Chromium these tests are skipped; CI installs one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from anyio.from_thread import start_blocking_portal
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Route, expect, sync_playwright

from tests.support.live_server import LiveServer, live_server

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 360, "height": 740}

PATIENCE = 45_000
"""Milliseconds that anything may take: on a busy machine a page that is there in 0.2 s alone took more than 10."""

expect.set_options(timeout=PATIENCE)

Opener = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.timeout(400))


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One browser for all tests here. It ends with them: while it lives its thread has a running event loop."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Watch:
    """What must not happen on a page: requests to other hosts, errors of scripts, breaches of the policy."""

    def __init__(self, host: str) -> None:
        self._host = host
        self.wrong: list[str] = []

    def route(self, route: Route) -> None:
        if urlsplit(route.request.url).netloc == self._host:
            route.fallback()
        else:
            self.wrong.append(f"a request to {route.request.url}")
            route.abort()

    def console(self, message: ConsoleMessage) -> None:
        # The browser itself reports each refused request; those are what some tests are about.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.wrong.append(message.text)

    def watch(self, context: BrowserContext) -> None:
        context.route(lambda url: url.startswith(("http:", "https:")), self.route)
        context.on("console", self.console)
        context.on("weberror", lambda error: self.wrong.append(str(error.error)))


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Opener]:
    """Opens a URL in a browser that knows nothing yet: `open_page(url, viewport=…, color_scheme=…)`."""
    contexts: list[tuple[BrowserContext, Watch]] = []

    def open_at(url: str, **options: Any) -> Page:
        context = browser.new_context(**{"viewport": WIDE, "reduced_motion": "reduce", **options})
        watch = Watch(urlsplit(url).netloc)
        watch.watch(context)
        contexts.append((context, watch))
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.goto(url)
        return page

    yield open_at
    for context, _ in contexts:
        # What a test's own route still carries when its page goes would fail the test after it.
        for page in context.pages:
            page.unroute_all(behavior="ignoreErrors")
        context.unroute_all(behavior="ignoreErrors")
        context.close()
    assert [what for _, watch in contexts for what in watch.wrong] == []


@contextmanager
def serving(*arguments: Any, **options: Any) -> Iterator[LiveServer]:
    """The service over the fake model, in a thread of its own. For its arguments see `live_server`."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(live_server(*arguments, **options)) as server,
    ):
        yield server
