"""The views "Server" and "Use it"."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Opener, serving
from tests.browser.speaking import SpeakingModel
from tests.support.live_server import LiveServer


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with serving(SpeakingModel(says="Paris.")) as server:
        yield server


def test_the_server_shows_its_model_and_figures_as_they_change(server: LiveServer, open_page: Opener) -> None:
    page = open_page(f"{server.url}/#/server")
    expect(page.locator(".rows").first).to_contain_text("models/fake.gguf")
    expect(page.locator(".tile").first).to_contain_text("0 / 8")
    server.model.gate.clear()
    page.get_by_role("button", name="Go on").click()
    expect(page.locator(".tile").first).to_contain_text("1 / 8")
    server.model.gate.set()
    expect(page.locator(".tile").first).to_contain_text("0 / 8")
    expect(page.get_by_role("img", name="Requests. running: now 0, highest 1.")).to_be_visible()


def test_text_and_tokens_go_both_ways(server: LiveServer, open_page: Opener) -> None:
    page = open_page(f"{server.url}/#/server")
    page.get_by_label("Text", exact=True).fill("Hi ü")
    expect(page.get_by_label("Token ids")).to_have_value("72 105 32 195 188")
    expect(page.locator(".tokens li").nth(3)).to_have_text("<c3>195")
    page.get_by_label("Token ids").fill("72, 111")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Text", exact=True)).to_have_value("Ho")
    page.get_by_label("Token ids").fill("one")
    page.keyboard.press("Tab")
    expect(page.get_by_role("alert")).to_contain_text("whole numbers")


def test_a_raw_completion_tells_what_else_could_have_stood_there(server: LiveServer, open_page: Opener) -> None:
    page = open_page(f"{server.url}/#/server")
    page.get_by_role("button", name="Go on").click()
    expect(page.locator(".raw")).to_contain_text("Paris.")
    page.locator(".chance").first.click()
    table = page.get_by_role("table", name="Instead of “P”")
    expect(table).to_contain_text("90.5 %")
    expect(table).to_contain_text("A")


def test_samples_have_this_servers_address(server: LiveServer, open_page: Opener) -> None:
    page = open_page(f"{server.url}/#/use")
    expect(page.get_by_text(f"curl {server.url}/v1/chat/completions")).to_be_visible()
    expect(page.get_by_text(f'base_url="{server.url}/v1"')).to_be_visible()
    page.get_by_label("Namespace").fill("team")
    expect(page.get_by_text("http://mistral-api.team.svc:8000/v1").first).to_be_visible()
