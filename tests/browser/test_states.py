"""What the page says when the server cannot answer, and that it goes on by itself."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Route, expect

from service.engine.interface import EngineOptions
from service.engine.model import DecodeResult
from service.settings import Settings
from tests.browser.conftest import NARROW, Opener, serving
from tests.browser.speaking import SpeakingModel, answers, say, wait_for_answer
from tests.browser.test_access import violations
from tests.support.live_server import LiveServer


def test_a_model_that_loads_is_shown_and_waited_for(open_page: Opener) -> None:
    with serving(SpeakingModel(), loaded=False) as server:
        page = open_page(server.url)
        expect(page.get_by_role("progressbar", name="loading 25 %")).to_be_visible()
        say(page, "Hello?")
        expect(answers(page)).to_contain_text("Waiting until the model is loaded")
        server.loading.set()
        expect(wait_for_answer(page).locator(".markdown")).to_have_text("Hello to you.")
        expect(page.locator(".banner")).to_have_count(0)


def hold_the_only_place(server: LiveServer, page: Page) -> None:
    """A conversation whose answer does not come until the gate opens."""
    server.model.gate.clear()
    say(page, "I am first")
    expect(page.locator(".message.assistant .phase")).to_be_visible()
    page.wait_for_function("() => fetch('metrics').then(r => r.text()).then(t => /requests_running 1/.test(t))")


def test_a_full_queue_is_counted_down_and_tried_again(open_page: Opener) -> None:
    options = EngineOptions(parallel=1, split_context=False, queue=0, calibrate=False)
    with serving(SpeakingModel(), options=options) as server:
        first, second = open_page(server.url), open_page(server.url)
        hold_the_only_place(server, first)
        say(second, "I am second")
        expect(answers(second)).to_contain_text("its queue is full. Trying again in")
        server.model.gate.set()
        expect(wait_for_answer(second).locator(".markdown")).to_have_text("Hello to you.")


def test_who_waits_sees_how_busy_the_server_is(open_page: Opener) -> None:
    options = EngineOptions(parallel=1, split_context=False, queue=8, calibrate=False)
    model = SpeakingModel(says="word " * 400, pause=0.03)
    with serving(model, options=options) as server:
        first, second, third = (open_page(server.url) for _ in range(3))
        say(first, "I am first")
        expect(answers(first).locator(".markdown")).to_contain_text("word")
        say(second, "I am second")
        alone = "The server is busy: 1 running, 1 waiting. None of those waiting came before you."
        expect(answers(second)).to_contain_text(alone)
        say(third, "I am third")
        expect(answers(third)).to_contain_text("1 running, 2 waiting. At most 1 of those waiting came before you.")
        expect(answers(second)).to_contain_text("1 running, 2 waiting. None of those waiting came before you.")
        second.get_by_role("button", name="Stop", exact=True).click()
        expect(wait_for_answer(second)).to_contain_text("stopped by you")
        expect(answers(third)).to_contain_text(alone)
        third.get_by_role("button", name="Stop", exact=True).click()


def test_a_server_that_goes_away_is_said_to(open_page: Opener) -> None:
    with serving(SpeakingModel()) as server:
        page = open_page(server.url)
        expect(page.locator(".chip.ready")).to_be_visible()
        server.engine.drain()
        say(page, "Hello?")
        expect(answers(page)).to_contain_text("The server takes no requests now.")
        expect(page.get_by_text("The server is shutting down")).to_be_visible()


def test_an_engine_that_has_failed_is_said_to_and_waited_for(open_page: Opener) -> None:
    with serving(SpeakingModel(fails=_die)) as server:
        page = open_page(server.url)
        say(page, "Hello?")
        expect(answers(page)).to_contain_text("The server cannot answer now.")
        expect(page.locator(".banner.dead")).to_have_text("The server's engine has failed. It needs a restart.")
        page.get_by_role("button", name="Stop", exact=True).click()
        expect(wait_for_answer(page)).to_contain_text("stopped by you")


def _die(_: object) -> DecodeResult:
    raise RuntimeError("a bug in the engine")


def test_a_mistake_is_told_in_the_servers_words(open_page: Opener) -> None:
    with serving(SpeakingModel(cells=64)) as server:
        page = open_page(server.url)
        say(page, "much too long " * 20)
        expect(answers(page).get_by_role("alert")).to_contain_text("exceeds the available context size (64 tokens)")


def test_a_broken_stream_is_gone_on_with(open_page: Opener) -> None:
    with serving(SpeakingModel(says=" to you.")) as server:
        page = open_page(server.url)
        sent: list[list[dict[str, str]]] = []

        def cut_the_first(route: Route) -> None:
            sent.append(json.loads(route.request.post_data or "")["messages"])
            if len(sent) > 1:
                return route.fallback()
            event = {"choices": [{"index": 0, "delta": {"content": "Hello"}, "finish_reason": None}]}
            return route.fulfill(body=f"data: {json.dumps(event)}\n\n", content_type="text/event-stream")

        page.route("**/v1/chat/completions", cut_the_first)
        say(page, "Hi")
        expect(wait_for_answer(page).locator(".markdown")).to_have_text("Hello to you.")
        assert sent[1] == [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]


def test_a_key_is_asked_for_and_kept_for_the_session(open_page: Opener) -> None:
    with serving(SpeakingModel(), Settings(api_key=("opener",))) as server:
        page = open_page(server.url)
        dialog = page.get_by_role("dialog", name="This server asks for a key")
        dialog.get_by_label("API key").fill("wrong")
        page.keyboard.press("Enter")
        expect(dialog.get_by_role("alert")).to_have_text("The server does not know this key.")
        dialog.get_by_label("API key").fill("opener")
        page.keyboard.press("Enter")
        expect(dialog).to_have_count(0)
        say(page, "Hello?")
        expect(wait_for_answer(page).locator(".markdown")).to_have_text("Hello to you.")
        page.reload()
        expect(page.locator(".chip-name")).to_have_text("fake")
        expect(dialog).to_have_count(0)
        assert page.evaluate("() => JSON.stringify({...localStorage})").count("opener") == 0


def test_a_key_can_be_given_later_and_forgotten(open_page: Opener) -> None:
    with serving(SpeakingModel(), Settings(api_key=("opener",))) as server:
        page = open_page(server.url, viewport=NARROW)
        dialog = page.get_by_role("dialog", name="This server asks for a key")
        expect(dialog).to_be_visible()
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        say(page, "Hello?")
        expect(dialog).to_be_visible()
        page.keyboard.press("Escape")
        expect(answers(page)).to_contain_text("Waiting for an API key")
        assert violations(page) == []
        answers(page).get_by_role("button", name="Give a key").click()
        dialog.get_by_label("API key").fill("opener")
        page.keyboard.press("Enter")
        expect(wait_for_answer(page).locator(".markdown")).to_have_text("Hello to you.")
        key = page.get_by_role("banner").get_by_role("button", name="API key")
        assert page.evaluate("() => document.querySelector('header').scrollWidth <= innerWidth")
        key.click()
        expect(dialog.get_by_role("alert")).to_have_count(0)
        assert violations(page) == []
        dialog.get_by_role("button", name="Forget the key").click()
        expect(key).to_have_count(0)
        assert page.evaluate("() => JSON.stringify({...sessionStorage})").count("opener") == 0


def test_the_page_works_under_a_prefix(open_page: Opener) -> None:
    with serving(SpeakingModel(), Settings(api_prefix="/deep/llm")) as server:
        page = open_page(f"{server.url}/deep/llm")
        say(page, "Hello?")
        expect(wait_for_answer(page).locator(".markdown")).to_have_text("Hello to you.")
        page.get_by_role("link", name="Use it").click()
        expect(page.get_by_text(f"{server.url}/deep/llm/v1").first).to_be_visible()
        expect(page.get_by_text("http://mistral-api.default.svc:8000/deep/llm/v1").first).to_be_visible()


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_page_works_behind_a_proxy_that_takes_a_prefix_away(slash: str, open_page: Opener) -> None:
    with serving(SpeakingModel()) as server:
        page = open_page(server.url)

        def proxy(route: Route) -> None:
            path = urlsplit(route.request.url).path
            if path != "/llm" and not path.startswith("/llm/"):
                return route.fulfill(status=404, body="another service")
            headers = {**route.request.headers, "x-forwarded-prefix": "/llm"}
            inside = server.url + (path.removeprefix("/llm") or "/")
            return route.fulfill(response=route.fetch(url=inside, headers=headers, max_redirects=0))

        page.route("**/*", proxy)
        page.goto(f"{server.url}/llm{slash}")
        say(page, "Hello?")
        expect(wait_for_answer(page).locator(".markdown")).to_have_text("Hello to you.")
        page.get_by_role("link", name="Use it").click()
        expect(page.get_by_text(f"curl {server.url}/llm/v1/chat/completions")).to_be_visible()
        expect(page.get_by_text("http://mistral-api.default.svc:8000/v1").first).to_be_visible()
        assert page.url == f"{server.url}/llm/#/use"


def test_a_page_whose_files_are_not_found_says_why(open_page: Opener) -> None:
    with serving(SpeakingModel()) as server:
        page = open_page(server.url)
        expect(page.get_by_text("The files of this page were not found.")).to_be_hidden()
        page.route("**/assets/**", lambda route: route.fulfill(status=404, body="another service"))
        page.reload()
        expect(page.get_by_text("the address has to end with a slash")).to_be_visible()
